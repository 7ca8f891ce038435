"""Properties of ours that HubSpot's own sync with Salesforce writes to as well.

Which properties are mapped there no call tells; the histories of companies that have a tier show what the sync did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from connectors.errors import as_expected
from connectors.hubspot.client import Client, results

SAMPLE = 50  # companies whose histories one call reads
SYNC = "SALESFORCE"


class Mirrored(NamedTuple):
    """Of so many companies: by our field, the number of those on which the sync wrote it."""

    companies: int
    written: Mapping[str, int]


def mirrored(client: Client, names: Mapping[str, str], *, having: str) -> Mirrored:
    """Looks at the companies that were changed last among those that have the property `having`; two calls."""
    path = f"/crm/objects/{client.date}/companies"
    wanted = {
        "filterGroups": [{"filters": [{"propertyName": having, "operator": "HAS_PROPERTY"}]}],
        "sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "DESCENDING"}],
        "limit": SAMPLE,
    }
    with as_expected(client.place):
        ids = [str(one["id"]) for one in results(client.post(f"{path}/search", wanted, label="read"), client.place)]
        if not ids:
            return Mirrored(0, {})
        histories = list(names.values())
        body = {"inputs": [{"id": id} for id in ids], "properties": histories, "propertiesWithHistory": histories}
        companies = results(client.post(f"{path}/batch/read", body, label="read"), client.place)
        written = Counter(key for one in companies for key, name in names.items() if _synced(one, name))
    return Mirrored(len(companies), written)


def _synced(company: Mapping[str, Any], name: str) -> bool:
    entries = (company.get("propertiesWithHistory") or {}).get(name) or ()
    return any(entry.get("sourceType") == SYNC for entry in entries)
