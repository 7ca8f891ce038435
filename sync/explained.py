"""The command `explain`: an account's scores, what went into them, what people say of it, and where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoring import Scorecard, reason
from sync.commands import account_of, at_work, day_of, score_of
from sync.compare import plain
from sync.console import put_json, say
from sync.errors import UsageError
from sync.evaluate import as_of
from sync.judged import judged, judged_in_words
from sync.rows import HEALTH, AccountRow
from sync.scores import Scored, alone, fetch, relations, scored
from sync.show import delivery_document, score_document, score_in_words, show_parts, tier_in_words
from sync.worker import Worker


def explain(path: Path, account: str, *, score: str, as_json: bool) -> None:
    """Print one account's scores, all parts of one of them, and where they were delivered."""
    with at_work(path, looks=True) as worker:
        row, score = account_of(worker, account), score_of(worker.settings, score)
        document = _explained(worker, row)
    shown = document if score == HEALTH else document["scores"][score]
    if as_json:
        put_json(shown)
        return
    said = tier_in_words(document) if score == HEALTH else f"{score} {score_in_words(shown)}"
    say(f"{row.name} ({row.id}): {said}", "bold")
    if shown["reason"]:
        say(f"{shown['reason']}.{' Next: ' if shown['next_action'] else ''}{shown['next_action']}")
    for flag in shown["flags"]:
        say(f"{flag['kind']} {flag['name']} since {flag['since']}: {flag['says']}")
    show_parts(shown["parts"])
    if score == HEALTH:
        _show_beside(document)


def _show_beside(document: Mapping[str, Any]) -> None:
    """The other scores, what people say, and where the account is known and written."""
    for name, other in document["scores"].items():
        say(f"{name}: {score_in_words(other)}. {other['reason']}")
    for line in judged_in_words(document["judgements"]):
        say(line)
    for link in document["links"]:
        say(f"linked: {link['source']} {link['key']} by {link['how']}")
    for record in document["deliveries"]:
        say(f"{record['destination']} {record['record']}: {record['status']} {record['message']}".rstrip())


def _explained(worker: Worker, row: AccountRow) -> dict[str, Any]:
    accounts = worker.state.accounts.members()
    links = worker.links(accounts)
    basis = worker.basis(accounts, links.linked)
    day = day_of(worker, None)
    with scored(worker.log, alone(basis, row), spill=worker.spill, also=[worker.history.path], few=True) as on:
        rows = {name: [*fetch(as_of(worker, on, day, name), of=relations(name))] for name in (HEALTH, *basis.further)}
    if not rows[HEALTH]:
        raise UsageError(f"{row.id} has no score yet: its record is dated later than today")
    told = {name: _told(worker, row, found, name) for name, [found] in rows.items()}
    deliveries = worker.state.deliveries.of_accounts([row.id])
    return {
        **told.pop(HEALTH),
        "scores": told,
        "judgements": judged(worker, row.id, day),
        "links": [
            {"source": link.source, "key": link.key, "how": link.how}
            for link in links.linked
            if link.account == row.id and link.source != worker.settings.home
        ],
        "deliveries": [delivery_document(one) for one in deliveries if one.destination in worker.destinations],
    }


def _told(worker: Worker, row: AccountRow, found: Scored, score: str) -> dict[str, Any]:
    """An account's answer by one of the scores."""
    card = worker.settings.cards[found.version]
    said = reason(card, found.parts, None, found.standing)
    total = worker.state.totals.all(score).get(row.id)
    return {
        **score_document(found, row.name, card.name),
        "flags": _flags(worker, card, found, score),
        "tier_since": plain(total.tier_since) if total else None,
        "reason": said.text,
        "next_action": said.next_action,
    }


def _flags(worker: Worker, card: Scorecard, found: Scored, score: str) -> list[dict[str, str]]:
    """The caps in force and the watch flags raised, each with the day it began as far as the history tells."""
    standing, history = found.standing, worker.history.of(score)
    caps = [
        ("cap", name, began, f"at most {card.caps[name].tier}: {card.caps[name].reason}")
        for name, began in standing.caps.items()
    ]
    watch = [
        (
            "watch",
            name,
            history.raised_since(found.account, f"watch:{name}", found.as_of) or found.as_of,
            card.watch[name].reason,
        )
        for name in standing.watch
    ]
    keys = ("kind", "name", "since", "says")
    return [dict(zip(keys, map(str, flag), strict=True)) for flag in (*caps, *watch)]
