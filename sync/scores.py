"""Scores: the compiled scorecard run over a snapshot of the log, and handed on account by account.

Everything the SQL joins to the events is put beside them here: accounts, links, how far each source has been read, and
the days to score. Nothing is written outside the connection's memory and spill folder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from arro3.core import Array, DataType, Table

from scoring import Asked, Compiled, Part, Range, Segment, Standing, assignment, compile, told_apart
from sync import delta
from sync.fold import NOBODY, fold
from sync.links import Link
from sync.rows import HEALTH

if TYPE_CHECKING:
    import duckdb

    from sync.log import Log
    from sync.rows import AccountRow, Reading

EARLIEST = date(1970, 1, 1)
OF_ACCOUNT = 12  # columns of `Scored` besides its parts
CHUNK = 20_000  # rows on their way out of the engine
GIVEN = 20_000  # rows on their way into it
MOST = 1_000  # megabytes for the engine, however many the accounts
# Two chunks of a range are at work at a time, so many accounts each at most, each in an engine with this limit.
BESIDE, AT_ONCE, RANGE_MEMORY = 2, 1_250, "500MB"


class Scored(NamedTuple):
    """One account on one day. `parts` holds every measure of the scorecard, those without data too.

    `tier` is the one to tell, `raw_tier` that of the score alone; `fold` is the state of the steady tier after the day,
    `flags` the caps in force and the watch flags.
    """

    account: str
    as_of: date
    score: float | None
    tier: str
    coverage: float
    low: float | None
    high: float | None
    held: bool
    raw_tier: str
    fold: str | None
    flags: str
    version: str
    parts: tuple[Part, ...]

    @property
    def standing(self) -> Standing:
        return Standing(self.tier, self.raw_tier, self.fold, self.flags)


@dataclass(frozen=True)
class Basis:
    """What a scoring stands on. `names` says, per source, the event names or patterns it can yield.

    `segments`: the scorecards, each for the accounts whose attributes, which `home` tells, meet its rule. `further`:
    those of other scores than health, by the score's name.
    """

    segments: Sequence[Segment]
    home: str
    accounts: Sequence[AccountRow]
    links: Iterable[Link]
    readings: Sequence[Reading]
    names: Mapping[str, Sequence[str]]
    timezone: ZoneInfo
    further: Mapping[str, Sequence[Segment]] = field(default_factory=dict)

    def of(self, score: str) -> Basis:
        """The same for one of the scores alone."""
        return self if score == HEALTH else replace(self, segments=self.further[score])


def alone(basis: Basis, account: AccountRow) -> Basis:
    """What scoring one account by itself stands on; score it with `few`."""
    return replace(basis, accounts=[account], links=[link for link in basis.links if link.account == account.id])


class On(Protocol):
    """Scores a day; see `scored`."""

    def __call__(
        self, day: date, before: str = NOBODY, *, final: bool = True, score: str = HEALTH
    ) -> duckdb.DuckDBPyConnection: ...


# Accounts are numbers until they are scored, in the order of their ids: they are grouped and joined by.
_NAMED = """create or replace table scored as
select a.id as account, {columns} from (
{scored}
) s join accounts a on a.account = s.account"""

_SCOPE = "select a.account, d.as_of from accounts a cross join days d where a.since <= d.as_of"
_FACTS = """
create or replace table facts as
select e.* from every_event e
semi join links l on l.source = e.source and l.account_key = e.account_key where e.source in ({named})
union all by name
select e.* exclude (id, occurred_at) from every_event e
semi join links l on l.source = e.source and l.account_key = e.account_key where e.source not in ({named})"""
_NO_RULES = "select account, as_of from scored where false"
_TOLD = """
select account, as_of, score, tier, coverage, low, high, held, raw_tier, tier_score, fold, flags,
       '{card.name}' as scorecard, '{card.version}' as version
from tiers"""

# Words of a known few are numbers to the engine: that halves what it costs to write two million of them to a file.
_PARTS = """
select account, as_of, dimension::enum({dimensions}) as dimension, measure::enum({measures}) as measure,
       value, points, weight, contribution, state::enum({states}) as state from (
{parts}
)"""


@contextmanager
def scored(
    log: Log,
    basis: Basis,
    *,
    spill: Path,
    also: Sequence[Path] = (),
    threads: int = 2,
    few: bool = False,
    memory: str | None = None,
) -> Iterator[On]:
    """A function that scores a day and gives the connection with its relations `scores` and `parts`.

    They stand until the next day is asked for: a day at a time is as fast as many, and needs no more memory. The
    connection reaches the folders in `also` besides the log. With the day go the states of the steady tiers before it,
    as SQL, whether it is final, and the score that is asked for; `relations` says how the names of a further score's
    begin. `few`: the accounts are so few that their facts are read from the log once and kept beside them, rather than
    all facts for each day. `memory`: what the engine may use, if not what is enough for all.
    """
    limit = memory or _memory(len(basis.accounts))
    with closing(log.connect(memory_limit=limit, threads=threads, spill=spill, also=also)) as connection:
        _hand_over(connection, basis)
        if few:
            connection.execute(f"create temp table facts as select * from events where {_linked(basis.links)}")
            connection.execute("create or replace temp view events as select * from facts")
        basis = replace(basis, accounts=(), links=())  # they are in those tables now, and large

        def on(
            day: date, before: str = NOBODY, *, final: bool = True, score: str = HEALTH
        ) -> duckdb.DuckDBPyConnection:
            connection.execute(f"create or replace table days as select date '{day.isoformat()}' as as_of")
            day_asked, of = asked(basis, day), relations(score)
            _tell(connection, basis.of(score), day_asked, before=before, final=final, of=of)
            return connection

        yield on


@contextmanager
def ranged(
    log: Log,
    basis: Basis,
    first: date,
    last: date,
    *,
    spill: Path,
    also: Sequence[Path] = (),
    before: str = NOBODY,
    parts: bool = True,
) -> Iterator[Iterator[duckdb.DuckDBPyConnection]]:
    """Every day from first to last, final all of them, some accounts after others: what `scored` gives for each day is
    here in `scores` and, if they are wanted, `parts` for all days, a connection for each chunk of accounts.

    They stand until the next chunk is asked for, while that is being worked out: each engine takes one thread and every
    other chunk, which keeps both cores at work where one engine for all leaves one idle a third of the time. The facts
    of a chunk are read from the log once for all its days; chunks, made here, are so small that these and all the days
    of two of them fit beside each other into a gigabyte.
    """
    chunks = _cut(len(basis.accounts))
    with ExitStack() as stack:
        engines = [
            stack.enter_context(closing(log.connect(memory_limit=RANGE_MEMORY, threads=1, spill=spill, also=also)))
            for _ in chunks[:BESIDE]
        ]
        for engine in engines:
            _prepare(engine, basis, first, last)
        pool = stack.enter_context(ThreadPoolExecutor(BESIDE))
        for engine in engines:
            stack.callback(engine.interrupt)  # where the rest is not asked for any more
        basis, named = replace(basis, accounts=(), links=()), _named(basis)

        def work(engine: duckdb.DuckDBPyConnection, chunk: range) -> duckdb.DuckDBPyConnection:
            _narrow(engine, chunk, named)
            _tell(engine, basis, _span(engine, basis, first, last), before=before, parts=parts)
            return engine

        def told() -> Iterator[duckdb.DuckDBPyConnection]:
            under_way = deque(pool.submit(work, *given) for given in zip(engines, chunks, strict=False))
            waiting = deque(chunks[BESIDE:])
            while under_way:
                engine = under_way.popleft().result()
                yield engine
                if waiting:
                    under_way.append(pool.submit(work, engine, waiting.popleft()))

        yield told()


def _cut(accounts: int) -> Sequence[range]:
    """Chunks of nearly the same size, as many for each engine."""
    rounds = -(-accounts // (BESIDE * AT_ONCE))
    size = max(1, -(-accounts // (BESIDE * rounds))) if rounds else 1
    return [range(start, min(start + size, accounts)) for start in range(0, accounts, size)]


def _prepare(connection: duckdb.DuckDBPyConnection, basis: Basis, first: date, last: date) -> None:
    """Hand over all accounts and links, and the days."""
    _hand_over(connection, basis)
    for name in ("accounts", "links"):
        connection.execute(f"alter table {name} rename to every_{name}")
    connection.execute("alter view events rename to every_event")
    day = f"date '{first.isoformat()}' + n::integer"
    connection.execute(f"create table days as select {day} as as_of from range({(last - first).days + 1}) d(n)")


def _named(basis: Basis) -> set[str]:
    """The sources whose facts are told apart by moment and id: ids are half of what reading a log costs."""
    by_rule = {basis.home} if len(basis.segments) > 1 else set[str]()
    return by_rule.union(*(told_apart(segment.card, basis.names) for segment in basis.segments))


def _narrow(connection: duckdb.DuckDBPyConnection, chunk: range, named: Iterable[str]) -> None:
    """Make these accounts, their links and their facts those that are scored; ids and moments of these sources only."""
    for name in ("accounts", "links"):
        among = f"account >= {chunk.start} and account < {chunk.stop}"
        connection.execute(f"create or replace table {name} as select * from every_{name} where {among}")
    connection.execute(_FACTS.format(named=_listed({"", *named})))
    connection.execute("create or replace view events as select * from facts")


def relations(score: str) -> str:
    """How the names of a score's relations begin; no score is called so that two of them could be mixed up."""
    return "" if score == HEALTH else f"{score}__"


def _tell(
    connection: duckdb.DuckDBPyConnection,
    basis: Basis,
    asked: Asked | Range,
    *,
    before: str,
    final: bool = True,
    of: str = "",
    parts: bool = True,
) -> None:
    """Make `scores` and `parts` of the accounts and days that stand in the tables, each by its scorecard.

    `of`: how their names begin.
    """
    connection.execute(f"create or replace view scope as {_SCOPE}")
    several = len(basis.segments) > 1
    if several:
        by_rule = assignment(basis.segments, basis.home, basis.names[basis.home])
        connection.execute(f"create or replace table segments as {by_rule}")
    by_day = several and isinstance(asked, Range) and _moves(connection)
    for place, segment in enumerate(basis.segments):
        compiled = compile(segment.card, basis.names, asked)
        # of a few accounts all steps fit into memory beside each other, and none is written down in between
        kept = "view" if isinstance(asked, Range) else "table"
        _score(connection, basis, place, compiled, kept=kept, of=of, parts=parts)
        if by_day:
            for name in ("raw", "rules"):
                connection.execute(f"create or replace table {name}_{place} as select * from {name}")
        else:
            fold(connection, segment.card, before=before, final=final)
            told = _TOLD.format(card=segment.card)
            connection.execute(f"create or replace table {of}scores_{place} as {told}")
    if by_day:
        _fold_by_day(connection, basis, before)
    for name in ("scores", "parts") if parts else ("scores",):
        every = " union all ".join(f"select * from {of}{name}_{place}" for place in range(len(basis.segments)))
        connection.execute(f"create or replace view {of}{name} as {every}")


def _moves(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an account changes its scorecard on the way: then its steady tier starts afresh on that day."""
    counts = "select count(distinct segment) as n from segments group by account"
    [(most,)] = connection.execute(f"select coalesce(max(n), 1) from ({counts})").fetchall()
    return int(most) > 1


def _fold_by_day(connection: duckdb.DuckDBPyConnection, basis: Basis, before: str) -> None:
    """Fold one day after the other, each from the states that the last one left, by whichever scorecard."""
    places = range(len(basis.segments))
    left = " union all ".join(f"select account, as_of, fold from scores_{place}" for place in places)
    days = connection.execute("select as_of from days order by as_of").fetchall()
    for number, (day,) in enumerate(days):
        for place, segment in enumerate(basis.segments):
            for name in ("raw", "rules"):
                connection.execute(
                    f"create or replace view {name} as select * from {name}_{place} where as_of = date '{day}'"
                )
            fold(connection, segment.card, before=before)
            how = f"insert into scores_{place}" if number else f"create or replace table scores_{place} as"
            connection.execute(f"{how} {_TOLD.format(card=segment.card)}")
        before = f"select account, fold from ({left}) where as_of = date '{day}'"


def _score(
    connection: duckdb.DuckDBPyConnection,
    basis: Basis,
    place: int,
    compiled: Compiled,
    *,
    kept: str,
    of: str,
    parts: bool,
) -> None:
    """Make the relations `raw`, `rules` and `<of>parts_<place>` of one scorecard, for the accounts it is for.

    `kept`: what the stages become on the way there.
    """
    several = len(basis.segments) > 1
    if several:
        connection.execute(
            f"create or replace view scope as select account, as_of from segments where segment = {place}"
        )
    *stages, last = compiled.tables
    for name, sql in stages:
        connection.execute(f"create {kept} {name} as {sql}")
    columns = "s.* exclude (account)" if parts else ", ".join(f"s.{name}" for name in compiled.totals[1:])
    connection.execute(_NAMED.format(columns=columns, scored=last.sql))
    for name, _ in stages:
        connection.execute(f"drop {kept} {name}")
    if parts:
        _part(connection, basis, place, compiled, of=of)
    connection.execute(f"create or replace view raw as {compiled.scores}")
    connection.execute(f"create or replace view rules as {compiled.rules or _NO_RULES}")


def _part(connection: duckdb.DuckDBPyConnection, basis: Basis, place: int, compiled: Compiled, *, of: str) -> None:
    """Make `<of>parts_<place>`."""
    cards = [segment.card for segment in basis.segments]
    parts = _PARTS.format(
        parts=compiled.parts,
        dimensions=_listed({name for card in cards for name in card.dimensions}),
        measures=_listed({name for card in cards for name in card.measures}),
        states=_listed(("live", "held", "missing", "stale")),
    )
    # one scorecard's parts are read from its wide rows as they are asked for; the next one's take their place
    kind = "table" if len(cards) > 1 or of else "view"
    connection.execute(f"create or replace {kind} {of}parts_{place} as {parts}")


def fetch(
    connection: duckdb.DuckDBPyConnection, accounts: Sequence[str] | None = None, *, of: str = ""
) -> Iterator[Scored]:
    """The accounts of the day, or these of them, in order, a bounded number of rows in memory at a time.

    `of`: how the names of the relations begin, where they are a further score's or of a day that was put aside.
    """
    among, values = within("account", accounts)
    rows = connection.execute(
        f"""
        select s.account, s.as_of, s.score, s.tier, s.coverage, s.low, s.high, s.held, s.raw_tier, s.fold, s.flags,
               s.version, p.dimension, p.measure, p.value, p.points, p.weight, p.contribution, p.state
        from (select * from {of}parts where true{among}) p
        join (select * from {of}scores where true{among}) s on s.account = p.account
        order by s.account, p.dimension, p.measure
        """,
        [*values, *values],
    )
    for _, group in groupby(_chunked(rows), key=itemgetter(0)):
        lines = list(group)
        parts = tuple(Part(*line[OF_ACCOUNT:]) for line in lines)
        yield Scored._make((*lines[0][:OF_ACCOUNT], parts))


def within(column: str, accounts: Sequence[str] | None) -> tuple[str, list[Any]]:
    """SQL, and its values, that picks these accounts; the range lets an engine pass over what is far from them."""
    if accounts is None:
        return "", []
    if not accounts:
        return " and false", []
    picked = f" and {column} between ? and ? and {column} in (select unnest(?))"
    return picked, [min(accounts), max(accounts), list(accounts)]


def _linked(links: Iterable[Link]) -> str:
    """The test for the facts of these keys, in words by which files and blocks of the log are passed over."""
    keys: dict[str, list[str]] = {}
    for link in links:
        keys.setdefault(link.source, []).append(delta.text(link.key))
    tests = (f"(source = {delta.text(name)} and account_key in ({', '.join(some)}))" for name, some in keys.items())
    return " or ".join(tests) or "false"


def _memory(accounts: int) -> str:
    """What the engine may use before it spills: enough for a hundred facts of each of half a million accounts."""
    return f"{min(200 + accounts * 3 // 2_000, MOST)}MB"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def put_aside(connection: duckdb.DuckDBPyConnection, name: str, *, of: str = "") -> None:
    """Keep the relations of the day, whose names begin with `of`, beside those of the next one."""
    for relation in ("scores", "parts"):
        connection.execute(f"create table {of}{name}{relation} as select * from {of}{relation}")


def statement(log: Log, basis: Basis) -> str:
    """The SQL of a scoring as text: how the events are read from the log, then the named steps."""
    told = [f"-- the facts\n{log.sql()};", f"-- who is scored on which day\ncreate view scope as\n{_SCOPE};"]
    if len(basis.segments) > 1:
        by_rule = assignment(basis.segments, basis.home, basis.names[basis.home])
        told.append(f"-- by which scorecard; scope below stands for one of them at a time\n{by_rule};")
    for segment in basis.segments:
        said = f" where {segment.when}" if segment.when else ""
        told.append(f"-- {segment.card.name}{said}\n{compile(segment.card, basis.names).sql()}")
    return "\n\n".join(told)


def last_day(through: datetime, zone: ZoneInfo) -> date:
    """The last day that facts read through this moment speak for."""
    return (through - timedelta(microseconds=1)).astimezone(zone).date()


def first_day(since: datetime, zone: ZoneInfo) -> date:
    """The first day that facts read from this moment on are complete for."""
    local = since.astimezone(zone)
    return local.date() if local.timetz().replace(tzinfo=None) == time.min else local.date() + timedelta(days=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins in `zone`, in UTC."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def asked(basis: Basis, day: date) -> Asked:
    """The day, and where each source's clock stands on it."""
    read = {r.source: last_day(r.through, basis.timezone) for r in basis.readings if r.through}
    return Asked(day, {source: min(day, through) for source, through in read.items()})


def _span(connection: duckdb.DuckDBPyConnection, basis: Basis, first: date, last: date) -> Range:
    """The range, with how much each source says of the accounts at hand."""
    through = {r.source: last_day(r.through, basis.timezone) for r in basis.readings if r.through}
    counted = connection.execute("select source, count(*) / (select count(*) from accounts) from facts group by source")
    return Range(first, last, through, dict(counted.fetchall()))


def _hand_over(connection: duckdb.DuckDBPyConnection, basis: Basis) -> None:
    """Make the tables that facts are joined to; two of them are as large as all customers, or several times that."""
    zone = basis.timezone
    customers = sorted(basis.accounts, key=attrgetter("id"))
    numbers = {row.id: number for number, row in enumerate(customers)}
    _create(
        connection,
        "reads",
        [r for r in basis.readings if r.through],
        source=("varchar", attrgetter("source")),
        since=("date", lambda reading: _number(first_day(reading.since, zone) if reading.since else EARLIEST)),
        through=("date", lambda reading: _number(last_day(reading.through, zone))),
    )
    _create(
        connection,
        "accounts",
        customers,
        account=("integer", lambda row: numbers[row.id]),
        since=("date", lambda row: _number(row.since.astimezone(zone).date() if row.since else EARLIEST)),
        id=("varchar", attrgetter("id")),
    )
    _create(
        connection,
        "links",
        basis.links,
        source=("varchar", attrgetter("source")),
        account_key=("varchar", attrgetter("key")),
        # null, and joined to nothing, where the settings name an account that is no customer
        account=("integer", lambda link: numbers.get(link.account)),
    )


def _number(day: date) -> int:
    """A day as columns have it."""
    return day.toordinal() - EARLIEST.toordinal()


def _create(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Iterable[Any], **columns: tuple[str, Callable[[Any], Any]]
) -> None:
    """A table, filled some rows at a time as they come. Of each column, its type and what of a row goes into it."""
    connection.execute(f"create table {name}({', '.join(f'{column} {kind}' for column, (kind, _) in columns.items())})")
    rows = iter(rows)
    while some := [*islice(rows, GIVEN)]:
        arrays: dict[str, Any] = {column: _array([*map(of, some)], kind) for column, (kind, of) in columns.items()}
        connection.register("incoming", Table.from_pydict(arrays))
        connection.execute(f"insert into {name} from incoming")
        connection.unregister("incoming")


def _array(values: list[Any], kind: str) -> Array:
    found = Array(values, DataType.string() if kind == "varchar" else DataType.int32())
    return found.cast(DataType.date32()) if kind == "date" else found


def _chunked(rows: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while chunk := rows.fetchmany(CHUNK):
        yield from chunk
