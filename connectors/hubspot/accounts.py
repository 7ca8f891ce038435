"""HubSpot companies, listed in pages of 100 and judged here (why: `where.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from connectors.base import Account
from connectors.drift import Described
from connectors.errors import AgainNow, SettingsWrong, as_expected
from connectors.hubspot.client import Client, results
from connectors.hubspot.fields import Fields
from connectors.hubspot.settings import Settings
from connectors.hubspot.where import Condition, parse
from connectors.leftout import Sieve
from connectors.values import as_moment, as_number, day_number, label

PAGE = 100
_ALWAYS = ("name", "domain", "hs_additional_domains", "createdate", "hubspot_owner_id")


class Accounts:
    """Reads the companies that meet a condition."""

    def __init__(self, client: Client, fields: Fields, settings: Settings) -> None:
        self._client, self._fields = client, fields
        refs = {"external_id": settings.external_id_field, "crm_id": settings.crm_id_property}
        self._refs = {kind: name for kind, name in refs.items() if name}
        self._sieve = Sieve()

    @property
    def left_out(self) -> str:
        return self._sieve.left_out

    def pages(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        conditions = parse(where)
        described = self._fields.described(refresh=True)
        kinds, ours = _kinds(attributes, described), self._fields.usable()
        used = (condition.property for condition in conditions)
        wanted = [*_ALWAYS, *self._refs.values(), *attributes.values(), *ours.values(), *used]
        left, sieve = limit, Sieve()
        self._sieve = sieve
        for companies in self._listed(wanted):
            members = (one for one in companies if _may_meet(one, conditions))
            page = list(islice(sieve.accounts(members, lambda one: self._account(one, kinds, attributes, ours)), left))
            if page:
                yield page
            left = None if left is None else left - len(page)
            if left == 0:
                return

    def _listed(self, properties: Iterable[str]) -> Iterator[Sequence[Mapping[str, Any]]]:
        """All companies, page by page. Only the `after` of a page is used, never the address beside it."""
        names = ",".join(dict.fromkeys(properties))
        query: dict[str, Any] = {"limit": PAGE, "archived": "false", "properties": names}
        path, seen = f"/crm/objects/{self._client.date}/companies", set[str]()
        while True:
            answer = self._client.get(path, label="read", query=query)
            with as_expected(self._client.place):
                companies = results(answer, self._client.place)
                after = _after(answer)
            yield companies
            if after is None:
                return
            if after in seen:
                raise AgainNow("HubSpot leads to a page that was read before", place=self._client.place)
            seen.add(after)
            query["after"] = after

    def _account(
        self,
        company: Mapping[str, Any],
        kinds: Mapping[str, str],
        attributes: Mapping[str, str],
        ours: Mapping[str, str],
    ) -> Account:
        id, held = company.get("id"), company["properties"]
        refs = {kind: str(held[name]) for kind, name in self._refs.items() if held.get(name)}
        return Account(
            id=id if isinstance(id, str) else "",
            name=str(held.get("name") or held.get("domain") or ""),
            domains=domains(held),
            refs=refs,
            owner=held.get("hubspot_owner_id") or None,
            since=as_moment(held.get("createdate") or company.get("createdAt")),
            attributes={event: level(held.get(name), kinds[event]) for event, name in attributes.items()},
            present={key: held.get(name) for key, name in ours.items() if name in held},
        )


def _after(answer: Mapping[str, Any]) -> str | None:
    """Where the next page begins; None on the last one. `LookupError` where there is one and it is not told where."""
    following = (answer.get("paging") or {}).get("next")
    if following is None:
        return None
    if following["after"] in (None, ""):
        raise LookupError
    return str(following["after"])


def _may_meet(company: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Of a company whose properties are of no use, nobody can tell that it does not."""
    held = company.get("properties")
    return not isinstance(held, Mapping) or all(one.meets(held) for one in conditions)


def _kinds(attributes: Mapping[str, str], described: Mapping[str, Described]) -> dict[str, str]:
    """Event -> the type of its property, which the listed text does not tell."""
    for event, name in attributes.items():
        if name not in described:
            words = f"companies have no property {name[:100]!r}; correct the name"
            raise SettingsWrong(words, place=f"accounts.attributes.{event}")
    return {event: str(described[name].get("type") or "string") for event, name in attributes.items()}


def domains(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """The company's domain and its further ones, lower-case, without `www.`, each once."""
    listed = f"{properties.get('domain') or ''};{properties.get('hs_additional_domains') or ''}".lower()
    found = (one.strip().rstrip(".").removeprefix("www.") for one in listed.split(";"))
    return tuple(dict.fromkeys(one for one in found if "." in one))


def level(text: object, kind: str) -> float | str | None:
    """A property's text as a level, by the property's type: a number, a yes as 1, a day's number, or a word."""
    if text is None or text == "":
        return None
    if kind == "number":
        return as_number(str(text))
    if kind == "bool":
        return 1.0 if str(text).lower() == "true" else 0.0
    if kind in ("date", "datetime"):
        return day_number(str(text))
    return label(text)
