"""Single accounts of the demo, looked at closely: one that a cap holds and a person puts elsewhere, one that fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from sync.commands import account_of
from sync.compare import plain
from sync.console import say, table
from sync.judging import set_tier
from sync.ledger import ledger
from sync.report import Moved, Report
from sync.rows import Total
from sync.run import run_once
from sync.show import show_ledger
from sync.worker import Worker

AUTHOR = "a CSM of the demo"
REASON = "called them: who takes over is known, and they stay"
OTHERWISE = {"red": "yellow", "yellow": "green", "green": "yellow", "unscored": "yellow"}
LASTS = timedelta(days=30)


def capped(moved: Sequence[Moved], totals: Mapping[str, Total]) -> Moved | None:
    """An account that a cap put into its tier; the first that moved, where no cap did."""
    held = (move for move in moved if any(cause.startswith("cap:") for cause in totals[move.account].causes))
    return next(held, None) or next(iter(moved), None)


def fallen(moved: Sequence[Moved], before: Mapping[str, Total], after: Mapping[str, Total]) -> Moved:
    """Of the accounts that moved, the one whose score fell most."""

    def change(move: Moved) -> float:
        now, then = after[move.account].score, before[move.account].score
        return now - then if now is not None and then is not None else 0.0

    return min(moved, key=change)


def overrule(worker: Worker, move: Moved) -> Report:
    """Set another tier than the score's, as a person would, and make the next pass."""
    _say_record(worker, move, f"On the Salesforce Account of {move.name}")
    say(f"Somebody who knows more says otherwise, as by `bellwether judge override {move.account} ...`:", "bold")
    until = (worker.today() + LASTS).isoformat()
    set_tier(worker, move.account, tier=OTHERWISE[move.after], by=AUTHOR, reason=REASON, until=until)
    report = run_once(worker, due_only=True)
    written = ", ".join(f"{part['written']} in {name}" for name, part in report.delivered.items())
    _say_record(worker, move, f"After the next pass, which wrote {written}", "score", "tier", "reason")
    return report


def account_for(worker: Worker, move: Moved, since: date) -> None:
    """Say why the account's score moved since a day."""
    say(f"Why the score of {move.name} moved, as `bellwether explain {move.account} --since {since}` tells it:", "bold")
    show_ledger(ledger(worker, account_of(worker, move.account), (since, worker.today())))


def kept(worker: Worker, move: Moved) -> bool:
    """Say whether the CRM still has the tier that the person set."""
    tier = worker.home.read([move.account])[move.account]["tier"]
    say(f"{move.name} is still {tier}, as {AUTHOR} set it; without that it would be {move.after}")
    return tier == OTHERWISE[move.after]


def _say_record(worker: Worker, move: Moved, title: str, *fields: str) -> None:
    """What a salesperson sees on the record."""
    present = worker.home.read([move.account]).get(move.account, {})
    cells = ([key, plain(value)] for key, value in present.items() if not fields or key in fields)
    table(title, ("field", "value"), cells)
