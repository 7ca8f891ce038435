"""A HubSpot account small enough to read: tests script single answers, the rest is as the real one says it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.base import FIELDS, Tools
from connectors.hubspot import HubSpot, Settings
from connectors.hubspot.provision import definition
from connectors.hubspot.settings import DEFAULT_NAMES
from tests.loopback import Answer, Asked, Loopback
from tests.served import tools

TOKEN = "pat-very-secret"
OBJECTS = "/crm/objects/2026-03/companies"
PROPERTIES = "/crm/properties/2026-03/companies"
TIERS = {tier: tier for tier in ("green", "yellow", "red")}


def defined(**changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Property definitions. `changes` by our field name; None leaves the property out."""
    kinds = {"lifecyclestage": "enumeration", "plan": "string", "seats": "number", "renewal": "date", "vip": "bool"}
    found = [{"name": name, "type": kind} for name, kind in kinds.items()]
    for field in FIELDS:
        change = changes.get(field.key, {})
        if change is not None:
            found.append({"name": DEFAULT_NAMES[field.key], **definition(field, TIERS)} | change)
    return found


def limited(policy: str, **headers: str) -> Answer:
    body = {"status": "error", "message": "limit", "errorType": "RATE_LIMIT", "policyName": policy}
    return Answer(429, body, headers)


def invalid(code: str, name: str) -> dict[str, Any]:
    """An error about a property's value, its details as JSON in the message."""
    detail = json.dumps([{"isValid": False, "message": "secret 82.4", "error": code, "name": name}])
    message = f"Property values were not valid: {detail}"
    return {"status": "error", "category": "VALIDATION_ERROR", "message": message, "correlationId": "x"}


class Portal:
    """Routes requests: `script` ("POST batch/update") before what an account would say by itself."""

    def __init__(self) -> None:
        self.script: dict[str, Callable[[Asked], Answer]] = {}
        self.properties = defined()
        self.made: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Answer:
        path = asked.path.removeprefix(OBJECTS).replace(PROPERTIES, "properties").lstrip("/")
        key = f"{asked.method} {path or 'companies'}"
        if key in self.script:
            return self.script[key](asked)
        if key == "GET properties":
            return Answer(body={"results": self.properties})
        if key == "GET properties/groups":
            return Answer(body={"results": [{"name": "companyinformation"}]})
        if key.startswith(("POST properties", "PATCH properties")):
            return self.make(path, asked.json)
        if key == "POST batch/update":
            results = [{"id": one["id"], "properties": one["properties"]} for one in asked.json["inputs"]]
            return Answer(body={"status": "COMPLETE", "results": results})
        if key == "POST search":
            return Answer(body={"total": 3, "results": []})
        if key == "GET companies":
            return Answer(body={"results": []})
        return Answer(404, "not found")

    def make(self, path: str, body: dict[str, Any]) -> Answer:
        self.made.append((path, body))
        if path == "properties":
            self.properties.append(body)
        if path.startswith("properties/health"):
            (found,) = [one for one in self.properties if one["name"] == path.rsplit("/", 1)[1]]
            found |= body
            return Answer(200, found)
        return Answer(200, body)


def hubspot(served: Loopback, root: Path, *, handed: Tools | None = None, **settings: object) -> HubSpot:
    given = {"base_url": served.url, "access_token": TOKEN, **settings}
    return HubSpot("hubspot", Settings.model_validate(given), handed or tools(root))


def fixtures(**settings: Any) -> tuple[Any, Any, Any]:
    """The fixtures `portal`, `served` and `crm` of a file of tests: an account, where it answers, a connector to it."""

    @pytest.fixture
    def portal() -> Portal:
        return Portal()

    @pytest.fixture
    def served(portal: Portal) -> Iterator[Loopback]:
        with Loopback(portal) as server:
            yield server

    @pytest.fixture
    def crm(served: Loopback, tmp_path: Path) -> Iterator[HubSpot]:
        with closing(hubspot(served, tmp_path, **settings)) as made:
            yield made

    return portal, served, crm
