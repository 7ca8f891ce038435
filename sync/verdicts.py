"""Verdicts: what is said about an account today, put into the fields of a CRM record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from connectors.base import FieldValue
from scoring import Part, Scorecard, reason
from sync.rows import Total
from sync.scores import Scored


class Before(NamedTuple):
    """The score and parts an account had at the start of the window that its change is told over.

    `replayed`: worked out afterwards from facts that had no past yet, not kept on the day itself.
    """

    score: float | None
    parts: Mapping[str, Part]
    replayed: bool


class Verdict(NamedTuple):
    """`fields`: by our field names, only those that should be written. `deciding`: a text that tells two apart."""

    account: str
    total: Total
    fields: Mapping[str, FieldValue]
    deciding: str
    reason: str


def verdict(
    scored: Scored,
    *,
    scorecard: Scorecard,
    before: Before | None,
    last: Total | None,
    now: datetime,
    today: date,
) -> Verdict:
    """Put a score into words and fields.

    An unscored account keeps the score, tier and moment of its last scored day: only reason and coverage are told.
    """
    said = reason(scorecard, scored.parts, before.parts if before else None)
    if scored.tier == "unscored" or scored.score is None:
        return _unscored(scored, scorecard, last)
    since = last.tier_since if last and last.scored_tier == scored.tier and last.tier_since else today
    change = _change(scored, before)
    total = Total(
        account=scored.account,
        score=scored.score,
        tier=scored.tier,
        tier_since=since,
        coverage=scored.coverage,
        scored_at=now,
        causes=said.causes,
        version=scorecard.version,
        next_action=said.next_action,
        scored_tier=scored.tier,
    )
    fields: dict[str, FieldValue] = {
        "score": scored.score,
        "tier": scored.tier,
        "change": change,
        "reason": said.text,
        "next_action": said.next_action,
        "coverage": scored.coverage * 100,
        "tier_since": since,
        "scored_at": now,
        "version": f"{scorecard.name} {scorecard.version}",
    }
    deciding = _text(tier=scored.tier, causes=said.causes, next_action=said.next_action)
    return Verdict(scored.account, total, fields, deciding, said.text)


def _change(scored: Scored, before: Before | None) -> float | None:
    """Points since `before`; nothing where a replayed day lacks a measure that today has: that would be no change."""
    if before is None or before.score is None or scored.score is None:
        return None
    told = {part.measure for part in scored.parts if part.points is not None}
    if before.replayed and told != {name for name, part in before.parts.items() if part.points is not None}:
        return None
    return scored.score - before.score


def _unscored(scored: Scored, scorecard: Scorecard, last: Total | None) -> Verdict:
    share, floor = f"{scored.coverage:.0%}", f"{scorecard.coverage_floor:.0%}"
    text = f"Not scored: {share} of the scorecard has data, {floor} is needed"
    total = Total(
        account=scored.account,
        score=last.score if last else None,
        tier="unscored",
        tier_since=last.tier_since if last else None,
        coverage=scored.coverage,
        scored_at=last.scored_at if last else None,
        causes=(),
        version=scorecard.version,
        next_action="",
        scored_tier=last.scored_tier if last else None,
    )
    fields: dict[str, FieldValue] = {"reason": text, "coverage": scored.coverage * 100}
    return Verdict(scored.account, total, fields, _text(unscored=True), text)


def _text(**deciding: object) -> str:
    return json.dumps(deciding, sort_keys=True, ensure_ascii=False)
