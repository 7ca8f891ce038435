"""Takes a page into DuckDB, checks it row by row, and works out what it would change in the log.

The rows never pass through Python one by one when the page is Arrow data. `value` is rounded to a multiple of 2^-10,
so that sums are exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from arro3.core import Array, DataType, RecordBatchReader, Table

from connectors.base import Event, Page, Rejected
from sync import delta
from sync.delta import text

BIGGEST = 8.8e12  # beyond it a multiple of 2^-10 is no longer summed exactly
NO_TEXT = "no text"  # in place of a fact's source, which is never called so
SHOWN = 100  # refused rows that are told one by one

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "id, account_key, actor, name, occurred_at, value, label"

_STAGE = """
create temp table staged as
select *, (occurred_at at time zone {zone})::date as day
from (
  select row_number() over () as place, source,
         nullif(id::varchar, '') as id, nullif(account_key::varchar, '') as account_key, actor::varchar as actor,
         nullif(name::varchar, '') as name, occurred_at::timestamp at time zone 'UTC' as occurred_at,
         value::double as given, floor(given * 1024 + 0.5) / 1024 as value, label::varchar as label
  from {incoming})
"""

_REFUSE = f"""
create temp table refused as
select place, id, reason
from (
  select place, id, case
    when source = '{NO_TEXT}' then 'it holds half of a surrogate pair, which is no text'
    when source <> {{source}} then 'it is a fact of another source'
    when id is null then 'it has no id'
    when account_key is null then 'it has no account key'
    when name is null then 'it has no name'
    when occurred_at is null then 'it has no moment, or one without a timezone'
    when not isfinite(occurred_at) then 'its moment is infinite'
    when not isfinite(given) then 'its value is not a number'
    when abs(given) > {BIGGEST} then 'its value is too large'
    when length(label) > 64 then 'its label is longer than 64 characters'
  end as reason
  from staged)
where reason is not null
"""

_PAGE = """
create temp table page as
select id, account_key, actor, name, occurred_at, value, label, day, strftime(day, '%Y-%m') as month,
       value is null and label is null as retraction
from staged s
where place not in (select place from refused)
qualify row_number() over (partition by id order by place desc) = 1
"""


def stage(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    page: Page,
    *,
    timezone: ZoneInfo,
    erased: Callable[[str], bool] | None = None,
) -> tuple[tuple[Rejected, ...], int]:
    """Fill the temporary tables `page` and `refused`; returns refused rows (the first ones) and how many there are.

    Of rows with the same id the last one counts. Rows of account keys that are `erased` are not even refused.
    """
    events = page.events
    if isinstance(events, Sequence):
        incoming = "(select *, make_timestamptz(at_us) as occurred_at from arrived)"
        connection.register("arrived", _table(events))
    else:
        incoming = f"(select {text(source)} as source, {_COLUMNS} from arrived)"
        # asked for its shape, a relation would run; a reader is consumed once, whoever looks at it before
        connection.register("arrived", RecordBatchReader.from_arrow(events))
    connection.execute(_STAGE.format(zone=text(timezone.key), incoming=incoming))
    connection.unregister("arrived")
    if erased is not None:
        _leave_out(connection, erased)
    connection.execute(_REFUSE.format(source=text(source)))
    connection.execute(_PAGE)
    return _refused(connection)


def _leave_out(connection: duckdb.DuckDBPyConnection, erased: Callable[[str], bool]) -> None:
    keys = connection.execute("select distinct account_key from staged where account_key is not null").fetchall()
    gone = [key for (key,) in keys if erased(key)]
    if gone:
        connection.execute("delete from staged where account_key in (select unnest(?))", [gone])


def _table(events: Sequence[Event]) -> Table:
    try:
        return _arrived(events)
    except UnicodeEncodeError:  # half of a surrogate pair, somewhere
        return _arrived([_repaired(event) for event in events])


def _repaired(event: Event) -> Event:
    """A fact with something in it that is no text becomes one of no source, which is refused."""
    whole = [part.encode(errors="replace").decode() if isinstance(part, str) else part for part in event]
    return event if whole == list(event) else Event._make(whole)._replace(source=NO_TEXT)


def _arrived(events: Sequence[Event]) -> Table:
    text_type, number = DataType.utf8(), DataType.float64()
    columns: dict[str, tuple[Iterator[Any], Any]] = {
        "source": ((e.source for e in events), text_type),
        "id": ((e.id for e in events), text_type),
        "account_key": ((e.account_key for e in events), text_type),
        "actor": ((e.actor for e in events), text_type),
        "name": ((e.name for e in events), text_type),
        "at_us": ((_microseconds(e.occurred_at) for e in events), DataType.int64()),
        "value": ((None if e.value is None else float(e.value) for e in events), number),
        "label": ((e.label for e in events), text_type),
    }
    return Table.from_pydict({name: Array(list(rows), type=kind) for name, (rows, kind) in columns.items()})


def _microseconds(moment: datetime) -> int | None:
    return None if moment.tzinfo is None else (moment - EPOCH) // timedelta(microseconds=1)


def _refused(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Rejected, ...], int]:
    first = f"select coalesce(id, 'row ' || place), reason from refused order by place limit {SHOWN}"
    rows = tuple(Rejected(*row) for row in connection.execute(first).fetchall())
    return rows, delta.one_row(connection, "select count(*) from refused")[0]


def changes(
    connection: duckdb.DuckDBPyConnection, page: Page, *, settled: str | None, tail: str | None
) -> tuple[int, int, date | None, date | None]:
    """Fill the temporary table `changes` with what the page adds, changes and retracts.

    `settled` and `tail` are SQL relations over the log's rows of this source: everything that is not settled yet, and
    the settled months that the page can touch. Returns facts written and retracted, first and last day touched.
    """
    _known(connection, page, settled, tail)
    beyond = _beyond(page)
    connection.execute(f"""
create temp table changes as
select p.* exclude (retraction)
from page p left join known k on k.id = p.id
where not p.retraction and (k.id is null
  or (p.account_key, p.actor, p.name, p.occurred_at, p.value, p.label, p.day)
     is distinct from (k.account_key, k.actor, k.name, k.occurred_at, k.value, k.label, k.day))
union all
select k.id, k.account_key, k.actor, k.name, k.occurred_at, null, null, k.day, strftime(k.day, '%Y-%m')
from known k
where k.id in (select id from page where retraction)
   or (k.id not in (select id from page) and k.id not in (select id from refused where id is not null)
       and ({beyond}))
""")
    query = """
select count(*) filter (where value is not null or label is not null),
       count(*) filter (where value is null and label is null), min(day), max(day)
from changes
"""
    written, retracted, first, last = delta.one_row(connection, query)
    return written, retracted, first, last


def _beyond(page: Page) -> str:
    """The condition under which a known fact that is not in the page stops being true."""
    said = []
    if page.replaces is not None:
        low, high = page.among or ("", None)
        before = f" and account_key < {text(high)}" if high is not None else ""
        said.append(f"{_days(page.replaces)} and account_key >= {text(low)}{before}")
    if page.retracts:
        said.append(f"split_part(id, '/', 1) in ({', '.join(text(subject) for subject in page.retracts)})")
    return " or ".join(said) or "false"


def _days(replaces: tuple[date, date]) -> str:
    first, last = replaces
    return f"day between date '{first}' and date '{last}'"


_FACT = "id, account_key, actor, name, occurred_at, value, label, day"


def _known(connection: duckdb.DuckDBPyConnection, page: Page, settled: str | None, tail: str | None) -> None:
    """What the log holds now of the facts in question: the newest of the tail, else the settled row."""
    beyond = _beyond(page)
    # known by the files' own statistics, this spares a long tail from being read for every page of a backfill
    near = f" and {_days(page.replaces)}" if page.dated_ids and page.replaces else ""
    connection.execute("create temp table asked as select id from page")
    for rows in (settled, tail):
        if rows is not None and beyond != "false":
            connection.execute(f"insert into asked select id from {rows} where {beyond}")
    connection.execute(f"create temp table recent as select {_FACT}, null::timestamptz as seen_at from page limit 0")
    if tail is not None:
        connection.execute(
            f"insert into recent select {_FACT}, seen_at from {tail} where id in (select id from asked){near}"
            " qualify row_number() over (partition by id order by seen_at desc) = 1"
        )
    live = f"select {_FACT} from recent where value is not null or label is not null"
    if settled is not None:
        live += (
            f" union all select {_FACT} from {settled} "
            "where id in (select id from asked) and id not in (select id from recent)"
        )
    connection.execute(f"create temp table known as {live}")
