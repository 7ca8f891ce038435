"""Rules wherever they stand: what is asked of the engine is rebuilt from a few kinds of node, whatever was written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scoring import Scorecard, Segment, compile, segments
from scoring.rules import DEEPEST, LONGEST, names, rebuild

BASE: dict[str, Any] = {
    "name": "small",
    "dimensions": {"use": {"weight": 1, "measures": {"value": 1, "tickets": 1}}},
    "measures": {
        "value": {"events": "login", "take": "count", "window": "7d", "points": {0: 0, 9: 100}},
        "tickets": {"events": "ticket.*", "take": "count", "window": "7d", "points": {0: 100, 9: 0}},
        "label": {"events": "plan", "take": "last", "map": {"free": 20, "pro": 70}},
    },
}
PLACES = {
    "where": ("measures", "value", "where"),
    "cap": ("caps", "here", "when"),
    "watch flag": ("watch", "here", "when"),
}
ATTRIBUTES = ("label", "value")
MARK = "smuggled"


def card_with(rule: str, place: str) -> Scorecard:
    """A scorecard with a rule in one of the places where it may stand; the names of columns are names of measures."""
    measures: Mapping[str, Any] = BASE["measures"]
    if place == "where":
        return Scorecard.model_validate(BASE | {"measures": {**measures, "value": measures["value"] | {"where": rule}}})
    section = "caps" if place == "cap" else "watch"
    return Scorecard.model_validate(BASE | {section: {"here": {"when": rule, "reason": "so it is"}}})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "rule",
    [
        "value > 1; drop table events",
        "value > (select 1)",
        "value in (select 1)",
        "exists (select 1)",
        "value = any (select 1)",
        "value > 1 union select 1",
        "with x as (select 1) select 1 > 0",
        "label = read_text('/etc/passwd')",
        "read_csv('/etc/passwd') = 'x'",
        "glob('/*') = 'x'",
        "getenv('HOME') = 'x'",
        "value > 1 or pg_read_file('/etc/passwd') = 'x'",
        "copy events to '/tmp/x'",
        "attach '/tmp/x' as y",
        "pragma database_list",
        "install httpfs",
        "load '/tmp/x.so'",
        "from '/etc/passwd'",
        "'/etc/passwd'",
        "label = $$x$$",
        "label = e'x'",
        "label = x'41'",
        "label = 'x",
        "label = 'x''",
        'label = "pro"',
        "label = `pro`",
        "label = [1]",
        "label[1] = 'p'",
        "label.x = 'p'",
        "value = {'a': 1}",
        "label || 'x' = 'prox'",
        "label = 'a' 'b'",
        "label like 'p%'",
        "label similar to '.*'",
        "label ~ '.*'",
        "label is null",
        "value between 1 and 2",
        "value::varchar = '1'",
        "cast(value as varchar) = '1'",
        "case when value > 1 then true end",
        "value > ?",
        "value > $1",
        "value > :one",
        "value > @one",
        "value > 1 % 2",
        "value > 2 ** 2",
        "value ^ 2 > 1",
        "value // 2 > 1",
        "value & 1 = 1",
        "value << 1 > 1",
        "~value > 1",
        "value > 1 -- x\n; drop table events",
        f"value > 1 -- {MARK}",
        f"value > /* {MARK} */ 1",
        f"value > 1 /* ' {MARK} ' */",
        f"/*'*/ value > 1 /* {MARK} '*/",
        "value --3 > 2",
        "value > 1 /* unclosed",
        "interval 1 day > 1",
        "date '2026-01-01' > 1",
        "current_date > 1",
        "random() > 1",
        "value > 1 order by 1",
        "lambda x: x > 1",
        "(value, value) = (1, 1)",
        "value > \u2013 1",
        "value \u2265 1",
        "value > 1\0",
        "*",
        "columns('.*') > 1",
        "true",
        "null",
        "value > null",
        "value = true",
        f"{'(' * (DEEPEST + 1)}value > 1{')' * (DEEPEST + 1)}",
        f"{'not ' * 100}value > 1",
        f"value > 1{' or value > 1' * LONGEST}",
        f"value > {'- ' * 100}1",
        f"value > 1{' + 1' * (DEEPEST + 1)}",
    ],
)
def test_anything_but_a_rule_is_refused_wherever_rules_stand(rule: str, place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        card_with(rule, place)
    with pytest.raises(ValueError, match=r"\w"):
        segments.check(rule, ATTRIBUTES)
    (error,) = refused.value.errors()
    assert error["loc"] == PLACES[place]
    assert "\n" not in error["msg"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        (f"label <> '{MARK}''; drop table x --'", f"label <> '{MARK}''; drop table x --'"),
        ("label <> '/* no comment */'", "label <> '/* no comment */'"),
        ("label = '\\'", "label = '\\'"),
    ],
)
def test_what_stands_in_quotes_stays_a_word(rule: str, sql: str, place: str) -> None:
    assert rebuild(rule) == sql
    script = compile(card_with(rule, place), {"all": ["*"]}).sql()
    assert (MARK in script) == (MARK in sql)
    assert place != "where" or sql in script
    assigned = segments.assignment(
        [Segment(card_with(rule, place), rule), Segment(card_with(rule, place))], "x", ATTRIBUTES
    )
    assert (MARK in assigned) == (MARK in sql)


PIECES = [
    *("value", "label", " ", "(", ")", ",", "'a'", "''", "'", '"', "1", "-", "=", " and ", " not ", " in ", "--", "/*"),
    *(
        "*/",
        ";",
        "select ",
        "from ",
        "read_text(",
        "null",
        "$$",
        "e'",
        ".",
        "[",
        "::",
        "||",
        "%",
        "\\",
        "1e9",
        "é",
        "\n",
    ),
]
TOKEN = re.compile(
    r"'(?:[^']|'')*'|\d+(?:\.\d+)?(?:e[+-]?\d+)?|<>|<=|>=|[=<>(),+*/-]|\b(?:value|label|and|or|not|in)\b|\s+"
)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (f"value > {' ' * LONGEST}1", f"is longer than {LONGEST} characters"),
        ("(" * 3 * DEEPEST + "value" + ")" * 3 * DEEPEST + " > 1", f"is nested more than {DEEPEST} deep"),
    ],
)
def test_a_rule_that_is_too_much_to_read_is_told_so_before_it_is_read(rule: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        names(rule)


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("7 / 2 > value", "(7 / 2.0) > value"),
        ("value / 0.5 > 1", "(value / 0.5) > 1"),
        ("value in (-1, 2)", "value in ((- 1), 2)"),
    ],
)
def test_numbers_mean_the_same_on_any_engine(rule: str, sql: str) -> None:
    """Of two whole numbers some make a whole one."""
    assert rebuild(rule) == sql
    assert rebuild(sql) == sql


@pytest.mark.parametrize("rule", ["value / 0 > 1", "value / -2 > 1", "value / value > 1", "value / 'a' > 1"])
def test_a_rule_divides_by_a_number_above_zero_only(rule: str) -> None:
    with pytest.raises(ValueError, match=r"may divide only by a number above zero|where a number is needed"):
        rebuild(rule)


NUMBERS = st.recursive(
    st.sampled_from(["value", "1", "0.5", "-2", "(value / 2)"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
    max_leaves=4,
)
TESTS = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["<", ">=", "=", "<>", "!="]), NUMBERS),
        st.sampled_from(["label = 'a'", "label in ('a', 'it''s')", "'b' <> LABEL", "value in (1, -2)"]),
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "OR"]), inner), inner.map("not {}".format)
    ),
    max_leaves=5,
)


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A rule with a few pieces of other things put in anywhere."""
    text = draw(TESTS)
    for piece in draw(st.lists(st.sampled_from(PIECES), max_size=3)):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + piece + text[at:]
    return text


@given(text=spoiled())
@settings(max_examples=50)
@example(text="value>1--'")
@example(text="label='a'/*'*/or'a'=label")
def test_whatever_is_written_only_known_pieces_come_out(text: str) -> None:
    try:
        sql = rebuild(text)
    except ValueError:
        return
    assert TOKEN.sub("", sql) == ""
    assert sql.count("(") == sql.count(")")
    assert rebuild(sql) == sql  # what was rebuilt is a rule, and the same one


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create table facts (value double, label varchar)")
        connection.execute("insert into facts values (0, 'a'), (1, 'b'), (2.5, 'it''s'), (-2, '')")
        yield connection


@given(text=TESTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_rule_is_taken_by_the_engine_and_means_what_was_written(
    text: str, engine: duckdb.DuckDBPyConnection
) -> None:
    assert set(names(text)) <= {"value", "label"}
    written, rebuilt = (engine.sql(f"select {sql} from facts").fetchall() for sql in (text, rebuild(text)))
    assert written == rebuilt
