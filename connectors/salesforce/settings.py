"""What a person says about a Salesforce org, and the names of our fields there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, model_validator

from connectors.base import Field as Ours
from connectors.values import field_names, known_fields, tier_names

DEFAULT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "score": "Health_Score__c",
        "tier": "Health_Tier__c",
        "change": "Health_Change__c",
        "reason": "Health_Reason__c",
        "next_action": "Health_Next_Action__c",
        "coverage": "Health_Coverage__c",
        "tier_since": "Health_Tier_Since__c",
        "scored_at": "Health_Scored_At__c",
        "version": "Health_Scorecard__c",
    }
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,4}")


def _default_name(key: str) -> str:
    """`Expansion_Score__c` for a further score's `expansion_score`."""
    return DEFAULT_NAMES.get(key) or f"{key.title()}__c"


def is_path(name: str) -> bool:
    """Whether this is a field's name, or a path to a related record's field (`Owner.Name`)."""
    return _PATH.fullmatch(name) is not None


class Settings(BaseModel):
    """Sign in by client credentials (`client_secret`) or by JWT bearer (`username` and `private_key_file`).

    `base_url` is the org's My Domain. `audience` is whom the JWT is for (login.salesforce.com, or
    test.salesforce.com for a sandbox org, unless said otherwise). `fields` renames our fields; a field set to
    nothing is neither written nor created. Above `bulk_above` records a write goes through Bulk API 2.0.
    Provisioning shows the fields to the profiles in `show_to_profiles`, and makes a public `list_view`.
    `integration_users`: usernames or ids of users that are no people though Salesforce cannot tell, such as a sync that
    signs in with an ordinary licence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    client_id: str
    client_secret: SecretStr | None = None
    username: str | None = None
    private_key_file: str | None = None
    audience: str | None = None
    api_version: str = Field("66.0", pattern=r"^\d{2,3}\.0$")
    fields: Mapping[str, str | None] = {}
    tier_values: Mapping[str, str] = {}
    external_id_field: str | None = None
    bulk_above: int = Field(2000, ge=1)
    show_to_profiles: tuple[str, ...] = ()
    list_view: str | None = Field("Health: red accounts", min_length=1, max_length=40)
    integration_users: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Settings:
        by_jwt = self.username is not None and self.private_key_file is not None
        half = (self.username is None) != (self.private_key_file is None)
        if half or by_jwt == (self.client_secret is not None):
            raise ValueError("give either client_secret, or both username and private_key_file")
        if self.external_id_field is not None and not _NAME.fullmatch(self.external_id_field):
            raise ValueError("external_id_field is not the name of a Salesforce field")
        _ = self.names(known_fields(info.context)), self.tiers
        return self

    def names(self, fields: Iterable[Ours]) -> Mapping[str, str]:
        """Our field -> the field on Account."""
        return field_names(fields, self.fields, default=_default_name, valid=_NAME.fullmatch)

    @cached_property
    def tiers(self) -> Mapping[str, str]:
        """Our tier -> the picklist value."""
        return tier_names(self.tier_values)
