"""The tier to tell: the scores of a day, or of many, folded into steady tiers and caps.

Nearly every account stays where it is: its score is within the band of its tier, and no rule holds. Those the engine
tells by itself. The others go through the fold, by runs of days whose scores lie between the same two edges of tiers;
where a run has no more to change the rest of it is passed over. What comes back are the days a state begins on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from arro3.core import Array, DataType, Table

from scoring import Scorecard
from scoring.settle import Day, Fired, Steady, read, settle, stays, told

if TYPE_CHECKING:
    import duckdb

CHUNK = 20_000  # rows at a time
NOBODY = "select null::varchar as account, null::varchar as fold where false"
FOLDED = ("account", "begins", "tier", "fold", "caps")

# `tier` is the one an account has before the first of the days; without a state, that of its first score.
_STANDING = """
create or replace table standing as
select *, {still} as still from (
  select s.account, any_value(b.fold) as before, min(s.as_of) filter (s.tier <> 'unscored') as first,
         split_part(any_value(b.fold), ' ', 2) is not distinct from '{version}' as same,
         case when same then split_part(before, ' ', 1)
              else arg_min(s.tier, s.as_of) filter (s.tier <> 'unscored') end as tier, max(s.as_of) as last,
         min(s.tier_score) as lowest, max(s.tier_score) as highest,
         coalesce(bool_or({capped}), false) or coalesce(contains(before, 'cap='), false) as capped
  from raw s left join ({before}) b on b.account = s.account{rules}
  group by s.account)
"""
# Runs of days between the same edges, each of them one day where a cap may begin or end. No account skips a day.
_RESTLESS = """
select account, as_of, coalesce(lead(as_of) over (partition by account order by as_of), last + 1) - as_of as days,
       tier, tier_score, edges, before{asked}
from (
  select s.account, s.as_of, s.tier, s.tier_score, {edges} as edges, st.before, st.last,
         st.capped or lag(s.as_of) over lived is null or lag(edges) over lived is distinct from edges as begins{rule}
  from raw s join standing st on st.account = s.account{rules}
  where not st.still window lived as (partition by s.account order by s.as_of))
where begins order by account, as_of
"""
_TOLD = """
create or replace view tiers as
select * exclude (caps{watched}), concat_ws(' ', caps{watch}) as flags from (
  select s.* exclude (tier), s.tier as raw_tier, nullif(f.caps, '') as caps{watching},
         case when s.tier = 'unscored' then s.tier else coalesce(f.tier, st.tier) end as tier,
         coalesce(f.fold, case when st.same and not {final} then st.before
                               when st.same or s.as_of >= st.first then st.tier || ' {version}' end) as fold
  from raw s join standing st on st.account = s.account
  left join (
    select *, lead(begins, 1, 'infinity') over (partition by account order by begins) as ends from folded
  ) f on f.account = s.account and s.as_of >= f.begins and s.as_of < f.ends{rules})
"""
_RULES = "\n  left join rules r on r.account = s.account and r.as_of = s.as_of"


def fold(connection: duckdb.DuckDBPyConnection, card: Scorecard, *, before: str = NOBODY, final: bool = True) -> None:
    """Make `tiers`, the rows of `raw` with the `tier` to tell, `raw_tier`, `fold` and `flags`; reads `rules` besides.

    `before`: SQL that gives the state of each account (account, fold) before the first of the days. `flags`: the caps
    in force, each with the day it began, and the watch flags.
    """
    words = {"version": card.version, "rules": _RULES if card.rules else "", "before": before, "final": final}
    capped = " or ".join(f"r.{name}__holds" for name in card.caps) or "false"
    connection.execute(_STANDING.format(still=_still(card, final=final), capped=capped, **words))
    connection.execute(
        "create or replace table folded(account varchar, begins date, tier varchar, fold varchar, caps varchar)"
    )
    asked, rule = _asked(card)
    # a cursor of its own, since rows go in while others come out
    restless = connection.cursor().execute(_RESTLESS.format(asked=asked, rule=rule, edges=_edges(card), **words))
    folded = _folded(card, restless, final=final)
    while rows := list(islice(folded, CHUNK)):
        _insert(connection, rows)
    watch = "".join(f", case when tier = 'green' and {name}__holds then 'watch:{name}' end" for name in card.watch)
    watched, watching = ("".join(f", {of}{name}__holds" for name in card.watch) for of in ("", "r."))
    connection.execute(_TOLD.format(watch=watch, watched=watched, watching=watching, **words))


def _still(card: Scorecard, *, final: bool) -> str:
    """The test that an account's days need no fold. One that is not final moves caps only."""
    if not final:
        return "not capped"
    within = " ".join(
        f"when '{tier}' then lowest >= {low!r} and highest < {high!r}" for tier, (low, high) in stays(card).items()
    )
    calm = "not capped and (before is null or not contains(before, 'toward='))"
    return f"{calm} and (first is null or case tier {within} end)"


def _edges(card: Scorecard) -> str:
    """How many of the scores at which a tier is entered or left a day is at or above; null without a score."""
    edges = sorted({edge for within in stays(card).values() for edge in within})
    return " + ".join(f"(tier_score >= '{edge!r}'::double)::integer" for edge in edges)


def _asked(card: Scorecard) -> tuple[str, str]:
    """What the fold asks of each cap's rule: whether it holds, and what it compares: names, and what they are of."""
    told = [
        column
        for name, limit in card.limits.items()
        for column in (
            f"r.{name}__holds",
            *((f"r.{name}__{w}" if limit.compared else "null") for w in ("now", "before")),
        )
    ]
    columns = [f"asked_{place}" for place in range(len(told))]
    rule = "".join(f", {one} as {column}" for one, column in zip(told, columns, strict=True))
    return "".join(f", {column}" for column in columns), rule


def _folded(card: Scorecard, rows: duckdb.DuckDBPyConnection, *, final: bool) -> Iterator[tuple[Any, ...]]:
    """What an account is told from its first day on, and from each day on that leaves it in another state."""
    known: dict[tuple[Any, ...], Steady | None] = {}
    for account, runs in groupby(_streamed(rows), itemgetter(0)):
        state: Steady | None = None
        for run, (_, first, days, tier, score, edges, before, *asked) in enumerate(runs):
            if before and not run:
                state = read(before)
            for number in range(days):
                was, day = state, first + timedelta(number)
                calm = not (any(asked[::3]) or (was and was.caps))  # then all that counts is how the score lies
                if calm and (was, tier, edges) in known:
                    state = known[was, tier, edges]
                else:
                    state = settle(card, was, Day(day, tier, score, _fired(card, asked)), final=final)
                    if calm:
                        known[was, tier, edges] = state
                if state is not None and (state != was or not run + number):
                    yield account, day.isoformat(), *_said(card, state)
                if state == was:
                    break


def _fired(card: Scorecard, asked: Sequence[Any]) -> dict[str, Fired]:
    return {name: Fired(*asked[3 * place : 3 * place + 3]) for place, name in enumerate(card.caps)}


def _said(card: Scorecard, state: Steady) -> tuple[str, str, str]:
    """The tier to tell on days with a score, the state as text, and the flags of its caps."""
    return told(card, state), state.text(), " ".join(f"cap:{cap.name}:{cap.began}" for cap in state.caps)


def _streamed(rows: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while some := rows.fetchmany(CHUNK):
        yield from some


def _insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = zip(FOLDED, zip(*rows, strict=True), strict=True)
    words: dict[str, Any] = {name: Array(list(values), DataType.string()) for name, values in columns}
    connection.register("incoming", Table.from_pydict(words))
    connection.execute("insert into folded select * from incoming")
    connection.unregister("incoming")
