"""Verdicts: what is said about an account today, put into the fields of a CRM record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, NamedTuple

from connectors.base import FieldValue
from scoring import Part, Scorecard, Standing, decision, joined, reason
from sync.judgements import NOTHING, Said
from sync.rows import HEALTH, Decision, Total
from sync.scores import Scored


class Before(NamedTuple):
    """The score and parts an account had at the start of the window that its change is told over.

    `replayed`: worked out afterwards from facts that had no past yet, not kept on the day itself.
    """

    score: float | None
    parts: Mapping[str, Part]
    replayed: bool


class Answer(NamedTuple):
    """An account's numbers of today. `digest`: the same for the same numbers, those of its parts included."""

    account: str
    score: float | None
    tier: str
    coverage: float
    raw_tier: str
    fold: str | None
    flags: str
    version: str
    digest: str
    said: Said = NOTHING

    @property
    def told(self) -> str:
        """The tier to tell: a person's word goes before the score."""
        return self.said.override.tier if self.said.override else self.tier

    @property
    def standing(self) -> Standing:
        return Standing(self.tier, self.raw_tier, self.fold, self.flags)


class Verdict(NamedTuple):
    """`fields`: by our field names, only those that should be written. `deciding`: a text that tells two apart."""

    account: str
    fields: Mapping[str, FieldValue]
    deciding: str
    reason: str

    @property
    def told_score(self) -> float | None:
        score = self.fields.get("score")
        return score if isinstance(score, int | float) else None

    @property
    def further(self) -> Mapping[str, float]:
        return further_scores(self.fields)


class Told(NamedTuple):
    """What is compared of an account's answers by several scores; see `deliveries.Decided`."""

    deciding: str
    told_score: float | None
    further: Mapping[str, float]


def told(own: Decision, others: Mapping[str, Decision]) -> Told:
    """An account's decision by health, with those by other scores."""
    deciding = "\n".join([own.deciding, *(f"{name} {one.deciding}" for name, one in others.items())])
    scores = {f"{name}_score": one.told_score for name, one in others.items()}
    return Told(deciding, own.told_score, {key: score for key, score in scores.items() if score is not None})


def together(own: Verdict, others: Mapping[str, Verdict], deciding: str) -> Verdict:
    """One verdict for all scores: of the others, score, tier and reason are told in fields of their own."""
    kept = ("score", "tier", "reason")
    more = {f"{name}_{key}": one.fields[key] for name, one in others.items() for key in kept if key in one.fields}
    return own._replace(fields={**own.fields, **more}, deciding=deciding)


def further_scores(fields: Mapping[str, Any]) -> dict[str, float]:
    """The scores other than health among a record's fields."""
    return {key: told for key, told in fields.items() if key.endswith("_score") and isinstance(told, int | float)}


def total(
    answer: Answer,
    parts: Sequence[Part],
    *,
    scorecard: Scorecard,
    last: Decision | None,
    now: datetime,
    today: date,
    score: str = HEALTH,
) -> Total:
    """What state keeps of an answer. An unscored account keeps score, tier and moment of its last scored day.

    A next action decides nothing where no field tells it: beside health, none does.
    """
    if answer.tier == "unscored" or answer.score is None:
        return replace(_unscored(answer, scorecard, last), score_name=score)
    since = last.tier_since if last and last.told_tier == answer.told and last.tier_since else today
    causes, action = decision(scorecard, parts, answer.standing)
    shown = {"next_action": action} if score == HEALTH else {}
    return Total(
        account=answer.account,
        score=answer.score,
        tier=answer.told,
        tier_since=since,
        coverage=answer.coverage,
        scored_at=now,
        causes=causes,
        version=scorecard.version,
        next_action=action,
        scored_tier=answer.tier,
        deciding=_text(answer.said, tier=answer.told, causes=causes, **shown),
        digest=answer.digest,
        score_name=score,
    )


def verdict(
    scored: Scored,
    decided: Decision,
    *,
    scorecard: Scorecard,
    before: Before | None,
    now: datetime,
    said: Said,
) -> Verdict:
    """Put a score, and what people say of the account, into words and fields."""
    words = said.words(scored.tier)
    if scored.tier == "unscored" or scored.score is None:
        return _verdict_of_none(scored, decided, scorecard, words)
    why = reason(scorecard, scored.parts, before.parts if before else None, scored.standing, words)
    fields: dict[str, FieldValue] = {
        "score": scored.score,
        "tier": decided.tier,
        "change": _change(scored, before),
        "reason": why.text,
        "next_action": why.next_action,
        "coverage": scored.coverage * 100,
        "tier_since": decided.tier_since,
        "scored_at": now,
        "version": f"{scorecard.name} {scorecard.version}",
    }
    return Verdict(scored.account, fields, decided.deciding, why.text)


def _verdict_of_none(scored: Scored, decided: Decision, scorecard: Scorecard, words: Sequence[str]) -> Verdict:
    """Of an unscored account reason and coverage are told, and the tier that somebody set, or the last it had."""
    share, floor = f"{scored.coverage:.0%}", f"{scorecard.coverage_floor:.0%}"
    text = joined([*words, f"Not scored: {share} of the scorecard has data, {floor} is needed"])
    told: dict[str, FieldValue] = {"reason": text, "coverage": scored.coverage * 100}
    if decided.told_tier:
        told["tier"] = decided.told_tier
    return Verdict(scored.account, told, decided.deciding, text)


def _change(scored: Scored, before: Before | None) -> float | None:
    """Points since `before`; nothing where a replayed day lacks a measure that today has: that would be no change."""
    if before is None or before.score is None or scored.score is None:
        return None
    told = {part.measure for part in scored.parts if part.points is not None}
    if before.replayed and told != {name for name, part in before.parts.items() if part.points is not None}:
        return None
    return scored.score - before.score


def _unscored(answer: Answer, scorecard: Scorecard, last: Decision | None) -> Total:
    return Total(
        account=answer.account,
        score=last.score if last and not answer.said.override else None,  # no record is told it with a person's tier
        tier=answer.told,
        tier_since=last.tier_since if last else None,
        coverage=answer.coverage,
        scored_at=last.scored_at if last else None,
        causes=(),
        version=scorecard.version,
        next_action="",
        scored_tier=last.scored_tier if last else None,
        deciding=_text(answer.said, unscored=True),
        digest=answer.digest,
    )


def _text(said: Said, **deciding: object) -> str:
    if said.ids:
        deciding["said"] = said.ids
    return json.dumps(deciding, sort_keys=True, ensure_ascii=False)
