"""Whose records come first: the worst, and in the end everybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Account, FieldValue, Write
from sync.deliveries import Planned, Round
from sync.rows import Delivery, DeliveryStatus
from sync.settings import Delivery as Rules
from sync.urgency import EVERY, in_order
from tests.fakes import FakeCrm

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
TIERS = ("green", "yellow", "red")


class Bilingual(FakeCrm):
    """A CRM whose picklist has words of its own."""

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return f"The {value}" if field == "tier" and value else super().canonical(field, value)


ROUND = Round(Bilingual("crm", [Account("a", "A")]), Rules.model_validate({}), NOW, NOW.date())


def _row(
    record: str,
    now: tuple[str | None, float | None],
    before: tuple[str | None, float | None] | None,
    *,
    days: int = 1,
    status: DeliveryStatus = "confirmed",
    moved: bool = True,
) -> Planned:
    """A record that should hold this tier and score, and that was told the ones before so many days ago."""
    wanted: dict[str, FieldValue] = {
        key: value for key, value in zip(("tier", "score"), now, strict=True) if value is not None
    }
    if before is None:
        return Planned(Write(record, wanted), record, "now", None)
    tier, score = before
    held = {"tier": tier and f"The {tier}", "score": score}
    known = Delivery(
        "crm", record, record, None, held, "then" if moved else "now", status,
        confirmed_at=NOW - timedelta(days=days), score=score,
    )  # fmt: skip
    return Planned(Write(record, wanted), record, "now", known)


def _ordered(rows: Sequence[Planned]) -> list[str]:
    return [row.write.id for row in in_order(ROUND, rows)]


def test_the_worst_go_first() -> None:
    leaving = _row("leaving", (None, None), ("red", 5.0))._replace(leaving=True)
    rows = [
        _row("to-red, lower", ("red", 10.0), ("green", 80.0)),
        _row("to-red", ("red", 30.0), ("yellow", 45.0)),
        _row("never told, and red", ("red", 35.0), None),
        _row("to-yellow", ("yellow", 50.0), ("green", 71.0)),
        _row("better, yet yellow", ("yellow", 44.0), ("red", 20.0)),
        _row("never told, and well", ("green", 75.0), None),
        _row("lower score", ("red", 12.0), ("red", 15.0)),
        _row("larger change", ("green", 90.0), ("green", 75.0)),
        _row("smaller change", ("green", 90.0), ("green", 88.0)),
    ]
    last = [leaving, _row("only fresh figures", ("red", 1.0), ("red", 1.0), moved=False)]
    expected = [row.write.id for row in (*rows, *last)]
    assert _ordered([*last, *reversed(rows)])[:9] == expected[:9]
    assert _ordered(last) == expected[9:]


def test_a_refused_row_is_more_than_a_refresh_though_nothing_new_is_to_be_said() -> None:
    refused = _row("refused", ("green", 80.0), ("green", 80.0), status="failed", moved=False)
    fresh = _row("fresh", ("red", 1.0), ("red", 1.0), moved=False)
    assert _ordered([fresh, refused]) == ["refused", "fresh"]


def test_what_was_told_of_another_account_does_not_count() -> None:
    row = _row("b", ("red", 10.0), ("red", 10.0), moved=False)
    other = row._replace(account="somebody else")
    assert _ordered([_row("a", ("yellow", 50.0), ("green", 80.0)), other]) == ["b", "a"]


def test_every_tenth_row_is_the_one_that_has_waited_longest() -> None:
    urgent = [_row(f"u{number:02}", ("red", float(number)), ("green", 80.0)) for number in range(30)]
    patient = [_row(f"p{days:02}", ("green", 80.0), ("green", 80.0), days=days, moved=False) for days in (9, 30, 20)]
    ordered = _ordered([*patient, *urgent])
    assert [ordered[place] for place in (9, 19, 29)] == ["p30", "p20", "p09"]
    assert [record for record in ordered if record[0] == "u"] == [row.write.id for row in urgent]


_value = st.tuples(st.sampled_from((*TIERS, None)), st.none() | st.integers(0, 100).map(float))
_rows = st.lists(st.tuples(_value, st.none() | _value, st.integers(0, 40), st.booleans()), max_size=40)


@given(_rows, st.randoms(use_true_random=False))
def test_the_order_is_total_and_leaves_nobody_out(
    drawn: list[tuple[tuple[str, float], None, int, bool]], random: Random
) -> None:
    rows = [
        _row(f"{number:03}", now, before, days=days, moved=moved)
        for number, (now, before, days, moved) in enumerate(drawn)
    ]
    ordered = _ordered(rows)
    assert sorted(ordered) == [row.write.id for row in rows]
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert _ordered(shuffled) == ordered


def test_nobody_waits_for_ever_while_worse_ones_keep_coming() -> None:
    """Of 200 records a hundred are written a day, and a hundred worse ones come every day."""
    waiting = {
        f"w{n:03}": _row(f"w{n:03}", ("green", 80.0), ("green", 80.0), days=n + 1, moved=False) for n in range(100)
    }
    days = 0
    while waiting and days < 100:
        days += 1
        worse = [_row(f"{days}-{n}", ("red", 1.0), ("green", 80.0), days=0) for n in range(100)]
        for row in in_order(ROUND, [*waiting.values(), *worse])[:100]:
            waiting.pop(row.write.id, None)
    assert days == 100 // (100 // EVERY)
