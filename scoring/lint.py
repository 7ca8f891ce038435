"""What a scorecard that compiles may still get wrong: warnings, each with a place and a remedy; none forbids it.

Event names are a company's own, so what is about what is told by the names that the page of signals uses: logins, the
families of facts in APART, surveys, mail. Any other name is taken for use of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from scoring import patterns, reach
from scoring.remarks import Loc, Remark, about, weights
from scoring.scorecard import Measure, Scorecard

FEWEST, MOST = 3, 8
HEAVIEST, LIGHTEST = 0.5, 0.01
TINY = 1e-9  # what shares may be off by, being sums of floats
LOGINS = ("*login*", "*log_in*", "*logged_in*", "*signin*", "*sign_in*", "*signed_in*", "session*", "visit*")
SURVEYS = ("nps.*", "csat.*", "ces.*", "survey.*")
MAIL = ("email.*", "mail.*")
APART = (
    *SURVEYS, "ticket.*", "incident.*", "meeting.*", "outreach.*", "checkin*", "qbr*", "call.*", "csm.*", "champion.*",
    "event.*", "webinar*", "community.*", "referral*", "reference*", "review*", "invoice.*", "opportunity.*",
    "contract.*", "account.*", "renewal*", "seats", "arr", "mrr", "plan.*", "milestone*", "onboarding.*", "certified",
    "resource.*",
)  # fmt: skip
TOTALS = frozenset({"count", "sum", "user_days"})


def lint(
    card: Scorecard,
    yields: Mapping[str, Collection[str]] | None = None,
    *,
    days: Mapping[str, int] | None = None,
    unmatched: Collection[str] = (),
) -> Iterator[Remark]:
    """Everything there is to say about a scorecard.

    `yields`: event names, or patterns, by source; None while they are not known. `days`: how many days each source has
    been read for. `unmatched`: measures whose `where` no recent event met.
    """
    for rule in _RULES:
        yield from rule(card)
    if yields is not None:
        yield from _unfed(card, {name for names in yields.values() for name in names})
        yield from _unread(card, yields, days or {})
    for name in unmatched:
        yield Remark(
            ("measures", name, "where"),
            "no event of the last 90 days meets this",
            "look at what the values and labels are, or take the measure out",
        )


def _all_in(names: Sequence[str], families: Sequence[str]) -> bool:
    return all(any(fnmatchcase(name, family) for family in families) for name in names)


# signals and weights


def _how_many(card: Scorecard) -> Iterator[Remark]:
    count = len(weights(card))
    if count < FEWEST:
        yield Remark(
            ("dimensions",), f"only {count} measures carry weight, so one accident moves it", "weigh 3 to 8 measures"
        )
    if count > MOST:
        yield Remark(
            ("dimensions",),
            f"{count} measures carry weight, so none of them matters much",
            "keep the 3 to 8 you would act upon",
        )


def _lone_logins(card: Scorecard) -> Iterator[Remark]:
    """Signing in is not using: a card that weighs logins needs something that says what is done with them."""
    weighed = weights(card)
    logins = [name for name in weighed if _all_in(about(card, name), LOGINS)]
    depth = [name for name in weighed if not _all_in(about(card, name), (*LOGINS, *MAIL, *APART))]
    if logins and not depth:
        heaviest = max(logins, key=lambda name: weighed[name].share)
        yield Remark(
            weighed[heaviest].place(heaviest),
            "logins carry weight, and nothing says what people do once they are in",
            "weigh the use of features too, like events: feature.*",
        )


def _vanity(card: Scorecard) -> Iterator[Remark]:
    """Totals of use say how large a customer is. Facts that are rare, and each worth a call, are right as they are."""
    for name in weights(card):
        measure = card.measures[name]
        if measure.take in TOTALS and measure.over is None and not _all_in(about(card, name), APART):
            yield Remark(
                ("measures", name),
                f"is a plain total of {' and '.join(measure.events or ())}: large customers do well by their size",
                "add over: with what there could be, like seats or active users",
            )


def _uneven(card: Scorecard) -> Iterator[Remark]:
    for name, weight in weights(card).items():
        if weight.share > HEAVIEST + TINY:
            yield Remark(
                weight.place(name),
                f"is {weight.share:.0%} of the score, more than all others together",
                "give it at most half of the weight",
            )
        if weight.share < LIGHTEST - TINY:
            yield Remark(
                weight.place(name),
                f"is {weight.share:.1%} of the score and moves nobody",
                "weigh it more, or take it out",
            )


def _surveys(card: Scorecard) -> Iterator[Remark]:
    """Most customers answer no survey."""
    asked = {name: weight for name, weight in weights(card).items() if _all_in(about(card, name), SURVEYS)}
    share = sum(weight.share for weight in asked.values())
    if len(asked) == len(weights(card)):
        yield Remark(
            ("dimensions",),
            "weighs surveys alone, and most customers answer none",
            "weigh what customers do beside what they say",
        )
    elif 1 - share < card.coverage_floor - TINY:
        yield Remark(
            ("coverage_floor",),
            f"surveys are {share:.0%} of the weight, so who answers none is below this floor and unscored",
            f"lower it to {max(1 - share, 0):.2g}, or weigh surveys less",
        )


# what the sources have


def _unfed(card: Scorecard, yielded: Collection[str]) -> Iterator[Remark]:
    """Events that no source yields: the measures made of them are missing for every account."""
    lacking: dict[tuple[str, ...], list[Loc]] = {}
    for name, measure in card.measures.items():
        for word, wanted in _wanted(measure):
            if not patterns.any_overlap(wanted, yielded):
                lacking.setdefault(wanted, []).append(("measures", name, word))
    weighed = weights(card)
    for wanted, places in lacking.items():
        names = [str(name) for _, name, _ in places]
        shared = "; its weight goes to others" if weighed.keys() & set(names) else ""
        yield Remark(
            places[0],
            f"no source yields {_and(wanted)}, so {_and(names)} {'is' if len(names) == 1 else 'are'} missing"
            f" everywhere{shared}",
            "check the spelling, or connect a source that has it",
        )


def _and(words: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])


def _wanted(measure: Measure) -> Iterator[tuple[str, tuple[str, ...]]]:
    for word in ("events", "opens", "closes", "from", "to"):
        names = getattr(measure, "from_" if word == "from" else word)
        if names:
            yield word, names


def _unread(card: Scorecard, yields: Mapping[str, Collection[str]], days: Mapping[str, int]) -> Iterator[Remark]:
    """Windows that begin before a source was read: until it has been read for longer, the measure is missing."""
    for name, measure in card.measures.items():
        needed = _reach(card, measure)
        for source, read in days.items():
            if needed > read and patterns.any_overlap(about(card, name), yields.get(source, ())):
                word = "against" if measure.of is not None else "window"
                yield Remark(
                    ("measures", name, word),
                    f"looks back {needed} days, and {source} was read from {read} days ago on: missing until it is"
                    f" {needed}",
                    "shorten it, or wait",
                )


def _reach(card: Scorecard, measure: Measure) -> int:
    """How many days a measure needs to have been read."""
    if measure.of is None or measure.against is None:
        return measure.window or 0
    base = card.measures[measure.of].window or 1
    return measure.against.longer or base + (measure.against.shift or base)


_RULES: tuple[Callable[[Scorecard], Iterator[Remark]], ...] = (
    _how_many, _lone_logins, _vanity, _uneven, _surveys, reach.curves, reach.tiers, reach.never_or_always,
    reach.outdone, reach.impossible, reach.unused,
)  # fmt: skip
