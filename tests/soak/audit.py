"""What is looked at after each portion, from the vendors' side: every write the CRMs carried out, and every fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from connectors.errors import ConnectorError
from connectors.hubspot.settings import DEFAULT_NAMES as HUBSPOT
from connectors.salesforce.settings import DEFAULT_NAMES as SALESFORCE
from connectors.sandbox.tickets import opened_on
from connectors.sandbox.usage import lines_of
from connectors.sandbox.zendesk_directory import FREE_MAIL, Person, contact_of
from sync import delta
from sync.reconcile import Difference, reconciled
from sync.state.deliveries import DOUBTS
from sync.tables import META
from sync.worker import Worker
from tests.soak.company import Company

Fields = Mapping[str, Any]
Record = tuple[str, str]  # the CRM and the record's id

NAMES = {"salesforce": SALESFORCE, "hubspot": HUBSPOT}
OURS = {crm: {name for key, name in names.items() if key != "scored_at"} for crm, names in NAMES.items()}
TRIES = 10  # to read the CRMs back in a storm
TABLES = ("accounts", "keys", "readings", "runs", "totals", "deliveries", "judgements")
FACTS = """
select source, count(*), count(distinct id), sum(hash(
    id, account_key, actor, name, case when source = 'salesforce' then day::timestamp else occurred_at::timestamp end,
    value, label)::hugeint)
from (select *, date_trunc('day', occurred_at) as day from events) group by source order by source
"""


@dataclass
class Written:
    """What a worker made of the records: every state it gave a record, in order, and what it wrote without need.

    `again`: the same values once more after a call that was carried out but whose answer was lost; writing whole
    values again changes nothing, and not to ask again would be to leave a lost call lost.
    """

    states: dict[Record, list[Fields]] = field(default_factory=dict)
    rows: int = 0
    again: int = 0
    repeated: list[Record] = field(default_factory=list)


def written(company: Company) -> Written:
    """All writes of our fields so far. The moment of scoring alone is no difference."""
    found = Written()
    for crm, ours in OURS.items():
        store = company.box.crm[crm]
        present: dict[str, dict[str, Any]] = {}
        lost: dict[str, Fields] = {}
        for write in list(store.writes):
            fields = {name: _held(value) for name, value in write.fields.items() if name in ours}
            record, before = (crm, write.record), present.setdefault(write.record, {})
            if write.by == "api" and fields:
                found.rows += 1
                if any(before.get(name) != value for name, value in fields.items()):
                    found.states.setdefault(record, []).append(fields)
                elif lost.get(write.record) == fields:
                    found.again += 1
                else:
                    found.repeated.append(record)
                if write.call in store.unanswered:
                    lost[write.record] = fields
                else:
                    lost.pop(write.record, None)
            before.update(fields)
    return found


def fields(company: Company) -> dict[Record, Fields]:
    """What our fields hold now, on every record there is."""
    return {
        (crm, record): {name: _held(store.records[record].get(name)) for name in sorted(OURS[crm])}
        for crm, store in company.box.crm.items()
        for record in store.live()
    }


@dataclass(frozen=True)
class Sight:
    """All there is to see of a worker after a portion. `facts`: of each source how many, how many ids, and a number
    that tells two sets of facts apart. `rows` in state, runs apart. `files` and bytes, on the disk, of the log; `tail`:
    files that are yet to be merged. `waiting`: rows whose last try was refused.
    """

    written: Written
    fields: Mapping[Record, Fields]
    facts: Mapping[str, tuple[int, ...]]
    rows: Mapping[str, int]
    runs: int
    files: int
    size: int
    tail: int
    waiting: int


def look(company: Company, worker: Worker) -> Sight:
    """What can be seen now, while no pass is under way."""
    rows = _rows(worker)
    with worker.log.connect(spill=worker.spill) as connection:
        facts = {source: tuple(rest) for source, *rest in connection.execute(FACTS).fetchall()}
    return Sight(
        written(company),
        fields(company),
        facts,
        rows,
        rows.pop("runs"),
        len(delta.data_files(delta.open_table(worker.log.path))),
        sum(file.stat().st_size for file in Path(worker.log.path).rglob("*") if file.is_file()),
        worker.log.unsettled()[1],
        len(waiting(worker)),
    )


def at_rest(worker: Worker, *, since: datetime) -> bool:
    """Whether a pass begun since then did all there was to do, and no row waits to be tried or looked at again."""
    last = worker.state.runs.last_finished("pass")
    if last is None or last.status != "done" or last.started_at <= since or waiting(worker):
        return False
    with worker.state.read() as connection:
        return connection.scalar(select(META.c.key).where(META.c.key.startswith(DOUBTS)).limit(1)) is None


def waiting(worker: Worker) -> set[Record]:
    """Records that do not hold yet what they should."""
    known = (row for name in worker.destinations for row in worker.state.deliveries.of(name).values())
    return {(row.destination, row.record_id) for row in known if row.status not in ("confirmed", "closed")}


def differing(company: Company, worker: Worker) -> list[Difference]:
    """Values in the CRMs that are other than confirmed, but for those that people set: they stay, or stay a while."""
    for _ in range(TRIES):
        with suppress(ConnectorError):
            found = reconciled(worker, list(worker.destinations)).differences
            return [one for one in found if not _by_people(company, one)]
    raise RuntimeError("the CRMs could not be read back")


def _by_people(company: Company, one: Difference) -> bool:
    store, name = company.box.crm[one.destination], NAMES[one.destination].get(one.field)
    wrote = [write.by for write in store.writes if write.record == one.record and name in write.fields]
    return bool(wrote) and wrote[-1] == "human"


def _rows(worker: Worker) -> dict[str, int]:
    counts = dict.fromkeys(TABLES, 0)
    for table, rows in worker.state.rows():
        if table in counts:
            counts[table] += len(rows)
    return counts


def decided(sight: Sight) -> Sight:
    """What decides alone, of fields and states: figures ride along, and differ where it was told at another moment."""
    fields = {record: deciding(record[0], values) for record, values in sight.fields.items()}
    told = {
        record: [state for state, _ in groupby(deciding(record[0], values) for values in states)]
        for record, states in sight.written.states.items()
    }
    return replace(sight, fields=fields, written=replace(sight.written, states=told))


def deciding(crm: str, values: Fields) -> Fields:
    """Of a record's fields those that are worth a write by themselves, but for the causes of the reason."""
    return {name: values.get(name) for name in (NAMES[crm][key] for key in ("tier", "score", "next_action"))}


def judged(worker: Worker) -> Counter[str]:
    """All judgements, in words."""
    return Counter(f"{one.account} {one.reason} by {one.author}" for one in worker.state.judgements.all())


def known(worker: Worker) -> dict[str, float]:
    """Tickets and logins that the log holds."""
    query = "select name, sum(value) from events where name in ('ticket.created', 'login') group by name"
    with worker.log.connect(spill=worker.spill) as connection:
        return {name: float(value) for name, value in connection.execute(query).fetchall()}


def truth(company: Company) -> dict[str, float]:
    """How many tickets and logins there really were, from the world itself."""
    return {"ticket.created": float(sum(_tickets(company))), "login": float(sum(_logins(company)))}


def _tickets(company: Company) -> Iterator[bool]:
    world, until = company.box.world, company.told.timestamp() - 60
    for day in range(world.day_of(company.told) + 1):
        for ticket in opened_on(world, day):
            here = [change.kind for change in ticket.changes if change.at <= until]
            yield bool(here) and here[-1] != "deleted" and not _nobodys(contact_of(ticket.company, ticket.contact))


def _nobodys(person: Person) -> bool:
    """Whether nothing tells whose ticket this is."""
    return person.organization is None and person.email.endswith(FREE_MAIL)


def _logins(company: Company) -> Iterator[int]:
    """Logins of whole days, each once, that had arrived when their day was last exported."""
    world, today = company.box.world, company.box.world.day_of(company.told)
    exported = world.midnight(today).timestamp() + 7200
    for day in range(today):
        told = (
            orjson.loads(text)
            for arrival, name, text in lines_of(world, day)
            if name == "Logged In" and arrival <= exported
        )
        yield len({one["properties"]["$insert_id"] for one in told if one["properties"].get("company_id")})


def differences(ours: Mapping[Record, Any], other: Mapping[Record, Any]) -> Counter[str]:
    """How many records of each CRM are not the same."""
    return Counter(record[0] for record in ours.keys() | other.keys() if ours.get(record) != other.get(record))


def _held(value: Any) -> Any:
    return None if value == "" else value
