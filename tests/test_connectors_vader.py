"""Our VADER says what the library says, to the last digit."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vaderSentiment import vaderSentiment as vader

from connectors.vader import compound

LIBRARY = vader.SentimentIntensityAnalyzer()
LOADED = sorted(LIBRARY.lexicon)
RULES = [
    *sorted(vader.BOOSTER_DICT), *sorted(vader.NEGATE), *sorted(vader.SPECIAL_CASES),
    *("but", "BUT", "no", "No", "nor", "or", "never", "so", "this", "without", "doubt", "least", "at", "very", "kind"),
    *("of", "sort", "just", "enough", "the", "shit", "bomb", "bad", "ass", "good", "GOOD", "great", "wasn't"),
]  # fmt: skip
SIGNS = sorted(sign for sign in LIBRARY.emojis if len(sign) == 1)

words = st.one_of(
    st.sampled_from(RULES),
    st.sampled_from(LOADED),
    st.sampled_from(SIGNS),
    st.sampled_from(["export", "report", "x", "42", "É", "İ", "-", "...", ":)", "D:", "I"]),
)
changed = st.tuples(words, st.sampled_from([str, str.upper, str.capitalize])).map(lambda pair: pair[1](pair[0]))
sentences = st.lists(
    st.tuples(changed, st.sampled_from([" ", " ", " ", "", "! ", "? ", ", ", "\n", " (", ") "])), max_size=25
).map(lambda parts: "".join(part for pair in parts for part in pair))


@given(sentences)
@example("It was not good, but but GOOD good good, and never so good")
@example("least good")
@example("at least good")
@example("x least good")
@settings(max_examples=400, deadline=None)
def test_every_sentence_made_of_what_the_rules_know_is_judged_as_the_library_does(sentence: str) -> None:
    assert compound(sentence) == LIBRARY.polarity_scores(sentence)["compound"]


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_is_judged_as_the_library_does(text: str) -> None:
    assert compound(text) == LIBRARY.polarity_scores(text)["compound"]


@pytest.mark.parametrize(
    "sentence", ["", "   ", "good", "The export is kind of broken, and nobody wasn't VERY unhappy!!"]
)
def test_a_sentence_as_people_write_it_is_judged_as_the_library_does(sentence: str) -> None:
    assert compound(sentence) == LIBRARY.polarity_scores(sentence)["compound"]
