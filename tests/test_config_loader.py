"""The YAML loader: plain values, known places, and one line for everything it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, load, parse, presets


def test_remembers_the_line_of_every_key_and_item() -> None:
    document = parse(b"a: 1\nb:\n  c: [x, y]\n", name="bellwether.yaml")
    assert document.values == {"a": 1, "b": {"c": ["x", "y"]}}
    assert document.place(("b", "c", 1)) == "bellwether.yaml:3 b.c.1"
    assert document.place(("b", "unknown")) == "bellwether.yaml:2 b.unknown"


def test_numbers_may_be_keys_as_in_a_curve() -> None:
    assert parse(b"points: {0: 0, 0.4: 60}", name="x").values == {"points": {0: 0, 0.4: 60}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"a: 1\na: 2\n", "x.yaml:2 a stands twice (first on line 1); keep one"),
        (b"a: &n 1\nb: *n\n", "x.yaml:2 is not valid YAML: aliases"),
        (b"a: [1", "x.yaml:1 is not valid YAML"),
        (b"ok: 1\nbad: \xff\xfe", "x.yaml:2 is not UTF-8"),
        (b"[1]: 2", "has a key that is not a plain word"),
        (b"a: 2026-02-31", "x.yaml:1 a cannot be read; put it in quotes"),
        (b"a: ${NOT_THERE}", "x.yaml:1 a needs the environment variable NOT_THERE, which is not set"),
        (b"a: ${file:missing.txt}", "x.yaml:1 a needs the file missing.txt, which cannot be read"),
        (b"[" * 5000, "x.yaml: is not valid YAML"),
        (b"#" * 1_000_001, "larger than 1,000,000 bytes"),
        (b"true: 1", "has the key True; put it in quotes"),
    ],
)
def test_says_in_one_line_what_cannot_be_read(text: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, name="x.yaml", environment={}, root=tmp_path)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_takes_secrets_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "x.yaml").write_text("a: ${TOKEN}\nb: ${file:token}\nc: in ${TOKEN} the middle\n")
    document = load(tmp_path / "x.yaml", environment={"TOKEN": "from-environment"})
    assert document.values == {"a": "from-environment", "b": "from-file", "c": "in ${TOKEN} the middle"}


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.yaml: cannot be read"):
        load(tmp_path / "nope.yaml")


def test_ships_its_presets() -> None:
    assert {"saas", "mid_market", "usage_sentiment"} <= set(presets())


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(b"a: ${ONE}\nb:\n  c: ${TWO}\n", name="x.yaml", environment={})
    assert [line.split(",")[0] for line in str(refused.value).splitlines()] == [
        "x.yaml:1 a needs the environment variable ONE",
        "x.yaml:3 b.c needs the environment variable TWO",
    ]


@given(st.binary(max_size=200) | st.text(alphabet="ab:{}[],-&*!|>'\"#%@ \n\t01.", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(raw: bytes) -> None:
    try:
        parse(raw, name="x.yaml", environment={})
    except ConfigError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
