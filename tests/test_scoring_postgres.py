"""The same steps on PostgreSQL, moved there by sqlglot alone: bit-identical numbers, parts and scores."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg
import sqlglot

from scoring import PARTS_BY, SCORES_BY, Compiled, Range, Scorecard, compile
from tests.scoring_world import TABLES, TODAY, World, asked, connect, fill, score
from tests.test_scoring_presets import SOURCES, preset
from tests.test_scoring_signals import signals

COLUMNS = {"events": 9, "links": 3, "accounts": 2, "reads": 3, "days": 1}


def test_postgresql_gives_the_same_bits(postgres_database: str) -> None:
    world = crowd()
    with connect() as duck, prepared(postgres_database) as post:
        fill(duck, world)
        filled(post, duck)
        for card in (signals(), preset("mid_market"), preset("saas"), preset("usage_sentiment")):
            same(card, world, duck, post)


@contextmanager
def prepared(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database that has the scoring's tables, without rows."""
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as post:
        for statement in TABLES.split(";"):
            if "create " in statement:
                post.execute(moved(statement))
        yield post


def filled(post: psycopg.Connection[Any], duck: duckdb.DuckDBPyConnection) -> None:
    """The rows that DuckDB's tables have, and no others."""
    for table, width in COLUMNS.items():
        post.execute(f"truncate {table}")
        marks = ", ".join(["%s"] * width)
        with post.cursor() as cursor:
            cursor.executemany(f"insert into {table} values ({marks})", duck.table(table).fetchall())


def same(card: Scorecard, world: World, duck: Any, post: psycopg.Connection[Any]) -> None:
    through = {source: through for source, (_, through) in world.reads.items()}
    for known in (None, asked(world), Range(TODAY, TODAY, through, {"product": 10_000})):
        alike(compile(card, world.sources, known), duck, post)


def alike(compiled: Compiled, duck: Any, post: psycopg.Connection[Any]) -> None:
    score(compiled, duck)
    stage(compiled, post)
    asked_for = [f"{compiled.scores} order by {SCORES_BY}", f"{compiled.parts} order by {PARTS_BY}"]
    for query in asked_for + [f"{sql} order by {SCORES_BY}" for sql in (compiled.rules,) if sql]:
        there = post.execute(moved(query)).fetchall()
        assert there == duck.execute(query).fetchall()
        assert there


def stage(compiled: Compiled, post: psycopg.Connection[Any]) -> None:
    """Each step a table of its own: the planner of PostgreSQL would otherwise copy each into the next."""
    post.execute("discard temp")
    for step in (step for stage in compiled.stages for step in stage):
        post.execute(f"create temp table {step.name} as {moved(step.sql)}")
        post.execute(f"analyze {step.name}")


def moved(sql: str) -> str:
    return sqlglot.transpile(sql, read="duckdb", write="postgres")[0]


def crowd() -> World:
    """Forty accounts of two keys each; odd values; a help desk that is behind and a team that fell silent."""
    chance = random.Random(7)
    world = World(SOURCES, accounts={f"acme{number}": None for number in range(40)})
    for source, behind in (("product", 0), ("desk", 3), ("crm", 1), ("team", 30)):
        since, through = TODAY.replace(year=2024), TODAY.fromordinal(TODAY.toordinal() - behind)
        world.reads[source] = (since, through)
        for number in range(40):
            if chance.random() < 0.85:
                world.links.update({(source, f"{number}{key}"): f"acme{number}" for key in "ab"})
    names = {"product": PRODUCT, "desk": DESK, "crm": ["seats", "arr", "milestones_planned"], "team": TEAM}
    for number in range(4000):
        source = chance.choice(list(names))
        value = chance.randrange(-2048, 8192) / 1024
        world.add(
            chance.choice(names[source]),
            ago=int(chance.expovariate(1 / 40)),
            hour=chance.randrange(24),
            source=source,
            key=f"{chance.randrange(40)}{chance.choice('ab')}",
            id=f"{number // 3}/{number}",
            actor=chance.choice([None, "ann", "bob", "cy"]),
            value=abs(value) + 1 if source == "crm" else value,
        )
    return world


PRODUCT = ["login", "login", "feature.a", "feature.api", "feature.key", "feature.export", "flow.started", "flow.done"]
DESK = ["ticket.created", "ticket.solved", "ticket.severity", "ticket.sentiment", "ticket.reopened", "csat.response"]
TEAM = ["milestone.a", "milestone.b", "certified", "csm.email", "email.replied", "qbr", "meeting.executive"]
