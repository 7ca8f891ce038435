"""How words sound, and when nothing can be said about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.text import sentiment

ANGRY = "This is terrible. The export has been broken since Monday and nobody answers, I am very disappointed."
HAPPY = "Thank you so much, the new dashboard is wonderful and it was easy to set up. Great work!"


def test_angry_words_are_below_zero_and_kind_words_above() -> None:
    angry, happy = sentiment(ANGRY), sentiment(HAPPY)

    assert angry is not None
    assert happy is not None
    assert angry < -0.3 < 0.3 < happy


def test_plain_english_without_feeling_is_neutral_and_not_missing() -> None:
    assert sentiment("Where can I find the page that lists the invoices of the last month?") == 0


@pytest.mark.parametrize(
    "words",
    [
        "Der Export ist seit Montag kaputt und niemand antwortet uns, das ist wirklich sehr schlecht.",
        "Nous ne pouvons pas exporter les factures depuis lundi, c'est vraiment très mauvais pour nous.",
        "No podemos exportar las facturas desde el lunes y nadie responde, es un error muy grave.",
        "Não conseguimos exportar as faturas desde segunda-feira e ninguém responde, isso é terrível.",
        "De export is sinds maandag kapot en niemand antwoordt, dit is niet goed voor ons bedrijf.",
        "月曜日からエクスポートができません。とても困っています。",
        "С понедельника экспорт не работает, и никто не отвечает.",
        "Fehler beim Export",
        "",
        "12345 !!! ???",
        "ERR_CONN_4711 0x80004005",
    ],
)
def test_says_nothing_about_words_it_does_not_know(words: str) -> None:
    assert sentiment(words) is None


def test_a_short_english_subject_is_judged() -> None:
    score = sentiment("Export broken, very bad")

    assert score is not None
    assert score < 0


@given(st.text(max_size=3000))
def test_every_text_is_judged_between_minus_one_and_one_or_not_at_all(text: str) -> None:
    score = sentiment(text)

    assert score is None or -1 <= score <= 1
