"""What vendors answer, changed: every answer is taken as it says, or refused by its remedy; no row is lost."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from connectors import exports, tickets
from connectors.base import FIELDS, Account, Outcome, Tools, Write
from connectors.clock import SteppedClock
from connectors.errors import AgainNow, ConnectorError
from connectors.hubspot import accounts as hubspot_accounts
from connectors.hubspot import fields as hubspot_fields
from connectors.hubspot import remedies as hubspot_remedies
from connectors.hubspot import settings as hubspot_settings
from connectors.hubspot import writer as hubspot_writer
from connectors.hubspot.provision import definition
from connectors.salesforce import accounts as salesforce_accounts
from connectors.salesforce import bulk
from connectors.salesforce import fields as salesforce_fields
from connectors.salesforce import remedies as salesforce_remedies
from connectors.salesforce import settings as salesforce_settings
from connectors.salesforce import writer as salesforce_writer
from connectors.salesforce.ids import short
from tests.fuzz import mutate
from tests.salesforce_stub import described


class Tally(NamedTuple):
    """What became of some inputs: how many there were and were accepted, and the others by why they were not."""

    inputs: int
    accepted: int
    refused: Counter[str]


def refusal(error: ConnectorError) -> Counter[str]:
    """An answer that was refused whole; its words must be one line."""
    assert "\n" not in str(error)
    return Counter({type(error).__name__: 1})


# -- Zendesk -------------------------------------------------------------------------------------------------

AT = "2026-03-05T10:00:00Z"
TICKET = {
    "id": 7,
    "created_at": "2026-03-01T08:00:00Z",
    "updated_at": AT,
    "status": "solved",
    "priority": "high",
    "organization_id": 11,
    "group_id": 3,
    "requester_id": 21,
    "submitter_id": 21,
    "subject": "Help",
    "tags": ["escalated"],
    "description": "it broke",
    "satisfaction_rating": {"score": "good"},
    "generated_timestamp": 1772323200,
    "metric_set": {"reopens": 1, "solved_at": AT, "reply_time_in_minutes": {"calendar": 90}},
}
PERSON = {"id": 21, "email": "a@acme.example", "role": "end-user", "organization_id": None}
AUDIT = {
    "id": 99,
    "ticket_id": 7,
    "created_at": AT,
    "child_events": [
        {"event_type": "Change", "status": "open", "previous_value": "solved", "added_tags": ["escalated"]}
    ],
}
ESCALATION = tickets.Escalation(frozenset({"escalated"}), frozenset({"urgent"}), frozenset())
READER = tickets.Reader("zendesk", ESCALATION, frozenset(), history=False, score=None)


def zendesk_tickets(random: Random) -> Tally:
    """A page of the ticket export: what is accepted is what another reading of the row says."""
    rows = [
        mutate.document(random, {**TICKET, "id": n}) if random.random() < 0.7 else {**TICKET, "id": n} for n in range(8)
    ]
    raw = json.dumps({"tickets": rows, "users": [mutate.document(random, PERSON)], "end_of_stream": True}).encode()
    raw = mutate.damaged(random, raw) if random.random() < 0.1 else raw
    try:
        body = exports.body(raw)
    except (ValueError, RecursionError):
        return Tally(8, 0, Counter({"AgainNow": 8}))
    found = body.tickets or []
    page = READER.read(found, body.users or (), {}, None)
    created = {event.id.split("/")[0]: event for event in page.events if event.name == "ticket.created"}  # type: ignore[union-attr]
    refused = [row for row in page.rejected if row.place.startswith("ticket")]
    told = [json.loads(bytes(row).decode(errors="replace"), parse_constant=str) for row in found]
    numbered = [row for row in told if isinstance(row, dict) and "id" in row]
    for number, event in created.items():
        assert event.occurred_at in [_moment(row.get("created_at")) for row in numbered if str(row["id"]) == number]
        assert event.value == 1
    left = len(created) + len(refused) + page.counts.get("tickets_without_customer", 0)
    gone = sum(isinstance(row, dict) and row.get("status") == "deleted" for row in told)
    assert left <= len(found) <= left + gone + (len(found) - len({str(row["id"]) for row in numbered})), (
        left,
        len(found),
    )
    return Tally(len(found), len(created), Counter({"RowWrong": len(refused)}))


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def zendesk_events(random: Random) -> Tally:
    """Entries of the ticket event export: each is read or refused."""
    raw = json.dumps({"ticket_events": [mutate.document(random, AUDIT) for _ in range(8)]}).encode()
    rejected: list[Any] = []
    rows = exports.decoded(exports.body(raw).ticket_events or [], exports.audit, "ticket event", rejected)
    wrong = 0
    for row in rows:
        try:
            for event in tickets.changes("zendesk", row, ESCALATION):
                assert event.account_key == str(row.ticket_id)
        except TypeError:  # as the source expects of it
            wrong += 1
    assert len(rows) + len(rejected) == 8
    return Tally(8, len(rows) - wrong, Counter({"RowWrong": len(rejected) + wrong}))


# -- HubSpot -------------------------------------------------------------------------------------------------


def _tools() -> Tools:
    moment = datetime.fromisoformat(AT)
    return Tools(SteppedClock(moment), threading.Event(), str, ZoneInfo("UTC"), spool=Path(), root=Path())


class FakeHubSpot:
    """Answers as the client would that got these bodies: an object, or a passing fault."""

    place, date = "destinations.crm", "2026-03"

    def __init__(self, answer: Callable[[str, Mapping[str, Any]], Any]) -> None:
        self._answer, self.tools = answer, _tools()

    def get(self, path: str, *, label: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._object(self._answer(path, query or {}))

    def batch(self, path: str, body: Mapping[str, Any], *, label: str, attempts: int = 6) -> Any:
        return self._object(self._answer(path, body))

    def _object(self, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise AgainNow("HubSpot answered something that is not JSON", place=self.place, unanswered=True)
        return answer


NAMES = hubspot_settings.DEFAULT_NAMES
TIERS = {tier: tier for tier in ("green", "yellow", "red")}
PROPERTIES = {"results": [{"name": NAMES[field.key], **definition(field, TIERS)} for field in FIELDS]}
PROPERTIES["results"] += [{"name": "plan", "type": "string"}, {"name": "seats", "type": "number"}]
COMPANY = {
    "id": "1",
    "createdAt": AT,
    "properties": {
        "name": "Acme",
        "domain": "acme.example",
        "createdate": AT,
        "plan": "pro",
        "seats": "5",
        "health_score": "71.5",
        "health_tier": "green",
        "health_tier_since": "2026-03-01",
        "hubspot_owner_id": "4",
    },
}
HUBSPOT = hubspot_settings.Settings.model_validate({"access_token": "x"})


def hubspot_companies(random: Random) -> Tally:
    """A page of companies: each is an account or left out, and says what it says."""
    companies = [{**COMPANY, "id": str(n)} for n in range(8)]
    page = {"results": [mutate.document(random, one) if random.random() < 0.7 else one for one in companies]}
    page = mutate.document(random, page) if random.random() < 0.1 else page
    properties = mutate.document(random, PROPERTIES) if random.random() < 0.1 else PROPERTIES

    def answer(path: str, query: Mapping[str, Any]) -> Any:
        if "properties" in path:
            return properties
        return page if "after" not in query else {}

    client: Any = FakeHubSpot(answer)
    directory = hubspot_accounts.Accounts(client, hubspot_fields.Fields(client, HUBSPOT), HUBSPOT)
    try:
        found = [one for part in directory.pages(where="", attributes={"seats": "seats"}, limit=None) for one in part]
    except ConnectorError as error:
        return Tally(8, 0, refusal(error))
    told = page.get("results") or []
    _same_accounts(found, told, "id", _properties, "name")
    refused = int(directory.left_out.split(" ")[0] or 0) if directory.left_out else 0
    assert len(found) + refused == len(told)
    return Tally(8, len(found), Counter({"RowWrong": refused}))


def _properties(company: Any) -> Any:
    found = company.get("properties")
    return found if isinstance(found, dict) else {}


def _same_accounts(
    found: Sequence[Account], told: Sequence[Any], key: str, held: Callable[[Any], Any], name: str
) -> None:
    """Every account says what one of the records says."""
    said = {(str(one[key]), str(held(one).get(name) or "")) for one in told if isinstance(one, dict) and one.get(key)}
    for account in found:
        assert any(account.id == id and account.name in (title, account.name) for id, title in said)
        assert all(isinstance(value, float | str | None) for value in account.attributes.values())


WRITES = [
    Write(
        str(n),
        {"score": 70.0 + n, "tier": "green", "reason": "more logins", "tier_since": "2026-03-01", "change": None},
    )
    for n in range(8)
]


def _outcomes(found: Iterator[Outcome], claimed: set[str]) -> Tally:
    """At most one outcome a write; nothing counts as written of which the answer did not say so."""
    outcomes: dict[str, Outcome] = {}
    refused: Counter[str] = Counter()
    try:
        for outcome in found:
            assert outcome.id not in outcomes
            assert "\n" not in outcome.message
            outcomes[outcome.id] = outcome
    except ConnectorError as error:
        refused += refusal(error)
    else:
        assert set(outcomes) == {write.id for write in WRITES}
    good = {id for id, outcome in outcomes.items() if outcome.ok}
    assert good <= claimed, good - claimed
    refused.update(f"outcome {outcome.remedy}" for outcome in outcomes.values() if not outcome.ok)
    return Tally(len(WRITES), len(good), refused)


OPTION = 'Property "x" does not exist [{"error": "INVALID_OPTION", "name": "health_tier"}]'


def hubspot_writes(random: Random) -> Tally:
    """The answer to a batch of writes, 207 among them: one outcome each, and none that was not said."""
    results = [{"id": str(n), "properties": {"health_score": str(70.0 + n)}} for n in range(5)]
    errors = [
        {
            "status": "error",
            "category": "VALIDATION_ERROR",
            "message": OPTION,
            "context": {"objectWriteTraceId": ["5"], "ids": ["5"]},
        },
        {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": ["6", "7"]}},
    ]
    answer = mutate.document(random, {"status": "COMPLETE", "results": results, "errors": errors, "numErrors": 3})
    client: Any = FakeHubSpot(lambda path, body: answer)
    writer = hubspot_writer.Writer(client, hubspot_fields.Fields(client, HUBSPOT))
    told = answer.get("results") if isinstance(answer, dict) else None
    claimed = {str(one.get("id")) for one in told if isinstance(one, dict)} if isinstance(told, list) else set()
    return _outcomes(iter(writer._batch([hubspot_writer.Row(w.id, dict(w.fields)) for w in WRITES], 1)), claimed)


def hubspot_errors(random: Random) -> Tally:
    """The body of a call that failed is sorted by its remedy, whatever it says."""
    right = {
        "status": "error",
        "message": 'no [{"error": "INVALID_OPTION", "name": "x"}]',
        "category": "VALIDATION_ERROR",
        "policyName": "TEN_SECONDLY_ROLLING",
        "errors": [{"context": {"requiredScopes": ["a.b"], "propertyName": ["p"]}}],
    }
    body = mutate.document(random, right)
    headers = {
        "retry-after": str(mutate.odd(random)),
        "x-hubspot-ratelimit-interval-milliseconds": str(mutate.odd(random)),
    }
    status = random.choice((302, 400, 401, 403, 404, 409, 429, 477, 500, 503))
    parsed = body if isinstance(body, dict) else {}
    return Tally(1, 0, refusal(hubspot_remedies.sorted_call(status, parsed, headers, "destinations.crm")))


# -- Salesforce ----------------------------------------------------------------------------------------------


class FakeSalesforce:
    """Answers as the client would that got these bodies."""

    place = "destinations.crm"

    def __init__(
        self, fields: Any, records: Any = None, results: Any = None, tables: Mapping[str, str] | None = None
    ) -> None:
        self._fields, self._records, self._results, self._tables = fields, records, results, tables or {}
        self.tools = _tools()

    def document(self, path: str, **_: Any) -> Any:
        if not isinstance(self._fields, dict):
            raise AgainNow("Salesforce answered something that is no object", place=self.place, unanswered=True)
        return self._fields

    def query(self, soql: str, *, label: str) -> Iterator[list[Any]]:
        yield list(self._records)

    def listed(self, path: str, **said: Any) -> list[Any]:
        asked = {record["id"] for record in said["json"]["records"]}
        if asked != {write.id for write in WRITES}:  # rows that were locked, once more
            return [{"id": id, "success": False, "errors": []} for id in sorted(asked)]
        if self._results is not None and not isinstance(self._results, list):
            raise AgainNow("Salesforce answered something that is no list", place=self.place, unanswered=True)
        return self._results or []

    def rows(self, path: str, parse: Callable[[Iterator[list[str]]], Any], *, label: str) -> Any:
        return parse(csv.reader(io.StringIO(self._tables[path.split("/")[-1]], newline="")))


SALESFORCE = salesforce_settings.Settings.model_validate(
    {"base_url": "https://x", "client_id": "a", "client_secret": "b"}
)
ACCOUNT = {
    "attributes": {"type": "Account"},
    "Id": "001",
    "Name": "Acme",
    "Website": "https://www.acme.example",
    "CreatedDate": AT,
    "Owner": {"Name": "Ann"},
    "Plan__c": "pro",
    "Health_Score__c": 71.5,
    "Health_Tier__c": "green",
}
DESCRIBED = {"name": "Account", "fields": described()}


def salesforce_records(random: Random) -> Tally:
    """A page of a query: each record is an account or left out, and says what it says."""
    records = [{**ACCOUNT, "Id": f"00{n}"} for n in range(8)]
    records = [mutate.document(random, one) if random.random() < 0.7 else one for one in records]
    fields = mutate.document(random, DESCRIBED) if random.random() < 0.1 else DESCRIBED
    client: Any = FakeSalesforce(fields, records)
    directory = salesforce_accounts.Accounts(
        client, salesforce_fields.Fields(client, SALESFORCE), external_id_field="Plan__c"
    )
    try:
        found = [one for part in directory.pages(where="", attributes={"plan": "Plan__c"}, limit=None) for one in part]
    except ConnectorError as error:
        return Tally(8, 0, refusal(error))
    _same_accounts(found, [_folded(one) for one in records], "id", lambda one: one, "name")
    refused = int(directory.left_out.split(" ")[0]) if directory.left_out else 0
    assert len(found) + refused == len(records)
    return Tally(8, len(found), Counter({"RowWrong": refused}))


def _folded(record: Any) -> Any:
    return {key.lower(): value for key, value in record.items()} if isinstance(record, dict) else record


def _salesforce_writer(client: Any) -> salesforce_writer.Writer:
    return salesforce_writer.Writer(client, salesforce_fields.Fields(client, SALESFORCE), bulk_above=2000)


def salesforce_writes(random: Random) -> Tally:
    """The results of a collection, by position: one outcome each, and none that was not said."""
    good: list[Any] = [{"id": str(n), "success": True, "errors": []} for n in range(5)]
    code = random.choice(["UNABLE_TO_LOCK_ROW", "INVALID_FIELD", "ENTITY_IS_DELETED", "x y"])
    bad = {"success": False, "errors": [{"statusCode": code, "message": "no", "fields": ["A__c"]}]}
    results = mutate.document(random, [*good, *({**bad, "id": str(n)} for n in range(5, 8))])
    client: Any = FakeSalesforce(DESCRIBED, results=results)
    claimed = {
        str(n)
        for n, one in enumerate(results if isinstance(results, list) else ())
        if isinstance(one, dict) and one.get("success")
    }
    return _outcomes(_salesforce_writer(client).write(WRITES), claimed)


def salesforce_bulk(random: Random) -> Tally:
    """The three lists of a bulk job: one outcome each, and none that was not said."""
    good = "sf__Id,sf__Created,Id,Health_Score__c\n" + "".join(f'"{n}",false,{n},71\n' for n in range(5))
    bad = 'sf__Id,sf__Error,Id\n"","INVALID_FIELD:no:A__c --",5\n"","UNABLE_TO_LOCK_ROW:busy:--",6\n'
    tables = {"successfulResults": good, "failedResults": bad, "unprocessedrecords": "Id\n7\n"}
    changed = random.choice(list(tables))
    tables[changed] = mutate.damaged(random, tables[changed].encode()).decode(errors="replace")
    client: Any = FakeSalesforce({}, tables=tables)
    ids = {short(write.id): write.id for write in WRITES}
    found = bulk._results(client, "jobs/ingest/x", ids, lambda id: {}, ended={})
    return _outcomes(found, set("".join(tables["successfulResults"])))


def salesforce_errors(random: Random) -> Tally:
    """The body of a call that failed is sorted by its remedy, whatever it says."""
    right = [{"errorCode": "INVALID_FIELD", "message": "No such column 'x__c' on entity", "fields": ["x__c"]}]
    body = mutate.document(random, right)
    status = random.choice((302, 400, 401, 403, 404, 410, 420, 429, 500, 503))
    return Tally(1, 0, refusal(salesforce_remedies.sorted_call(status, body, "destinations.crm")))
