"""How a customer's own words sound, from -1 to 1, for English; None for what the lexicon cannot judge.

VADER (Hutto and Gilbert, 2014) sums word valences with rules for negation and emphasis. It knows English
only, and calls every other language neutral, which would read as contentment; hence the test of the
language first: a text is English when enough of its words are English function words, and more of them than
of other languages.
"""

from __future__ import annotations

import re

from connectors import vader

MOST_LETTERS = 2000  # who is angry says so early
FEW_WORDS = 8
ENGLISH_SHARE = 0.15

ENGLISH_WORDS = """
a about after all an and any are as at be because been before but by can can't could did do does doesn't
don't for from get had has have he how i i'm if in is isn't it it's its just me more my no not now of on
or our please she should since so that the their them then there these they this to up us was we were
what when which who why will with won't would you your
"""
OTHERS_WORDS = """
aber ao att auf aus avec bei beim bitte ce cette che com como con cuando czy da dans das dat de del
della dem den depuis der des desde det deze di du een ein eine einen el ella elle en es est esta este
está et foi für gli hay het ich il inte ist jak je jest kann la las le les lo los mais meu mit muy más
na nao ne nel nicht nie niet non nos nossa nous não o och oder os ou par para pas per pero più plus por
porque pour proszę puedo que questo qui se si sich sie sin się sobre som sono sont su sur uma una und
une uns van von voor vous wenn werden wie wir zijn zu zum är
"""
ENGLISH, OTHERS = frozenset(ENGLISH_WORDS.split()), frozenset(OTHERS_WORDS.split())
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def sentiment(text: str) -> float | None:
    """From -1 (furious) to 1 (delighted); None when the text is not English or says too little to judge."""
    text = text[:MOST_LETTERS]
    return vader.compound(text) if _is_english(text) else None


def _is_english(text: str) -> bool:
    kinds = "".join(map(_kinds.__getitem__, text.split()))
    english, others = kinds.count("e"), kinds.count("o")
    if len(kinds) >= FEW_WORDS:
        return english >= ENGLISH_SHARE * len(kinds) and english > others
    # Too few words for a share to mean anything: some must be known, and none may be another language's.
    known = english + kinds.count("k")
    return others == 0 and 3 * known >= len(kinds) > 0


class _Kinds(dict[str, str]):
    """A letter for each word of a token: English, of another language, known as a word with a mood, or unknown."""

    def __missing__(self, token: str) -> str:
        if len(self) >= vader.MOST_TOKENS:
            self.clear()
        self[token] = found = "".join(_kind(word) for word in WORD.findall(token.lower().replace("’", "'")))
        return found


def _kind(word: str) -> str:
    return "e" if word in ENGLISH else "o" if word in OTHERS else "k" if word in vader.lexicon() else "?"


_kinds = _Kinds()
