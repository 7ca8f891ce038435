"""Folds a spooled raw event export into one fact per account, user, day and name, with an embedded DuckDB.

One thread and a small memory limit on purpose: one compressed file is parsed on one core anyway, and what
does not fit is put beside the spool file.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb

from connectors.errors import AgainNow, SettingsWrong
from connectors.table import Config, Stream, hash_people, named, quoted

MEMORY = "140MB"
MEMORY_AFTER = "50MB"  # while the log takes the facts in, which wants some for itself
MOST_FACTS = 50_000  # of a page: what the log needs to take it in grows with it
LARGEST_LINE = 4 * 1024 * 1024  # the vendor takes no event over 1 MB; escapes can double it
HOT, HOT_EVENT, HOT_PERSON = "$hotshard_events", "mp_original_event_name", "mp_original_distinct_id"


@dataclass(frozen=True)
class Rule:
    """The vendor's `events` make the facts called `name`; `value`: a numeric property summed, None to count."""

    name: str
    events: tuple[str, ...]
    value: str | None = None


@dataclass(frozen=True)
class Plan:
    """What to make of an export.

    `account`, `person`: the properties that name them. `days`: each day with its first second and the first
    one after it, as the vendor stamps them. `occurred`: the moment (UTC, without timezone) that stands for
    a day.
    """

    account: str
    person: str
    rules: Sequence[Rule]
    days: Sequence[tuple[date, float, float]]
    occurred: Mapping[date, str]


class Part(NamedTuple):
    """Enough facts for a page: all of some days, or of one day those of the account keys `among` (see `Page`)."""

    first: date
    last: date
    among: tuple[str, str | None] | None
    facts: Stream

    @property
    def ends(self) -> bool:
        """Whether its days are whole once it has been taken in, and the parts before it."""
        return self.among is None or self.among[1] is None


@contextmanager
def fold(
    spooled: Path, plan: Plan, *, actor: Callable[[str], str], place: str
) -> Iterator[tuple[Sequence[Part], Mapping[str, int]]]:
    """The facts of a spooled export in parts, oldest days first, and counts of the events that made none.

    Raises `AgainNow` when the export is not whole (a last line that is no JSON object, or a compressed file that ends
    too early), or when it has lines and no event in any. Any other line that is no event is left out and counted.
    """
    folder = spooled.parent
    spill = str(folder / "spill")
    config: Config = {"threads": 1, "memory_limit": MEMORY, "temp_directory": spill}
    with closing(duckdb.connect(str(folder / "fold.duckdb"), config=config)) as connection:
        unreadable = 0
        try:
            try:
                connection.execute(_folding(spooled, plan))
            except duckdb.InvalidInputException:
                if not _is_whole(spooled):
                    raise
                connection.execute(_folding(spooled, plan, leniently=True))
                unreadable = _one(connection, _unreadable(spooled, plan))
        except duckdb.OutOfMemoryException:
            words = "an export does not fit into memory; set days_per_export lower"
            raise SettingsWrong(words, place=place) from None
        except (duckdb.InvalidInputException, duckdb.IOException):
            raise AgainNow("the export broke off before its end (or the disk is full)", place=place) from None
        hash_people(connection, "folded", actor)
        counts = _counts(connection) | ({"events_unreadable": unreadable} if unreadable else {})
        if "events" not in counts and _one(connection, _something_else(spooled, plan)):
            raise AgainNow("the export holds no events but something else", place=place)
        parts = list(_parts(connection, plan))
        connection.execute(f"set memory_limit = '{MEMORY_AFTER}'")
        yield parts, counts


def _is_whole(spooled: Path) -> bool:
    """Whether the export goes on to a last line that is a JSON object. What it holds is read, but not kept."""
    last = b""
    try:
        with gzip.open(spooled) if spooled.suffix == ".gz" else spooled.open("rb") as file:
            while line := file.readline(LARGEST_LINE):
                last = line
        return isinstance(json.loads(last), dict)
    except (OSError, EOFError, RecursionError, zlib.error, ValueError):
        return False


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    [(number,)] = connection.execute(query).fetchall()
    return int(number)


def _parts(connection: duckdb.DuckDBPyConnection, plan: Plan) -> Iterator[Part]:
    """Neighbouring days as long as they fit into a page; a day that does not is cut by its account keys."""
    sizes = dict(connection.execute("select day, count(account) from folded group by day").fetchall())
    first, facts = plan.days[0][0], 0
    for day, *_ in plan.days:
        more = sizes.get(day, 0)
        if day > first and facts + more > MOST_FACTS:
            yield from _cut(connection, plan, (first, day - timedelta(days=1)), facts)
            first, facts = day, 0
        facts += more
    yield from _cut(connection, plan, (first, plan.days[-1][0]), facts)


def _cut(connection: duckdb.DuckDBPyConnection, plan: Plan, days: tuple[date, date], facts: int) -> Iterator[Part]:
    first, last = days
    parts = -(-facts // MOST_FACTS)
    starts = [start for (start,) in connection.execute(_STARTS, [*days, parts]).fetchall()][1:] if parts > 1 else []
    for low, high in pairwise(["", *starts, None]):
        among = (low or "", high) if starts else None
        yield Part(first, last, among, Stream(connection, _facts(plan.occurred, first, last, among)))


_STARTS = """
with sizes as (select account, count(*) as facts from folded
               where account is not null and day between ? and ? group by account),
placed as (select account, (sum(facts) over (order by account) - facts) * ? // sum(facts) over () as part from sizes)
select min(account) from placed group by part order by 1"""


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    [row] = connection.execute(
        "select coalesce(sum(events) filter (where account is null), 0),"
        " coalesce(sum(events) filter (where day is null), 0), coalesce(sum(events), 0) from folded"
    ).fetchall()
    counts = dict(zip(("events_without_account", "events_without_time", "events"), row, strict=True))
    return {name: int(count) for name, count in counts.items() if count}


def _facts(occurred: Mapping[date, str], first: date, last: date, among: tuple[str, str | None] | None) -> str:
    here = {day: at for day, at in occurred.items() if first <= day <= last}
    moments = " ".join(f"when date '{day}' then timestamp '{at}'" for day, at in here.items())
    low, high = among or ("", None)
    before = f"and account < {quoted(high)}" if high is not None else ""
    return f"""
select account || '/' || coalesce(actor, '-') || '/' || day || '/' || name as id, account as account_key, actor,
       name, case day {moments} end as occurred_at, floor(amount * 1024 + 0.5) / 1024 as value, null::varchar as label
from (select * from folded where day between '{first}' and '{last}' and account >= {quoted(low)} {before})
left join actors using (person)"""


def _folding(spooled: Path, plan: Plan, *, leniently: bool = False) -> str:
    values = sorted({rule.value for rule in plan.rules if rule.value})
    amounts = "".join(f", arg_max({_number(value)}, processed) as amount_{n}" for n, value in enumerate(values))
    rules = ", ".join(
        f"({quoted(event)}, {quoted(rule.name)}, {values.index(rule.value) if rule.value else 'null'})"
        for rule in plan.rules
        for event in rule.events
    )
    choice = " ".join(f"when {n} then amount_{n}" for n in range(len(values)))
    amount = f"(case r.amount when -1 then null {choice} end)::double"
    return f"""
create table folded as
with lines as (
  select coalesce(properties.{named(HOT_EVENT)}, event) as event, try_cast(properties.time as double) as at_second,
         nullif(coalesce(properties.{named(HOT_PERSON)}, properties.{named(plan.person)}), '') as person,
         properties."$insert_id" as insert_id, nullif(trim(properties.{named(plan.account)}), '') as account,
         coalesce(try_cast(properties.mp_processing_time_ms as bigint), 0) as processed, properties
  from {_source(spooled, plan, values, leniently=leniently)}),
single as (
  select event, at_second, person, insert_id, account{amounts}
  from lines
  where event in (select event from (values {rules}) as r (event, name, amount))
    and (at_second is null or {_within(plan)})
  group by event, at_second, person, insert_id, account),
placed as (select *, {_day(plan)} as day from single)
select account, person, day, r.name as name, count(*) as events,
       (case when r.amount is null then count(*)
             else coalesce(sum(floor({amount} * 1024 + 0.5) / 1024), 0) end)::double as amount
from placed p join (values {rules}) as r (event, name, amount) on p.event = r.event
group by account, person, day, r.name, r.amount"""


def _something_else(spooled: Path, plan: Plan) -> str:
    """1 if there are lines, none of which is an event."""
    lines = _source(spooled, plan, (), leniently=True)
    return f"select count(*) > 0 and count(event) = 0 and count(properties) = 0 from {lines}"


def _unreadable(spooled: Path, plan: Plan) -> str:
    """The number of lines that are no event: read leniently, they are rows of nothing."""
    lines = _source(spooled, plan, (), leniently=True)
    return f"select count(*) from {lines} where event is null and properties is null"


def _source(spooled: Path, plan: Plan, values: Sequence[str], *, leniently: bool) -> str:
    wanted = ["time", "$insert_id", "mp_processing_time_ms", HOT_EVENT, HOT_PERSON, plan.account, plan.person, *values]
    distinct = {name.lower(): name for name in reversed(wanted)}  # DuckDB tells no upper from lower case
    fields = ", ".join(f"{named(name)} varchar" for name in distinct.values())
    packed = "gzip" if spooled.suffix == ".gz" else "none"
    return (
        f"read_json({quoted(str(spooled))}, format = 'newline_delimited', compression = '{packed}',"
        f" maximum_object_size = {LARGEST_LINE}, ignore_errors = {leniently},"
        f" columns = {{event: 'varchar', properties: {quoted(f'struct({fields})')}}})"
    )


def _within(plan: Plan) -> str:
    return f"(at_second >= {plan.days[0][1]} and at_second < {plan.days[-1][2]})"


def _day(plan: Plan) -> str:
    cases = " ".join(f"when at_second < {last} then date '{day}'" for day, _, last in plan.days)
    return f"case when at_second is null then null {cases} end"


def _number(property_name: str) -> str:
    value = f"try_cast(properties.{named(property_name)} as double)"
    return f"case when isfinite({value}) then {value} end"
