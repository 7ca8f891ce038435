"""Deliveries: what is worth a call, and what becomes of every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import Account, FieldValue, Outcome, Write
from sync.deliveries import Delivered, Planned, Round, clearing, deliver, pilot, planned_for, rehearse, worthwhile
from sync.rows import Delivery
from sync.settings import Delivery as Rules
from sync.verdicts import Verdict
from tests.fakes import FakeCrm

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
RULES = Rules.model_validate({})


class Ledger(dict[str, Delivery]):
    """Keeps deliveries by record, as state does."""

    def save(self, deliveries: Iterable[Delivery]) -> None:
        self.update({delivery.record_id: delivery for delivery in deliveries})


def _verdict(account: str, score: float = 80.0, tier: str = "green", **fields: FieldValue) -> Verdict:
    values = {"score": score, "tier": tier, "reason": "Logins fine", "scored_at": NOW, **fields}
    return Verdict(account, values, f"{tier} {fields.get('next_action', '')}", "Logins fine")


def _planned(
    round_: Round,
    verdicts: Mapping[str, Verdict],
    records: Iterable[tuple[str, str]],
    ledger: Ledger,
    result: Delivered,
) -> list[Planned]:
    """As a pass plans: what is worth a call is picked first, and then put into words."""
    return planned_for(worthwhile(round_, verdicts, records, ledger, result), verdicts, ledger)


def _pass(
    crm: FakeCrm, ledger: Ledger, verdicts: Mapping[str, Verdict], *, now: datetime = NOW, rules: Rules = RULES
) -> Delivered:
    round_ = Round(crm, rules, now, now.date())
    result = Delivered()
    planned = _planned(round_, verdicts, [(account, account) for account in verdicts], ledger, result)
    deliver(round_, planned, result, save=ledger.save)
    return result


def _crm(*accounts: str) -> FakeCrm:
    return FakeCrm("crm", [Account(account, account.upper()) for account in accounts])


def test_a_first_delivery_writes_and_a_second_with_nothing_new_calls_nobody() -> None:
    crm, ledger = _crm("a", "b"), Ledger()
    assert _pass(crm, ledger, {"a": _verdict("a"), "b": _verdict("b")}).written == 2
    calls = dict(crm.calls)
    result = _pass(crm, ledger, {"a": _verdict("a"), "b": _verdict("b")})
    assert (result.unchanged, result.written, dict(crm.calls)) == (2, 0, calls)


def test_a_score_inside_the_dead_band_is_not_worth_a_call() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a", 80.0)})
    assert _pass(crm, ledger, {"a": _verdict("a", 80.9)}).unchanged == 1
    assert _pass(crm, ledger, {"a": _verdict("a", 81.0)}).written == 1


def test_small_steps_add_up_to_a_write_because_the_record_is_the_measure() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a", 80.0)})
    written = [_pass(crm, ledger, {"a": _verdict("a", 80.0 + step)}).written for step in (0.4, 0.8, 1.2, 1.6)]
    assert written == [0, 0, 1, 0]


def test_a_tier_or_an_action_that_changes_is_written_at_once() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a")})
    assert _pass(crm, ledger, {"a": _verdict("a", tier="yellow")}).written == 1
    assert _pass(crm, ledger, {"a": _verdict("a", tier="yellow", next_action="Call them")}).written == 1


@pytest.mark.parametrize("refused", [False, True])
def test_a_record_that_is_another_accounts_now_keeps_nothing_of_the_one_before(refused: bool) -> None:
    crm, ledger = _crm("record"), Ledger()

    def links(verdict: Verdict, *, days: int = 0) -> None:
        verdicts, result = {verdict.account: verdict}, Delivered()
        round_ = Round(crm, RULES, NOW + timedelta(days=days), NOW.date())
        deliver(
            round_,
            _planned(round_, verdicts, [("record", verdict.account)], ledger, result),
            result,
            save=ledger.save,
        )

    links(_verdict("a", reason="Logins 41"))
    links(_verdict("b", reason="Logins 43"))  # the same in all that decides
    assert (crm.present["record"]["reason"], ledger["record"].account) == ("Logins 43", "b")
    little = Verdict("c", {"reason": "Not scored", "coverage": 20.0}, "unscored", "Not scored")
    if refused:
        crm.refuse["record"] = Outcome("record", False, code="VALIDATION_ERROR", message="no", remedy="row")
        links(little)
        links(little, days=2)
        assert (ledger["record"].status, crm.present["record"]["tier"]) == ("quarantined", "green")
        crm.refuse.clear()
    links(little, days=4)
    assert {key for key, value in crm.present["record"].items() if value is not None} == {"reason", "coverage"}


def test_riding_figures_ride_along_on_the_accounts_own_day_of_the_week_only() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a")})
    days = [NOW + timedelta(days=n) for n in range(1, 15)]
    written = [_pass(crm, ledger, {"a": _verdict("a", reason=f"day {day}")}, now=day).written for day in days]
    assert sum(written) == 2
    assert written.index(1) + 7 == len(written) - 1 - written[::-1].index(1)


def test_a_record_that_already_holds_the_values_is_adopted_without_a_write() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.present["a"] = {"score": 80.0, "tier": "green", "reason": "Logins fine", "scored_at": None}
    result = _pass(crm, ledger, {"a": _verdict("a")})
    assert (result.adopted, result.written, crm.written) == (1, 0, [])
    assert ledger["a"].status == "confirmed"


def test_what_the_records_hold_is_read_some_at_a_time_and_written_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.deliveries.READ_AT_ONCE", 2)
    crm, ledger = _crm(*"abcde"), Ledger()
    crm.present["b"] = {"score": 80.0, "tier": "green", "reason": "Logins fine", "scored_at": None}
    result = _pass(crm, ledger, {account: _verdict(account) for account in "abcdex"})
    assert (result.written, result.adopted, result.failed) == (4, 1, 1)
    assert (crm.calls["read"], crm.calls["write"]) == (3, 1)
    assert set(ledger) == set("abcdex")


def test_one_bad_row_does_not_cost_the_others_and_is_tried_again_later() -> None:
    crm, ledger = _crm("a", "b"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="UNABLE_TO_LOCK_ROW", message="locked", remedy="again")
    verdicts = {"a": _verdict("a"), "b": _verdict("b")}
    result = _pass(crm, ledger, verdicts)
    assert result.written == 1
    assert result.named == [{"record": "a", "account": "a", "code": "UNABLE_TO_LOCK_ROW", "message": "locked"}]
    assert ledger["a"].status == "failed"
    assert _pass(crm, ledger, verdicts).waiting == 1
    crm.refuse.clear()
    assert _pass(crm, ledger, verdicts, now=NOW + timedelta(minutes=6)).written == 1
    assert {name: row.status for name, row in ledger.items()} == {"a": "confirmed", "b": "confirmed"}


def test_a_row_that_is_wrong_rests_until_what_we_want_of_it_changes() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no", remedy="row")
    _pass(crm, ledger, {"a": _verdict("a")})
    assert ledger["a"].status == "quarantined"
    assert _pass(crm, ledger, {"a": _verdict("a")}, now=NOW + timedelta(hours=20)).waiting == 1
    crm.refuse.clear()
    assert _pass(crm, ledger, {"a": _verdict("a", tier="red")}).written == 1


def test_after_some_attempts_a_row_is_tried_but_once_a_day() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="BUSY", message="busy", remedy="again")
    rules = Rules.model_validate({"attempts": 3})
    for hour in range(240):
        _pass(crm, ledger, {"a": _verdict("a")}, now=NOW + timedelta(hours=hour), rules=rules)
    assert (ledger["a"].status, ledger["a"].attempts) == ("quarantined", 12)
    assert crm.calls["write"] == 12  # three soon after one another, then once on each of the nine days left


def test_a_record_that_is_gone_is_closed() -> None:
    crm, ledger = _crm("a"), Ledger()
    result = _pass(crm, ledger, {"b": _verdict("b")})
    assert result.named[0]["code"] == "NOT_FOUND"
    assert ledger["b"].status == "closed"


class Dies(FakeCrm):
    """Writes the first record, answers for it, writes the second, and the power is cut."""

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        yield from super().write(writes[:1])
        list(super().write(writes[1:2]))
        raise RuntimeError("power cut")


def test_a_kill_between_a_write_and_its_outcome_leaves_a_row_that_says_what_was_sent() -> None:
    crm, ledger = Dies("crm", [Account(account, account) for account in "abc"]), Ledger()
    verdicts = {account: _verdict(account) for account in "abc"}
    with pytest.raises(RuntimeError, match="power cut"):
        _pass(crm, ledger, verdicts)
    assert {record: row.status for record, row in ledger.items()} == {"a": "confirmed", "b": "pending", "c": "pending"}
    assert (ledger["b"].wanted or {})["tier"] == "green"
    assert "tier" not in (ledger["b"].confirmed or {})
    whole = FakeCrm("crm", crm.records.values())
    whole.present = crm.present
    result = _pass(whole, ledger, verdicts, now=NOW + timedelta(minutes=5))
    assert (result.unchanged, result.adopted, result.written) == (1, 1, 1)
    assert {row.status for row in ledger.values()} == {"confirmed"}


def test_a_row_is_pending_before_anything_is_sent_and_keeps_its_attempts() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="BUSY", message="busy", remedy="again")
    _pass(crm, ledger, {"a": _verdict("a")})
    seen: list[Delivery] = []

    class Looks(FakeCrm):
        def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
            seen.append(ledger["a"])
            return super().write(writes)

    looks = Looks("crm", crm.records.values())
    looks.refuse = crm.refuse
    _pass(looks, ledger, {"a": _verdict("a")}, now=NOW + timedelta(minutes=6))
    assert [(row.status, row.attempts) for row in seen] == [("pending", 1)]
    assert (ledger["a"].status, ledger["a"].attempts) == ("failed", 2)


def test_a_delivery_remembers_every_tier_it_told() -> None:
    crm, ledger = _crm("a"), Ledger()
    for tier in ("green", "yellow", "green"):
        _pass(crm, ledger, {"a": _verdict("a", tier=tier)})
    assert ledger["a"].past == ("green", "yellow")


def test_a_rehearsal_shows_each_field_and_writes_nothing() -> None:
    crm = _crm("a")
    round_ = Round(crm, RULES, NOW, NOW.date())
    result = Delivered()
    planned = _planned(round_, {"a": _verdict("a")}, [("a", "a")], Ledger(), result)
    rehearse(round_, planned, result)
    assert ("crm", "a", "a", "tier", None, "green") in result.differences
    assert crm.written == []


def test_a_customer_who_left_is_cleared_and_closed() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a")})
    round_ = Round(crm, RULES, NOW, NOW.date())
    deliver(round_, clearing(round_, ledger.values()), Delivered(), save=ledger.save)
    assert set(crm.present["a"].values()) == {None}
    assert ledger["a"].status == "closed"


def test_a_pilot_keeps_to_the_accounts_it_began_with() -> None:
    assert pilot(["c", "a", "b"], set(), 2) == {"a", "b"}
    assert pilot(["c", "a", "b", "0"], {"a", "b"}, 2) == {"a", "b"}
    assert pilot(["c", "a"], {"b"}, None) == {"a", "c"}


def test_a_customer_who_left_and_was_deleted_needs_no_clearing() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a")})
    del crm.present["a"]
    round_, result = Round(crm, RULES, NOW, NOW.date()), Delivered()
    deliver(round_, clearing(round_, ledger.values()), result, save=ledger.save)
    assert (result.failed, ledger["a"].status) == (0, "closed")


def test_a_clearing_that_is_refused_waits_its_time_too() -> None:
    crm, ledger = _crm("a"), Ledger()
    _pass(crm, ledger, {"a": _verdict("a")})
    crm.refuse["a"] = Outcome("a", False, code="LOCKED", message="locked", remedy="again")
    round_ = Round(crm, RULES, NOW, NOW.date())
    deliver(round_, clearing(round_, ledger.values()), Delivered(), save=ledger.save)
    assert clearing(round_, ledger.values()) == []
    later = Round(crm, RULES, NOW + timedelta(minutes=6), NOW.date())
    assert len(clearing(later, ledger.values())) == 1


def test_a_row_is_tried_again_once_a_day_after_its_attempts_are_used_up() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="INVALID_FIELD", message="hidden", remedy="settings")
    for hour in range(20):
        _pass(crm, ledger, {"a": _verdict("a")}, now=NOW + timedelta(hours=hour))
    assert ledger["a"].status == "quarantined"
    crm.refuse.clear()
    assert _pass(crm, ledger, {"a": _verdict("a")}, now=NOW + timedelta(hours=60)).written == 1


def test_a_person_who_asks_is_not_made_to_wait() -> None:
    crm, ledger = _crm("a"), Ledger()
    crm.refuse["a"] = Outcome("a", False, code="ODD", message="odd", remedy="row")
    _pass(crm, ledger, {"a": _verdict("a")})
    crm.refuse.clear()
    round_ = Round(crm, RULES, NOW, NOW.date(), eager=True)
    assert len(_planned(round_, {"a": _verdict("a")}, [("a", "a")], ledger, Delivered())) == 1


def test_without_a_dead_band_an_unchanged_score_is_still_no_change() -> None:
    crm, ledger, rules = _crm("a"), Ledger(), Rules.model_validate({"dead_band": 0})
    _pass(crm, ledger, {"a": _verdict("a", 80.04)}, rules=rules)
    assert _pass(crm, ledger, {"a": _verdict("a", 80.03)}, rules=rules).unchanged == 1  # both are 80.0 there
    assert _pass(crm, ledger, {"a": _verdict("a", 80.1)}, rules=rules).written == 1
