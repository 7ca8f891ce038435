"""What became of companies that are not there: merged into another one, or deleted.

A merge makes a new company with an id of its own. The ids of both that went into it lead to it, and it lists them in
`hs_merged_object_ids`; of a deleted one HubSpot knows nothing unless it is asked for what was archived.
https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from connectors.batches import abreast, batches, halved
from connectors.errors import RowWrong, as_expected
from connectors.hubspot.client import IN_FLIGHT, Client, Refused, results

BATCH = 100
ALONE = 100  # asked about one by one, so that thousands that were deleted at once do not cost a call each
MERGED = "hs_merged_object_ids"

Found = tuple[str, str | None]


def survivors(client: Client, ids: Sequence[str]) -> dict[str, str | None]:
    """By company id; a company that is there is left out, and so are most of many that cannot be told."""
    asked = list(dict.fromkeys(id for id in ids if id.isascii() and id.isdigit()))
    found = dict(abreast(batches(asked, BATCH), partial(_together, client), width=IN_FLIGHT))
    left = [id for id in asked if id not in found][:ALONE]
    found |= dict(abreast(left, partial(_alone, client), width=IN_FLIGHT))
    return {id: survivor for id, survivor in found.items() if survivor != id}


def _together(client: Client, ids: Sequence[str]) -> Iterator[Found]:
    """Of those that HubSpot finds: the id under which it does."""
    for part, answer in halved(ids, partial(_merges, client)):
        if not isinstance(answer, RowWrong):
            yield from ((id, answer[id]) for id in part if id in answer)


def _merges(client: Client, ids: Sequence[str]) -> dict[str, str]:
    path = f"/crm/objects/{client.date}/companies/batch/read"
    body = {"inputs": [{"id": id} for id in ids], "properties": [MERGED], "propertiesWithHistory": []}
    answer = client.batch(path, body, label="read")
    with as_expected(client.place):
        found: dict[str, str] = {}
        for one in results(answer, client.place):
            merged = str((one.get("properties") or {}).get(MERGED) or "").split(";")
            found |= dict.fromkeys([str(one["id"]), *merged], _number(one["id"]))
        return found


def _alone(client: Client, id: str) -> Iterator[Found]:
    path = f"/crm/objects/{client.date}/companies/{id}"
    try:
        answer = client.get(path, label="read", query={"properties": MERGED})
    except Refused as error:
        if error.code != "OBJECT_NOT_FOUND":
            raise
        yield id, None
    else:
        with as_expected(client.place):
            yield id, _number(answer["id"])


def _number(id: object) -> str:
    """An id as companies have it; `ValueError` otherwise."""
    return str(int(str(id)))
