"""What a person says about a HubSpot account, and the names of our properties there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, model_validator

from connectors.base import FIELDS
from connectors.base import Field as Ours
from connectors.values import field_names, known_fields, tier_names

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
DEFAULT_NAMES = {field.key: f"health_{field.key}" for field in FIELDS} | {
    "score": "health_score",
    "version": "health_scorecard",
}


def is_name(name: str) -> bool:
    """Whether this can be the internal name of a property."""
    return _NAME.fullmatch(name) is not None


class Settings(BaseModel):
    """`access_token` is that of a service key or a private app; an app with OAuth has `client_id`, `client_secret` and
    `refresh_token_file` in its place. `api_date` is the dated version of the API.

    `fields` renames our properties; one set to nothing is neither written nor created. `active_list` is the name of a
    list of the companies in the lowest tier, which provisioning makes. `external_id_field` and `crm_id_property` are
    the properties that hold your own id of a company and its id in Salesforce.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = "https://api.hubapi.com"
    access_token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token_file: str | None = None
    api_date: str = Field("2026-03", pattern=r"^20\d{2}-(03|09)$")
    fields: Mapping[str, str | None] = {}
    tier_values: Mapping[str, str] = {}
    group: str = Field("bellwether", pattern=r"^[a-z][a-z0-9_]{0,99}$")
    group_label: str = Field("Customer health", min_length=1, max_length=100)
    active_list: str | None = Field(None, min_length=1, max_length=100)
    external_id_field: str | None = Field(None, pattern=_NAME.pattern)
    crm_id_property: str | None = Field("salesforceaccountid", pattern=_NAME.pattern)

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Settings:
        app = self.client_id, self.client_secret, self.refresh_token_file
        if bool(self.access_token) == all(app) or bool(self.access_token) == any(app):
            raise ValueError("give either access_token, or client_id, client_secret and refresh_token_file")
        _ = self.names(known_fields(info.context)), self.tiers
        return self

    def names(self, fields: Iterable[Ours]) -> Mapping[str, str]:
        """Our field -> the company property. That of a further score is called as we call it."""
        return field_names(fields, self.fields, default=lambda key: DEFAULT_NAMES.get(key, key), valid=_NAME.fullmatch)

    @cached_property
    def tiers(self) -> Mapping[str, str]:
        """Our tier -> the option's value."""
        return tier_names(self.tier_values)
