"""A small world of facts for the scoring tests, and the compiled scorecard run over it by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

import duckdb

from scoring import PARTS_BY, SCORES_BY, Asked, Compiled, Part, Scorecard, compile

TODAY = date(2026, 11, 20)
LONG_AGO = date(2024, 1, 1)
TABLES = """
set TimeZone = 'UTC';
create table events(source varchar, id varchar, account_key varchar, actor varchar, name varchar, day date,
                    occurred_at timestamp, value double, label varchar);
create table links(source varchar, account_key varchar, account varchar);
create table accounts(account varchar, since date);
create table reads(source varchar, since date, through date);
create table days(as_of date);
create view scope as
select a.account, d.as_of from accounts a cross join days d where a.since is null or a.since <= d.as_of;
"""


class Fact(NamedTuple):
    source: str
    id: str
    account_key: str
    actor: str | None
    name: str
    day: date
    occurred_at: datetime
    value: float | None
    label: str | None


class Score(NamedTuple):
    score: float | None
    tier: str
    tier_score: float | None
    coverage: float
    low: float
    high: float
    held: bool


@dataclass
class World:
    """`sources`: what each can yield. `reads`: since and through. `links`: (source, key) to account."""

    sources: Mapping[str, Sequence[str]]
    facts: list[Fact] = field(default_factory=list)
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    accounts: dict[str, date | None] = field(default_factory=lambda: {"acme": None})
    reads: dict[str, tuple[date, date]] = field(default_factory=dict)
    days: tuple[date, ...] = (TODAY,)

    def add(self, name: str, *, ago: int = 0, hour: int = 9, **given: Any) -> None:
        """A fact of `ago` days before today; one source and one key serve unless others are named."""
        day = TODAY - timedelta(days=ago)
        source = given.get("source", next(iter(self.sources)))
        subject = given.get("id", f"{len(self.facts)}/{name}")
        self.facts.append(
            Fact(
                source,
                subject,
                given.get("key", "acme"),
                given.get("actor"),
                name,
                day,
                datetime.combine(day, time(hour)),
                given.get("value", 1.0 if given.get("label") is None else None),
                given.get("label"),
            )
        )


def plain(*names: str, through: date = TODAY) -> World:
    """One source that yields these names, read from long ago, linked to the one account."""
    return World({"facts": names}, links={("facts", "acme"): "acme"}, reads={"facts": (LONG_AGO, through)})


class Scored(NamedTuple):
    scores: dict[tuple[str, date], Score]
    parts: dict[tuple[str, date], list[Part]]
    rules: dict[tuple[str, date], dict[str, Any]]

    def part(self, measure: str, account: str = "acme", day: date = TODAY) -> Part:
        return next(part for part in self.parts[account, day] if part.measure == measure)

    def score(self, account: str = "acme", day: date = TODAY) -> Score:
        return self.scores[account, day]


def card(**given: Any) -> Scorecard:
    return Scorecard.model_validate({"name": "test", **given})


def connect(*, threads: int = 1) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": threads})
    connection.execute(TABLES)
    return connection


def fill(connection: duckdb.DuckDBPyConnection, world: World) -> None:
    rows: Mapping[str, Sequence[Sequence[object]]] = {
        "events": world.facts,
        "links": [(source, key, account) for (source, key), account in world.links.items()],
        "accounts": list(world.accounts.items()),
        "reads": [(source, *dates) for source, dates in world.reads.items()],
        "days": [(day,) for day in world.days],
    }
    for table, content in rows.items():
        connection.execute(f"delete from {table}")
        if content:  # a column at a time, which is many times faster than row by row
            kinds = connection.execute(f"select * from {table}").description or ()
            columns = ", ".join(f"unnest(?::{kind}[])" for _, kind, *_ in kinds)
            connection.execute(f"insert into {table} select {columns}", list(zip(*content, strict=True)))


def run(scorecard: Scorecard, world: World, connection: duckdb.DuckDBPyConnection | None = None) -> Scored:
    connection = connection or connect()
    fill(connection, world)
    return score(compile(scorecard, world.sources, asked(world)), connection)


def asked(world: World) -> Asked | None:
    """The one day of a world, known beforehand; with several, they are only in the tables."""
    if len(world.days) > 1:
        return None
    (day,) = world.days
    return Asked(day, {source: min(day, through) for source, (_, through) in world.reads.items()})


def score(compiled: Compiled, connection: duckdb.DuckDBPyConnection) -> Scored:
    for name, sql in compiled.tables:
        connection.execute(f"create or replace temp table {name} as {sql}")
    scores = {
        (row[0], row[1]): Score(*row[2:])
        for row in connection.execute(f"{compiled.scores} order by {SCORES_BY}").fetchall()
    }
    parts: dict[tuple[str, date], list[Part]] = {}
    for row in connection.execute(f"{compiled.parts} order by {PARTS_BY}").fetchall():
        parts.setdefault((row[0], row[1]), []).append(Part(*row[2:]))
    rules = {}
    if compiled.rules:
        found = connection.execute(compiled.rules)
        columns = [column[0] for column in found.description or ()][2:]
        rules = {(row[0], row[1]): dict(zip(columns, row[2:], strict=True)) for row in found.fetchall()}
    return Scored(scores, parts, rules)
