"""Whose token HubSpot's calls carry: a person's that stays as it is, or an OAuth app's, which lasts half an hour.

Client credentials are no third way: the token they give stands for the app and opens its webhook journal only, no
account's companies. https://developers.hubspot.com/docs/api-reference/2026-03/authentication/manage-oauth-tokens
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from connectors.base import Tools
from connectors.errors import SettingsWrong
from connectors.hubspot.settings import Settings
from connectors.patience import patiently
from connectors.rest import Rest
from connectors.signin import Tokens
from connectors.tokens import REFUSED, Refreshing

TOKEN_LIFE = timedelta(minutes=30)  # where the sign-in does not say


class OAuth:
    """An app that a person authorized in one account. `count` is told of every sign-in. Thread-safe."""

    def __init__(self, settings: Settings, *, place: str, tools: Tools, count: Callable[[str], None]) -> None:
        self._settings, self._tools, self._count = settings, tools, count
        self._path = f"/oauth/{settings.api_date}/token"
        self._rest = Rest(settings.base_url, tools=tools, place=place)
        file = tools.root / str(settings.refresh_token_file)
        refreshing = Refreshing(file, self._refresh, clock=tools.clock, life=TOKEN_LIFE, place=place)
        self.auth = Tokens(refreshing, clock=tools.clock)

    def app_id(self) -> str | None:
        """The number of this app."""
        token = self.auth.header().removeprefix("Bearer ")
        asked = {**self._app(), "token": token, "token_type_hint": "access_token"}
        try:
            answer = patiently(
                lambda: self._rest.sign_in(f"{self._path}/introspect", asked, form=True),
                tools=self._tools,
                place=self._rest.place,
            )
        except SettingsWrong:
            return None
        said: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
        return str(said.get("app_id") or "") or None

    def close(self) -> None:
        self._rest.close()

    def _refresh(self, refresh_token: str) -> object:
        self._count("sign_in")
        asked = {**self._app(), "grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._rest.sign_in(self._path, asked, form=True, hint=REFUSED)

    def _app(self) -> dict[str, str]:
        secret = self._settings.client_secret
        return {
            "client_id": self._settings.client_id or "",
            "client_secret": secret.get_secret_value() if secret else "",
        }
