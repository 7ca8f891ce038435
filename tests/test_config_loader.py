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
        (b"[" * 600, "x.yaml: is not valid YAML: it is nested more than 30 deep"),
        (b"a: 1\nb: x\x00y\n", "x.yaml:2 holds a character that cannot be printed; take it out"),
        (b'a: "x\\0y"', "x.yaml:1 a holds a character that cannot be printed"),
        (b'a: "half \\ud83d of a pair"', "x.yaml:1 a holds a character that cannot be printed"),
        (b"a:\n\tb: 1\n", "cannot start any token; write spaces instead of tabs"),
        (b"0: a\n0.0: b\n", "x.yaml:2 0.0 stands twice (first on line 1); keep one"),
        (b"a: !!timestamp soon", "x.yaml:1 a cannot be read; put it in quotes"),
        (b"a: !!bool perhaps", "x.yaml:1 a cannot be read; put it in quotes"),
        (b"a: !!int ''", "x.yaml:1 a cannot be read; put it in quotes"),
        (b"<<: {a: 1}", "x.yaml:1 cannot be read; put it in quotes"),
        (b"#" * 1_000_001, "larger than 1,000,000 bytes"),
        (b"true: 1", "has the key true; put it in quotes"),
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


def test_what_is_missing_is_named_and_does_not_hide_the_rest(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    text = b"a: ${ONE}\nb:\n  c: ${file:nowhere}\nd: ${file:empty}\ne: 5\n"
    document = parse(text, name="x.yaml", environment={"ONE": ""}, root=tmp_path)
    assert document.values["e"] == 5
    assert document.missing == {
        ("a",): "x.yaml:1 a needs the environment variable ONE, which is not set; set it or put it in .env",
        ("b", "c"): "x.yaml:3 b.c needs the file nowhere, which cannot be read (No such file or directory)",
        ("d",): "x.yaml:4 d needs the file empty, which cannot be read (it is empty)",
    }


def test_a_key_is_no_reference_and_is_not_shown_beyond_its_word() -> None:
    document = parse(b"${TOKEN}: 1\na: {token:hush-hush}\n", name="x.yaml", environment={"TOKEN": "hush-hush"})
    assert document.values == {"${TOKEN}": 1, "a": {"token:hush-hush": None}}
    assert document.place(("a", "token:hush-hush")) == "x.yaml:2 a.token…"


def test_bytes_from_the_environment_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml:1 a holds a character that cannot be printed"):
        parse(b"a: ${TOKEN}", name="x.yaml", environment={"TOKEN": "caf\udce9"})


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError, match="larger than 1,000,000 bytes"):
        load(Path("/dev/zero"))


@given(st.binary(max_size=200) | st.text(alphabet="ab:{}[],-&*!|>'\"#%@ \n\t01.", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(raw: bytes) -> None:
    try:
        parse(raw, name="x.yaml", environment={})
    except ConfigError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
