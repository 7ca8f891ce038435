"""Salesforce accounts, read by one query in pages of about 2,000."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from connectors.base import Account
from connectors.errors import SettingsWrong
from connectors.leftout import Sieve
from connectors.salesforce.client import Client
from connectors.salesforce.fields import Fields
from connectors.salesforce.ids import whole
from connectors.salesforce.settings import is_path
from connectors.values import as_moment, as_number, day_number, label

_ALWAYS = ("Id", "Name", "Website", "Owner.Name", "CreatedDate")


class Accounts:
    """Reads the accounts that meet a condition in SOQL, which is Salesforce's own to judge."""

    def __init__(self, client: Client, fields: Fields, *, external_id_field: str | None) -> None:
        self._client, self._fields, self._external = client, fields, external_id_field
        self._sieve = Sieve()

    @property
    def left_out(self) -> str:
        return self._sieve.left_out

    def pages(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        """Our own fields are read where they can be seen, so that a pilot works before they exist."""
        ours = self._fields.usable(refresh=True)
        soql = self._soql(where, attributes, ours, limit)
        left, sieve = limit, Sieve()
        self._sieve = sieve
        for records in self._client.query(soql, label="read"):
            made = sieve.accounts(records, lambda record: self._account(record, attributes, ours))
            page = list(islice(made, left))
            if page:
                yield page
            left = None if left is None else left - len(page)
            if left == 0:
                return

    def _soql(self, where: str, attributes: Mapping[str, str], ours: Mapping[str, str], limit: int | None) -> str:
        for event, path in attributes.items():
            if not is_path(path):
                place = f"accounts.attributes.{event}"
                raise SettingsWrong("this is not the name of a Salesforce field", place=place)
        external = [self._external] if self._external else []
        wanted = [*_ALWAYS, *external, *attributes.values(), *ours.values()]
        columns = ", ".join({name.lower(): name for name in wanted}.values())  # a field named twice is refused
        tail = f" LIMIT {limit}" if limit is not None else ""
        condition = f" WHERE ({where})" if where.strip() else ""
        return f"SELECT {columns} FROM Account{condition} ORDER BY Id{tail}"

    def _account(self, record: Mapping[str, Any], attributes: Mapping[str, str], ours: Mapping[str, str]) -> Account:
        domain = host_of(at_path(record, "Website"))
        external = at_path(record, self._external) if self._external else None
        return Account(
            id=whole(at_path(record, "Id")),
            name=str(at_path(record, "Name") or ""),
            domains=(domain,) if domain else (),
            refs={"external_id": str(external)} if external not in (None, "") else {},
            owner=at_path(record, "Owner.Name"),
            since=as_moment(at_path(record, "CreatedDate")),
            attributes={event: level(at_path(record, path)) for event, path in attributes.items()},
            present={key: at_path(record, name) for key, name in ours.items()},
        )


def at_path(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, by names in any case, as SOQL does; None where a relation is empty."""
    value: Any = record
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        if name in value:
            value = value[name]
        else:  # Salesforce answers in its own spelling of a name
            value = next((found for key, found in value.items() if key.lower() == name.lower()), None)
    return value


def host_of(website: object) -> str | None:
    """The host name of an address as people type it, lower-case and without `www.`."""
    text = str(website or "").strip().lower()
    if not text or any(letter.isspace() for letter in text):
        return None
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname
    except ValueError:
        return None
    host = (host or "").rstrip(".").removeprefix("www.")
    return host if "." in host else None


def level(value: object) -> float | str | None:
    """An attribute as a level: a number, a yes as 1, a day as its number, anything else as a word."""
    if value is None or isinstance(value, Mapping | list):
        return None
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return as_number(str(value))
    text = str(value)
    dated = text[:10].replace("-", "").isdigit() and text[4:5] == "-"
    number = day_number(text) if dated else None
    return label(text) if number is None else number
