"""What became of accounts that are not there: merged into another one, or deleted.

A merged account is a deleted one whose `MasterRecordId` names the one that stayed; that may have been merged since.
Once the recycle bin is emptied (after 15 days, or by hand) Salesforce knows of neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connectors.batches import batches
from connectors.errors import as_expected
from connectors.salesforce.client import Client
from connectors.salesforce.ids import distinct, listed, short

BATCH = 300  # ids in one query, whose address may have 16,384 characters
MERGES = 10  # one after another that are followed


def survivors(client: Client, ids: Sequence[str]) -> dict[str, str | None]:
    """By the id as it was given; an account that is there, or that Salesforce has forgotten, is left out."""
    gone: dict[str, str | None] = {}
    unknown = distinct(ids)
    for _ in range(MERGES):
        found = _gone(client, unknown)
        gone |= found
        unknown = [master for master in distinct(filter(None, found.values())) if master not in gone]
        if not unknown:
            break
    told = {id: _last(gone, id) for id in ids if short(id) in gone}
    return {id: last for id, last in told.items() if last is None or short(last) not in gone}


def _gone(client: Client, ids: Iterable[str]) -> dict[str, str | None]:
    """Of those that are deleted, by 15 characters: the one each was merged into."""
    found: dict[str, str | None] = {}
    for part in batches(list(ids), BATCH):
        soql = f"SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = TRUE AND Id IN ({listed(part)})"
        for page in client.query(soql, label="read", path="queryAll"):
            with as_expected(client.place):
                found |= {short(str(one["Id"])): _id(one.get("MasterRecordId")) for one in page}
    return found


def _id(told: object) -> str | None:
    if told is None or isinstance(told, str):
        return told or None
    raise TypeError


def _last(gone: dict[str, str | None], id: str) -> str | None:
    """Where the merges from this account on end; where they do not (a ring), one of those that are gone."""
    last: str | None = id
    for _ in range(MERGES):
        if last is None or short(last) not in gone:
            break
        last = gone[short(last)]
    return last
