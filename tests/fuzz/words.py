"""Settings, scorecards and rules, changed: read, or refused with a line for each mistake; never a secret in one."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import yaml
from pydantic import ValidationError

import config
from config import ConfigError
from scoring import Scorecard, rules
from sync.errors import SettingsError
from sync.loading import load
from sync.settings import Settings
from tests.fuzz import mutate
from tests.fuzz.vendors import Tally

SECRET = "hush-hush-hush"
SETTINGS: dict[str, Any] = {
    "home": "crm",
    "accounts": {"where": "x = 1", "every": "1d", "attributes": {"seats": "seats"}},
    "sources": {
        "help": {"kind": "zendesk", "subdomain": "acme", "client_id": "a", "client_secret": SECRET, "every": "15m"},
        "files": {"kind": "file", "path": "e.csv", "columns": {"account": "a", "at": "b"}, "event": "login"},
    },
    "destinations": {"crm": {"kind": "hubspot", "access_token": SECRET}},
    "delivery": {"dead_band": 1, "refresh": "7d", "attempts": 8},
    "daemon": {"port": 8787, "token": SECRET},
    "clock": {"start": "2026-03-01T00:00:00Z", "speed": 2, "epoch": 1},
    "links": {"map": {"help": {"1": "a"}}, "shared_domains": ["x.example"]},
}
CARD: dict[str, Any] = {
    "name": "plain",
    "tiers": {"green": 70, "yellow": 40},
    "dimensions": {
        "usage": {"weight": 60, "measures": {"active": 1, "ratio": 2}},
        "voice": {"weight": 40, "measures": {"nps": 1}},
    },
    "measures": {
        "active": {
            "events": "login",
            "take": "active_days",
            "window": "10d",
            "over": 10,
            "points": {0: 0, 1: 100},
            "absent": 0,
        },
        "ratio": {"of": "active", "against": "previous", "points": {-1: 0, 0: 100}},
        "nps": {"events": ["nps.*"], "take": "last", "where": "value >= 0 and label <> 'x'", "points": {0: 0, 10: 100}},
    },
}


def settings(random: Random, folder: Path) -> Tally:
    """A settings file with some places changed, or damaged."""
    text = yaml.safe_dump(mutate.document(random, SETTINGS) if random.random() < 0.8 else SETTINGS, allow_unicode=True)
    raw = text.encode(errors="surrogatepass")
    (folder / "bellwether.yaml").write_bytes(mutate.damaged(random, raw) if random.random() < 0.3 else raw)
    try:
        found = load(folder / "bellwether.yaml")
    except SettingsError as error:
        return _refused(error)
    _sane(found)
    return Tally(1, 1, Counter())


def _refused(refusal: SettingsError) -> Tally:
    assert refusal.lines
    assert all("\n" not in line and line.strip() for line in refusal.lines)
    assert SECRET not in str(refusal)
    return Tally(1, 0, Counter({"SettingsError": 1}))


def _sane(found: Settings) -> None:
    assert SECRET not in repr(found)
    assert found.home in found.destinations
    assert 0 <= found.delivery.dead_band <= 100
    assert found.accounts.every.total_seconds() > 0
    assert found.clock is None or math.isfinite(found.clock.speed * found.clock.epoch)
    assert not {*found.sources} & {*found.destinations}


def scorecard(random: Random, folder: Path) -> Tally:
    """A scorecard with some places changed, or damaged; one that is taken has weights and points that are sane."""
    text = yaml.safe_dump(mutate.document(random, CARD) if random.random() < 0.9 else CARD, allow_unicode=True)
    raw = text.encode(errors="surrogatepass")
    raw = mutate.damaged(random, raw) if random.random() < 0.3 else raw
    try:
        card = Scorecard.model_validate(config.parse(raw, name="card.yaml").values)
    except (ConfigError, ValidationError) as error:
        return Tally(1, 0, Counter({type(error).__name__: 1}))
    weights = [dimension.weight for dimension in card.dimensions.values()]
    weights += [weight for dimension in card.dimensions.values() for weight in dimension.measures.values()]
    assert all(math.isfinite(weight) and weight > 0 for weight in weights)
    assert 0 <= card.tiers.yellow < card.tiers.green <= 100
    assert len(card.version) == 12
    return Tally(1, 1, Counter())


WORDS = (
    *(
        "value",
        "label",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        "'urgent'",
        "'o''k'",
        "3",
        "-0.5",
        "1e9",
        "+",
        "-",
        "*",
        "/",
    ),
    *(
        "=",
        "<>",
        "<",
        ">=",
        ",",
        "null",
        "true",
        "select",
        ";",
        "--",
        "case",
        "value2",
        '"label"',
        "1e999",
        "is",
        "like",
    ),
)


def rule(random: Random, folder: Path) -> Tally:
    """A rule of words in any order, or a right one with a change: what is taken runs over its two columns."""
    right = "value >= 3 and (label in ('a', 'b') or not value * 2 < 10 - 1)"
    if random.random() < 0.5:
        text = mutate.text(random, right)
    else:
        text = " ".join(random.choice(WORDS) for _ in range(random.randint(1, 12)))
    try:
        built = rules.rebuild(text)
    except ValueError:
        return Tally(1, 0, Counter({"ValueError": 1}))
    if random.random() < 0.05:
        query = f"select count(*) from (select 1.0::double as value, 'a' as label) where {built}"
        _DATABASE.execute(query).fetchall()
    return Tally(1, 1, Counter())


_DATABASE = duckdb.connect()
