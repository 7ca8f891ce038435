"""A Salesforce org small enough to read: tests script single answers, the rest is as the real one says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.base import FIELDS, Tools
from connectors.salesforce import Salesforce, Settings
from connectors.salesforce.settings import DEFAULT_NAMES
from tests.loopback import Answer, Asked, Loopback
from tests.served import tools

SECRET = "very-secret-secret"
BASE = "/services/data/v66.0/"
TYPES = {"number": "double", "tier": "picklist", "text": "string", "date": "date", "datetime": "datetime"}
EXPIRED = Answer(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
DAILY = Answer(403, [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])


def described(**changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Account's fields as describe lists them. `changes` by our field name; None leaves the field out."""
    names = ("Id", "Name", "Plan__c", "Ext__c")
    fields: list[dict[str, Any]] = [{"name": name, "type": "string", "updateable": True} for name in names]
    for field in FIELDS:
        change = changes.get(field.key, {})
        if change is None:
            continue
        one = {"name": DEFAULT_NAMES[field.key], "type": TYPES[field.kind], "updateable": True, "length": 0, "scale": 0}
        if field.kind == "number":
            one["scale"] = field.scale
        if field.kind == "text":
            one["length"] = field.length
        if field.kind == "tier":
            one["picklistValues"] = [{"value": tier, "active": True} for tier in ("green", "yellow", "red")]
        fields.append(one | change)
    return fields


class Org:
    """Routes requests: `script` ("PATCH composite/sobjects") before what an org would say by itself."""

    def __init__(self) -> None:
        self.script: dict[str, Callable[[Asked], Answer]] = {}
        self.fields = described()
        self.children: list[dict[str, Any]] = []
        self.tokens = 0
        self.url = ""

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/services/oauth2/token":
            return self.script.get("POST token", self.token)(asked)
        key = f"{asked.method} {asked.path.removeprefix(BASE)}"
        if key in self.script:
            return self.script[key](asked)
        if key == "GET sobjects/Account/describe":
            return Answer(body={"name": "Account", "fields": self.fields, "childRelationships": self.children})
        if key == "PATCH composite/sobjects":
            records = asked.json["records"]
            return Answer(body=[{"id": one["id"], "success": True, "errors": []} for one in records])
        return Answer(404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])

    def token(self, asked: Asked) -> Answer:
        self.tokens += 1
        body = {
            "access_token": f"token-{self.tokens}",
            "instance_url": self.url,
            "id": f"{self.url}/id/00D000000000001EAA/005000000000001AAA",
            "token_type": "Bearer",
        }
        return Answer(body=body)


def salesforce(served: Loopback, root: Path, *, handed: Tools | None = None, **settings: object) -> Salesforce:
    given = {"base_url": served.url, "client_id": "app", "client_secret": SECRET, **settings}
    return Salesforce("salesforce", Settings.model_validate(given), handed or tools(root))


def fixtures(kind: Callable[[], Org] = Org, **settings: Any) -> tuple[Any, Any, Any]:
    """The fixtures `org`, `served` and `crm` of a file of tests: an org, where it answers, and a connector to it."""

    @pytest.fixture
    def org() -> Org:
        return kind()

    @pytest.fixture
    def served(org: Org) -> Iterator[Loopback]:
        with Loopback(org) as server:
            org.url = server.url
            yield server

    @pytest.fixture
    def crm(served: Loopback, tmp_path: Path) -> Iterator[Salesforce]:
        with closing(salesforce(served, tmp_path, **settings)) as made:
            yield made

    return org, served, crm
