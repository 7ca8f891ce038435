"""VADER's compound score (Hutto and Gilbert, 2014) at a fifteenth of its price; the tables are vaderSentiment's own.

The library works every rule out for every word, with lists of all the words made anew for each. Here a rule is asked
only where one of the few words stands that have a valence. What comes out is equal to the last digit, odd corners
included: a test holds the two together.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from vaderSentiment import vaderSentiment as vader

LOUDER: float = vader.C_INCR
TURNED: float = vader.N_SCALAR
FADING = (1.0, 0.95, 0.9)  # of a modifier, by its distance
STRENGTHEN = ("so", "this")
MOST_TOKENS = 1 << 14  # remembered, of a few hundred bytes each
BOOSTERS: dict[str, float] = vader.BOOSTER_DICT
IDIOMS: dict[str, float] = vader.SPECIAL_CASES
NEGATIONS = frozenset(vader.NEGATE)
_PHRASES = [phrase.split() for phrase in [*IDIOMS, *BOOSTERS] if " " in phrase]
BEGINNINGS, ENDINGS = (frozenset(words[end] for words in _PHRASES) for end in (0, -1))
MODIFIERS = {*BOOSTERS, *NEGATIONS, *ENDINGS, *STRENGTHEN, "no", "doubt", "least"}
ASKED_FOR = {*MODIFIERS, *(word for words in _PHRASES for word in words), "but", "or", "nor", "at"}


@dataclass(frozen=True, slots=True)
class _Word:
    """A token without punctuation around it. `valence`: None where none counts (a booster's, a stranger's).

    `acts`: some rule may look at it, be it as the word itself or as one of the three before.
    """

    lower: str
    loud: bool
    valence: float | None
    boost: float
    negates: bool
    acts: bool


class _Words(dict[str, _Word | None]):
    """What is known of the tokens met so far; None of those that no rule asks for, which is most."""

    def __missing__(self, token: str) -> _Word | None:
        if len(self) >= MOST_TOKENS:
            self.clear()
        self[token] = found = _word(token)
        return found


_known = _Words()
NOBODY = _Word("", loud=False, valence=None, boost=0.0, negates=False, acts=False)


@cache
def _tables() -> tuple[dict[str, float], dict[str, str]]:
    """Words with their valence, and signs with the words that describe them."""
    library = vader.SentimentIntensityAnalyzer()
    return library.lexicon, {sign: words for sign, words in library.emojis.items() if len(sign) == 1}


def lexicon() -> dict[str, float]:
    return _tables()[0]


def compound(text: str) -> float:
    """From -1 to 1, rounded to four digits."""
    text = (text if text.isascii() else _described(text)).strip()
    tokens = text.split()
    words = list(map(_known.__getitem__, tokens))
    hits = [place for place, word in enumerate(words) if word and word.valence is not None]
    valences = {place: _valence(tokens, words, place) for place in hits}
    if "but" in text.lower():
        valences = _turned_by_but(valences, [word.lower if word else "" for word in words])
    total = float(sum(valences.values()))
    emphasis = _emphasis(text)
    total += emphasis if total > 0 else -emphasis if total < 0 else 0
    return round(total / math.sqrt(total * total + 15), 4)


def _word(token: str) -> _Word | None:
    stripped = token.strip(string.punctuation)
    word = stripped if len(stripped) > 2 else token  # a short rest was an emoticon
    lower, loud = word.lower(), word.isupper()
    negates = lower in NEGATIONS or "n't" in lower
    if not negates and lower not in ASKED_FOR and lower not in lexicon():
        return None
    valence = None if lower in BOOSTERS else lexicon().get(lower)
    acts = negates or lower in MODIFIERS or (valence is not None and (loud or lower in BEGINNINGS))
    return _Word(lower, loud, valence, BOOSTERS.get(lower, 0.0), negates, acts)


@cache
def _sign() -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(_tables()[1]))}]")


def _described(text: str) -> str:
    """Signs become the words that describe them, set apart from what stands before."""
    words = _tables()[1]

    def description(found: re.Match[str]) -> str:
        apart = found.start() > 0 and text[found.start() - 1] != " "
        return f"{' ' if apart else ''}{words[found[0]]}"

    return _sign().sub(description, text)


def _valence(tokens: Sequence[str], words: Sequence[_Word | None], place: int) -> float:
    first = max(0, place - 3)
    for word in words[first : place + 1]:
        if word and word.acts:
            near = [word or NOBODY for word in words[first : place + 3]]
            # Some words are all capitals, and some are not.
            mixed = 0 < sum(map(str.isupper, tokens)) < len(tokens)
            return _modified(near, place - first, mixed=mixed)
    word = words[place]
    return word.valence or 0.0 if word else 0.0


def _modified(words: Sequence[_Word], place: int, *, mixed: bool) -> float:
    """The valence of the word at `place` by the rules; `words` are the three before it, itself, and two behind."""
    lower = [word.lower for word in words]
    if lower[place : place + 2] == ["kind", "of"]:
        return 0.0
    word, before = words[place], words[:place][::-1]  # the nearest first
    valence = _negated_by_no(lower, place)
    if word.loud and mixed:
        valence += LOUDER if valence > 0 else -LOUDER
    for distance, other in enumerate(before):
        if other.lower in lexicon():
            continue
        if other.boost:
            valence += FADING[distance] * _boost(other, valence, loud=other.loud and mixed)
        valence *= _negation(before, distance)
        if distance == 2:
            valence = _idioms(valence, lower, place)
    if before and before[0].lower == "least" and (len(before) == 1 or before[1].lower not in ("at", "very")):
        valence *= TURNED
    return valence


def _negated_by_no(lower: Sequence[str], place: int) -> float:
    """The word's own valence; "no" before it turns it round, and is nothing itself before a word with a valence."""
    word, one, two, three = lower[place], *(lower[place - n] if place >= n else "" for n in (1, 2, 3))
    if "no" in (one, two) or (three == "no" and one in ("or", "nor")):
        return lexicon()[word] * TURNED
    if word == "no" and place + 1 < len(lower) and lower[place + 1] in lexicon():
        return 0.0
    return lexicon()[word]


def _boost(other: _Word, valence: float, *, loud: bool) -> float:
    boost = -other.boost if valence < 0 else other.boost
    if loud:
        boost += LOUDER if valence > 0 else -LOUDER
    return boost


def _negation(before: Sequence[_Word], distance: int) -> float:
    """What the word at this distance does to the valence, as a factor."""
    one, far = before[0].lower, before[distance].lower
    between = [word.lower for word in before[:distance]]
    if (distance == 1 and far == "never" and one in STRENGTHEN) or (
        distance == 2 and ((far == "never" and between[1] in STRENGTHEN) or one in STRENGTHEN)
    ):
        return 1.25
    if far == "without" and "doubt" in between:
        return 1.0
    return TURNED if before[distance].negates else 1.0


def _idioms(valence: float, lower: Sequence[str], place: int) -> float:
    three, two, one, zero = lower[place - 3 : place + 1]
    if BEGINNINGS.isdisjoint((three, two, one, zero)):
        return valence
    farther = (f"{three} {two} {one}", f"{three} {two}", f"{two} {one}")
    for phrase in (f"{one} {zero}", f"{two} {one} {zero}", farther[2], farther[0], farther[1]):
        if phrase in IDIOMS:
            valence = IDIOMS[phrase]
            break
    for length in (2, 3):
        valence = IDIOMS.get(" ".join(lower[place : place + length]), valence)
    return valence + sum(BOOSTERS.get(phrase, 0.0) for phrase in farther)


def _turned_by_but(valences: dict[int, float], lower: Sequence[str]) -> dict[int, float]:
    """What comes before "but" counts half, what comes after half as much again.

    The library looks every value up again by the value itself, so of equal ones the first may be changed twice.
    """
    if "but" not in lower:
        return valences
    turn, found = lower.index("but"), {place: value for place, value in valences.items() if value}
    for place in found:
        value = found[place]
        first = next(one for one, other in found.items() if other == value)
        found[first] = value * (0.5 if first < turn else 1.5)
    return found


def _emphasis(text: str) -> float:
    questions = text.count("?")
    asked = 0.96 if questions > 3 else questions * 0.18 if questions > 1 else 0.0
    return min(text.count("!"), 4) * 0.292 + asked
