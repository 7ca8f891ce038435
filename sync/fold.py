"""The tier to tell: the scores of a day, or of many, folded into steady tiers and caps.

Nearly every account stays where it is: its score is within the band of its tier, and no rule holds. Those the engine
tells by itself; only the others go through the fold, day by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
FOLDED = ("account", "as_of", "tier", "fold", "caps")

# `tier` is the one an account has before the first of the days; without a state, that of its first score.
_STANDING = """
create or replace table standing as
select *, {still} as still from (
  select s.account, any_value(b.fold) as before, min(s.as_of) filter (s.tier <> 'unscored') as first,
         split_part(any_value(b.fold), ' ', 2) is not distinct from '{version}' as same,
         case when same then split_part(before, ' ', 1)
              else arg_min(s.tier, s.as_of) filter (s.tier <> 'unscored') end as tier,
         min(s.tier_score) as lowest, max(s.tier_score) as highest, coalesce(bool_or({capped}), false) as capped
  from raw s left join ({before}) b on b.account = s.account{rules}
  group by s.account)
"""
_RESTLESS = """
select s.account, s.as_of, s.tier, s.tier_score, st.before{asked}
from raw s join standing st on st.account = s.account{rules}
where not st.still order by s.account, s.as_of
"""
_TOLD = """
create or replace table tiers as
select account, as_of, tier, fold, concat_ws(' ', caps{watch}) as flags from (
  select s.account, s.as_of, f.caps{watched},
         case when s.tier = 'unscored' then s.tier else coalesce(f.tier, st.tier) end as tier,
         coalesce(f.fold, case when st.same and not {final} then st.before
                               when st.same or s.as_of >= st.first then st.tier || ' {version}' end) as fold
  from raw s join standing st on st.account = s.account
  left join folded f on f.account = s.account and f.as_of = s.as_of::varchar{rules})
"""
_RULES = "\n  left join rules r on r.account = s.account and r.as_of = s.as_of"


def fold(connection: duckdb.DuckDBPyConnection, card: Scorecard, *, before: str = NOBODY, final: bool = True) -> None:
    """Make `tiers` (account, as_of, tier, fold, flags) of the relations `raw` and `rules`.

    `before`: SQL that gives the state of each account (account, fold) before the first of the days. `flags`: the caps
    in force, each with the day it began, and the watch flags.
    """
    words = {"version": card.version, "rules": _RULES if card.rules else "", "before": before, "final": final}
    capped = " or ".join(f"r.{name}__holds" for name in card.caps) or "false"
    connection.execute(_STANDING.format(still=_still(card, final=final), capped=capped, **words))
    connection.execute(f"create or replace table folded({', '.join(f'{name} varchar' for name in FOLDED)})")
    # a cursor of its own, since rows go in while others come out
    restless = connection.cursor().execute(_RESTLESS.format(asked=_asked(card), **words))
    folded = _folded(card, restless, final=final)
    while rows := list(islice(folded, CHUNK)):
        _insert(connection, rows)
    watch = "".join(f", case when tier = 'green' and {name}__holds then 'watch:{name}' end" for name in card.watch)
    watched = "".join(f", r.{name}__holds" for name in card.watch)
    connection.execute(_TOLD.format(watch=watch, watched=watched, **words))


def _still(card: Scorecard, *, final: bool) -> str:
    """The test that an account's days need no fold. One that is not final moves caps only."""
    calm = "not capped and (before is null or not contains(before, 'cap='))"
    if not final:
        return calm
    within = " ".join(
        f"when '{tier}' then lowest >= {low!r} and highest < {high!r}" for tier, (low, high) in stays(card).items()
    )
    return (
        f"{calm} and (before is null or not contains(before, 'toward=')) and (first is null or case tier {within} end)"
    )


def _asked(card: Scorecard) -> str:
    """What the fold asks of each cap's rule: whether it holds, and what it compares."""
    return "".join(
        f", r.{name}__holds" + (f", r.{name}__now, r.{name}__before" if limit.compared else ", null, null")
        for name, limit in card.limits.items()
    )


def _folded(card: Scorecard, rows: duckdb.DuckDBPyConnection, *, final: bool) -> Iterator[tuple[Any, ...]]:
    for account, days in groupby(_streamed(rows), itemgetter(0)):
        state: Steady | None = None
        text, within = None, (0.0, 0.0)  # of a state that calm days leave as it is
        for place, (_, as_of, tier, score, before, *asked) in enumerate(days):
            if text and score is not None and within[0] <= score < within[1] and not any(asked[::3]):
                yield account, as_of.isoformat(), text.partition(" ")[0], text, None
                continue
            if before and not place:
                state = read(before)
            fired = {name: Fired(*asked[3 * place : 3 * place + 3]) for place, name in enumerate(card.caps)}
            day = Day(as_of, tier, score, fired)
            state = settle(card, state, day, final=final)
            text = None
            if state is not None:
                caps = " ".join(f"cap:{cap.name}:{cap.began}" for cap in state.caps)
                yield account, as_of.isoformat(), told(card, state, day), state.text(), caps or None
                if state.version == card.version and not (state.toward or state.caps):
                    text, within = state.text(), stays(card)[state.tier]


def _streamed(rows: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while some := rows.fetchmany(CHUNK):
        yield from some


def _insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = zip(FOLDED, zip(*rows, strict=True), strict=True)
    words: dict[str, Any] = {name: Array(list(values), DataType.string()) for name, values in columns}
    connection.register("incoming", Table.from_pydict(words))
    connection.execute("insert into folded select * from incoming")
    connection.unregister("incoming")
