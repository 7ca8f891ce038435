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
from tests.scoring_world import TABLES, TODAY, World, asked, connect, fill
from tests.test_scoring_presets import SOURCES, preset
from tests.test_scoring_signals import signals

Post = psycopg.Connection[Any]


def test_postgresql_gives_the_same_bits(postgres_database: str) -> None:
    world = crowd()
    with connect() as duck, prepared(postgres_database) as post:
        fill(duck, world)
        filled(post, duck)
        for card in (signals(), preset("mid_market"), preset("saas"), preset("usage_sentiment")):
            same(card, world, duck, post)


def test_postgresql_gives_the_same_bits_of_ten_thousand_accounts(postgres_database: str) -> None:
    world = crowd()
    with connect() as duck, prepared(postgres_database) as post:
        fill(duck, world)
        duck.execute(MANY)
        filled(post, duck)
        assert alike(compile(preset("saas"), world.sources, asked(world)), duck, post) == 10_000


@contextmanager
def prepared(database: str) -> Iterator[Post]:
    """A connection to a database that has the scoring's tables, without rows."""
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as post:
        for statement in TABLES.split(";"):
            if "create " in statement:
                post.execute(moved(statement))
        yield post


def filled(post: Post, duck: duckdb.DuckDBPyConnection) -> None:
    """The rows that DuckDB's tables have, and no others."""
    for table in ("events", "links", "accounts", "reads", "days"):
        post.execute(f"truncate {table}")
        with post.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as rows:
            for row in duck.table(table).fetchall():
                rows.write_row(row)
        post.execute(f"analyze {table}")


def same(card: Scorecard, world: World, duck: duckdb.DuckDBPyConnection, post: Post) -> None:
    through = {source: through for source, (_, through) in world.reads.items()}
    for known in (None, asked(world), Range(TODAY, TODAY, through, {"product": 10_000})):
        alike(compile(card, world.sources, known), duck, post)


def alike(compiled: Compiled, duck: duckdb.DuckDBPyConnection, post: Post) -> int:
    """How many accounts and days were compared, with all that was told of them."""
    for name, sql in compiled.tables:
        duck.execute(f"create or replace temp table {name} as {sql}")
    stage(compiled, post)
    asked_for = [f"{compiled.scores} order by {SCORES_BY}", f"{compiled.parts} order by {PARTS_BY}"]
    found = []
    for query in asked_for + [f"{sql} order by {SCORES_BY}" for sql in (compiled.rules,) if sql]:
        there = post.execute(moved(query)).fetchall()
        assert there == duck.execute(query).fetchall()
        assert there
        found.append(len(there))
    return found[0]


def stage(compiled: Compiled, post: Post) -> None:
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
    names = {"product": PRODUCT, "desk": DESK, "crm": CRM, "team": TEAM}
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
CRM = ["seats", "arr", "milestones_planned"]
TEAM = ["milestone.a", "milestone.b", "certified", "csm.email", "email.replied", "qbr", "meeting.executive"]

# Ten thousand accounts in place of the forty, each number the hash of where it stands.
MANY = f"""
delete from events; delete from links; delete from accounts;
insert into accounts select 'acme' || n, null from range(10000) a(n);
insert into links select source, n || key, 'acme' || n
from range(10000) a(n), unnest(['product', 'desk', 'crm', 'team']) s(source), unnest(['a', 'b']) k(key)
where hash(n, source) % 100 < 85;
insert into events
select source, n // 3 || '/' || n, hash(n, 1) % 10000 || ['a', 'b'][1 + (hash(n, 2) % 2)::integer],
       [null, 'ann', 'bob', 'cy'][1 + (hash(n, 3) % 4)::integer], names[1 + (hash(n, 4) % len(names))::integer], day,
       day + interval (hash(n, 5) % 24) hours,
       case when source = 'crm' then abs(value) + 1 else value end, null
from (
  select source, names, (place * 1000000 + k)::bigint as n,
         date '{TODAY}' - (power(hash(n, 6) % 100 / 10.0, 2))::integer as day,
         ((hash(n, 7) % 10240)::double - 2048) / 1024 as value
  from (values (1, 'product', {PRODUCT}), (2, 'desk', {DESK}), (3, 'crm', {CRM}), (4, 'team', {TEAM}))
       s(place, source, names), range(25000) r(k))
"""
