"""Random scorecards over random facts, and how many of them are tried.

The suite tries a few of each. `make oracle` sets ORACLE_CASES and ORACLE_SEED in the environment; then every check is
tried by the hundred, each hundred from a seed of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from scoring import Scorecard
from tests.scoring_world import TODAY, World, card

SOURCES = {"one": ["use", "mod.*", "level"], "two": ["mod.a", "say"], "1three": ["say", "open", "close", "plan"]}
CURVES = [{0: 0, 1: 100}, {0: 100, 3: 40, 9: 0}, {-0.5: 0, 0: 70, 0.2: 100}, {0.1: 33.3, 0.7: 70, 2: 70}]
ACCOUNTS = ["acme", "beta", "coda", "dune"]
SINCE = [None, TODAY - timedelta(days=1), None, TODAY]
KEYS = ["k1", "k2", "k3", "k4", "k5"]
CASES, SEED = int(os.environ.get("ORACLE_CASES", "0")), os.environ.get("ORACLE_SEED", "1")
PART = 100  # after so many cases a new seed; what one of them finds does not end the others


def parts(share: float = 1) -> range:
    """The numbers of the hundreds that a check is tried by, when `share` of all cases are its; else one."""
    return range(max(1, round(CASES * share / PART)))


def tried(check: Callable[..., None], few: int, part: int, **more: st.SearchStrategy[Any]) -> None:
    """Call `check(scorecard=, world=, **more)` with random ones: `few` in the suite, else the hundred called `part`."""

    @seed(f"{SEED} {part}")
    @settings(
        max_examples=PART if CASES else few,
        phases=[Phase.generate, Phase.shrink] if CASES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(scorecard=cards(), world=worlds(), **more)
    def every(**case: Any) -> None:
        check(**case)

    every()


def days(*choices: int) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{choice}d" for choice in choices])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def base(draw: st.DrawFn) -> dict[str, Any]:
    """A measure taken from events."""
    take = draw(st.sampled_from(TAKES))
    made: dict[str, Any] = {"take": take}
    if take == "open":
        made |= {"opens": "open", "closes": "close", "as": draw(maybe(st.just("oldest_days")))}
    elif take == "days_between":
        made |= {"from": "use", "to": draw(st.sampled_from(["say", "mod.*"]))}
    else:
        made["events"] = draw(st.sampled_from(["use", "mod.*", "mod.a", "say", "level", ["say", "mod.b"], ["*"]]))
        made["where"] = draw(maybe(st.sampled_from(["value >= 1", "value < 2", "label = 'high'"])))
    if take in LEVELS:
        made |= {"max_age": draw(maybe(days(3, 20))), "window": draw(maybe(days(5, 9)))}
    elif take not in ("open", "days_between"):
        made["window"] = draw(days(1, 4, 7, 13))
    if take in ("count", "sum", "mean"):
        made["half_life"] = draw(maybe(days(2, 5)))
    return made


TAKES = [
    "count", "sum", "mean", "median", "min", "max", "last", "first", "distinct_users", "user_days", "active_days",
    "distinct_names", "names_on", "open", "days_since", "days_until", "days_between",
]  # fmt: skip
LEVELS = ["last", "first", "days_since", "days_until", "names_on"]


@st.composite
def cards(draw: st.DrawFn) -> Scorecard:
    measures = {f"m{number}": draw(base()) for number in range(draw(st.integers(2, 4)))}
    plain = sorted(measures)
    for name in draw(st.sets(st.sampled_from(plain[1:]))):
        measures[name]["over"] = draw(st.one_of(st.just("m0"), st.sampled_from([2, 0.3, 14])))
    for number in range(draw(st.integers(0, 2))):
        measures[f"c{number}"] = {
            "of": draw(st.sampled_from(plain)),
            "against": {"shift": draw(st.sampled_from(["3d", "6d"]))},
        }
        base_measure = measures[measures[f"c{number}"]["of"]]
        if base_measure.get("window"):
            measures[f"c{number}"]["against"] = draw(st.sampled_from(["previous", {"shift": "5d"}]))
        if base_measure["take"] in ("count", "sum", "active_days") and not {"over", "half_life"} & set(
            filled(base_measure)
        ):
            measures[f"c{number}"]["against"] = draw(st.sampled_from(["previous", {"longer": "20d"}]))
    if draw(st.booleans()):
        measures["plan"] = {"events": "plan", "take": "last", "map": {"free": 20, "pro": 70}}
    dimensions: dict[str, Any] = {}
    for name, measure in measures.items():
        measure["absent"] = draw(maybe(st.sampled_from([0, 50, 100])))
        if "map" not in measure:
            measure["points"] = draw(st.sampled_from(CURVES))
        group = dimensions.setdefault(
            draw(st.sampled_from(["alpha", "beta"])), {"weight": draw(st.sampled_from([1, 2.5, 40])), "measures": {}}
        )
        group["measures"][name] = draw(st.sampled_from([1, 3, 0.7]))
    names = [name for name in measures if name != "plan"]
    limits = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    rules = {f"r_{name}": (name, draw(st.sampled_from([-0.3, 0, 1, 2.5]))) for name in limits}
    return card(
        caps={rule: {"when": f"{name} <= {limit}", "reason": "low"} for rule, (name, limit) in rules.items()},
        hold=draw(days(1, 3, 7)),
        coverage_floor=draw(st.sampled_from([0, 0.4, 0.5, 0.9])),
        dimensions=dimensions,
        measures={name: filled(measure) for name, measure in measures.items()},
    )


def filled(measure: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in measure.items() if value is not None}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    reads = {
        source: (
            TODAY - timedelta(days=draw(st.sampled_from([5, 15, 60]))),
            TODAY - timedelta(days=draw(st.integers(-1, 9))),
        )
        for source in draw(st.sets(st.sampled_from(sorted(SOURCES)), min_size=1))
    }
    links = {
        (source, key): draw(st.sampled_from(ACCOUNTS))
        for source in SOURCES
        for key in draw(st.sets(st.sampled_from(KEYS), max_size=5))
    }
    world = World(SOURCES, links=links, reads=reads, accounts=dict(zip(ACCOUNTS, SINCE, strict=True)))
    world.days = draw(st.sampled_from([(TODAY,), (TODAY, TODAY - timedelta(days=3))]))
    chance = Random(draw(st.integers(0, 2**32)))  # a draw for every word of every fact takes longer than the check
    for _ in range(draw(st.integers(0, 100))):
        add(chance, world)
    return world


def add(chance: Random, world: World) -> None:
    name = chance.choice(["use", "use", "mod.a", "mod.b", "say", "level", "open", "close", "plan"])
    labels = ["free", "pro", "odd"] if name == "plan" else [None, None, "high"]
    place = len(world.facts)
    world.add(
        name,
        ago=chance.randint(0, 25),
        hour=chance.choice([8, 9]),
        source=chance.choice(sorted(SOURCES)),
        key=chance.choice(KEYS),
        id=f"{chance.choice('st')}/{name}/{place}" if name in ("open", "close") else f"{place}/{name}",
        actor=chance.choice([None, "ann", "bob", "cy"]),
        value=chance.choice([None, -1.0, 0.0, 1.0, 2.5, 3.125]) if name != "plan" else None,
        label=chance.choice(labels),
    )
