"""The documentation keeps up with the code: every command, setting and word is in it, and its examples are run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

import config
from connectors import DESTINATIONS, SOURCES, errors
from connectors.base import FIELDS, Remedy
from connectors.clock import SystemClock
from scoring import Dimension, Measure, Scorecard
from scoring.scorecard import Against, Take
from sync import cli
from sync import settings as sync_settings
from sync.cards import load_scorecard
from sync.errors import SettingsError
from sync.health import Health
from sync.loading import load
from sync.rows import DeliveryStatus
from tests.command import exit_code

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
WORDS = (
    *("events", "take", "window", "over", "of", "against", "where", "half_life"),
    *("max_age", "absent", "map", "opens", "closes", "as", "from", "to"),
)
FOR_PEOPLE = ("points", "label", "unit", "action")


def _page(name: str) -> str:
    return TEXT[ROOT / "docs" / f"{name}.md"]


def _section(page: str, title: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title}"
    return found[1]


def _coded(text: str) -> set[str]:
    """Every word inside `code`."""
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[A-Za-z_][\w.-]*", code)}


def _first_cells(text: str) -> set[str]:
    """The words in code in the first cells of tables."""
    return {word for line in text.splitlines() if line.startswith("|") for word in _coded(line.split("|")[1])}


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


# commands

CALL = r"(?:^|\$ |/bin/)bellwether ([a-z]+)([^\n]*)"  # what stands behind the command's name


def _commands() -> Mapping[str, Any]:
    """Every command by its name; one of a group by both words."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {word}": part for word, part in inner.items()} if inner else {name: command}
    return found


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_command_and_option_is_described(name: str) -> None:
    section = _section(_page("operations"), "Commands")
    assert f"`bellwether {name}" in section
    for parameter in _commands()[name].params:
        if parameter.param_type_name == "option":
            assert max(parameter.opts, key=len) in section


def test_commands_and_options_in_the_docs_exist() -> None:
    """An option is looked up in the command it stands behind."""
    commands = _commands()
    for page, text in TEXT.items():
        for name, rest in re.findall(CALL, "\n".join(_code_of(text)), re.MULTILINE):
            if name not in commands:
                word, _, rest = rest.strip().partition(" ")
                name = f"{name} {word}"
            assert name in commands, f"{page.name}: bellwether {name}"
            known = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
            used = set(re.findall(r"--[a-z-]+", rest.split("#")[0]))
            assert used <= known, f"{page.name}: bellwether {name}{rest}"


def _code_of(text: str) -> Iterator[str]:
    """Code in blocks, cut where a shell would begin another command, and code in lines."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from re.split(r"\n|;|&&", block.replace("\\\n", " "))
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`]+)`", rest)


def test_every_exit_code_is_described() -> None:
    assert {"0", "1", "2", "130"} <= {
        line.split("|")[1].strip()
        for line in _section(_page("operations"), "Commands").splitlines()
        if line.startswith("|")
    }


# settings


def test_every_setting_of_the_worker_has_a_row() -> None:
    described = _first_cells(_section(_page("operations"), "Settings of the worker"))
    for name, field in sync_settings.File.model_fields.items():
        kind = field.annotation
        inner = _names(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) and name != "clock" else []
        for setting in [f"{name}.{word}" for word in inner] or [name]:
            assert setting in described, setting
    assert set(_names(sync_settings.Simulated)) <= _coded(_section(_page("operations"), "Settings of the worker"))


def test_every_setting_that_all_connectors_share_has_a_row() -> None:
    assert set(_names(sync_settings.SourceEntry)) <= _first_cells(_page("connectors").split("\n## ")[0])


TITLES = {
    ("source", "zendesk"): "Zendesk",
    ("source", "mixpanel"): "Mixpanel",
    ("source", "file"): "File source",
    ("destination", "file"): "File destination",
    ("destination", "salesforce"): "Salesforce",
    ("destination", "hubspot"): "HubSpot",
}
REGISTERED = [("source", kind) for kind in SOURCES] + [("destination", kind) for kind in DESTINATIONS]


@pytest.mark.parametrize(("door", "kind"), REGISTERED)
def test_every_connector_has_a_section_with_every_setting_in_a_row(door: str, kind: str) -> None:
    title = TITLES[door, kind]
    section = _section(_page("connectors"), title)
    _, model = (SOURCES if door == "source" else DESTINATIONS)[kind].load()
    missing = [name for name in _names(model) if name not in _first_cells(section)]
    assert not missing
    inner = {
        word
        for field in model.model_fields.values()
        for kind_ in [field.annotation, *get_args(field.annotation)]
        if isinstance(kind_, type) and issubclass(kind_, BaseModel)
        for word in _names(kind_)
    }
    assert inner <= _coded(section)
    assert "`check`" in section


def test_defaults_in_the_tables_are_those_of_the_code() -> None:
    """Where a row is about one setting and its default is one plain value."""
    tables: list[tuple[str, Any]] = [
        (_section(_page("connectors"), title), (SOURCES if door == "source" else DESTINATIONS)[kind].load()[1])
        for (door, kind), title in TITLES.items()
    ]
    tables.append((_page("connectors").split("\n## ")[0], sync_settings.SourceEntry))
    worker = _section(_page("operations"), "Settings of the worker")
    for name in ("accounts", "delivery", "judgements", "daemon"):
        model = sync_settings.File.model_fields[name].annotation
        assert model is not None
        tables.append((worker.replace(f"`{name}.", "`"), model))
    checked = [_agrees(text, name, field) for text, model in tables for name, field in model.model_fields.items()]
    assert sum(checked) >= 25


def _agrees(text: str, name: str, field: FieldInfo) -> bool:
    """Whether there was a default to compare; one that differs fails."""
    found = re.search(rf"^\| `{name}` \| `([^`]+)` \|", text, re.MULTILINE)
    if not found or not isinstance(field.default, str | int | float | timedelta):
        return False
    assert found[1] in _written(field.default), name
    return True


def _written(default: str | float | timedelta) -> set[str]:
    """A default as a person may write it."""
    if isinstance(default, timedelta):
        units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
        seconds = int(default.total_seconds())
        return {f"{seconds // unit}{letter}" for letter, unit in units if seconds % unit == 0}
    if isinstance(default, bool):
        return {str(default).lower()}
    return {default} if isinstance(default, str) else {f"{default:g}"}


def test_secrets_are_shown_as_references_in_every_example() -> None:
    secret = {
        name
        for registry in (SOURCES, DESTINATIONS)
        for entry in registry.values()
        for name, field in entry.load()[1].model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }
    for _, text in _yaml_blocks():
        for name, value in re.findall(r"^\s*(\w+): (\S+)", text, re.MULTILINE):
            if name in secret:
                assert value.startswith("${"), name


# fields, errors, metrics


def test_every_field_on_a_record_is_in_the_tables() -> None:
    for kind in ("salesforce", "hubspot"):
        names = import_module(f"connectors.{kind}.settings").DEFAULT_NAMES
        section = _section(_page("connectors"), TITLES["destination", kind])
        for field in FIELDS:
            assert f"| `{field.key}` | `{names[field.key]}` |" in section
    assert all(f"`{field.key}`" in _section(_page("connectors"), "File destination") for field in FIELDS)


def test_what_a_write_costs_is_what_the_writers_batches_come_to() -> None:
    salesforce, hubspot = (import_module(f"connectors.{kind}.writer") for kind in ("salesforce", "hubspot"))
    section = _section(_page("connectors"), "What a write costs in calls")
    assert f"| 1 for every {salesforce.READ_BATCH:,} records | 1 for every {hubspot.BATCH} |" in section
    assert f"| 1 for every {salesforce.BATCH} | 1 for every {hubspot.BATCH} |" in section
    few, many = 1000 // hubspot.BATCH, 100_000 // hubspot.BATCH
    assert f"| 1,000 records | 1 + {1000 // salesforce.BATCH} | {few} + {few} |" in section
    assert f"| 100,000 records | {100_000 // salesforce.READ_BATCH} + 6, " in section
    assert f"| {many:,} + {many:,} |" in section
    assert f"1 for every {salesforce.LOCKED_BATCH}," in " ".join(section.split())


def test_every_kind_of_error_and_remedy_is_explained() -> None:
    section = _section(_page("operations"), "When something fails")
    kinds = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.ConnectorError) and kind is not errors.ConnectorError
    ]
    for word in (*kinds, *get_args(Remedy)):
        assert f"| `{word}` |" in section


@pytest.mark.parametrize("kind", ["salesforce", "hubspot"])
def test_every_code_a_vendor_refuses_a_row_with_has_a_remedy(kind: str) -> None:
    remedies = import_module(f"connectors.{kind}.remedies")
    codes = {*remedies._ROWS, *getattr(remedies, "SETTINGS", {})}
    assert codes <= _first_cells(_section(_page("operations"), "When something fails"))


@pytest.mark.parametrize(("kind", "vendor"), [("salesforce", "Salesforce"), ("hubspot", "HubSpot")])
def test_every_code_stands_beside_the_remedy_it_is_given(kind: str, vendor: str) -> None:
    section = _section(_page("operations"), "When something fails")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    told = {code: row[2] for row in rows if len(row) == 4 and row[1] == vendor for code in _coded(row[0])}
    given = import_module(f"connectors.{kind}.remedies")._ROWS
    assert {code: told[code] for code in given} == {code: f"`{remedy}`" for code, (remedy, _) in given.items()}


def test_every_state_of_a_delivery_and_every_remedy_has_a_row() -> None:
    section = _section(_page("operations"), "When something fails")
    table = r"^\| {} \|.*\n\|.*\n((?:\|.*\n)+)"
    states, remedies = (re.findall(table.format(head), section, re.M)[0] for head in ("state", "remedy"))
    assert _first_cells(states) == set(get_args(DeliveryStatus))
    assert all(line.count("|") == 5 and "||" not in line.replace(" ", "") for line in states.splitlines())
    assert _first_cells(remedies) == set(get_args(Remedy))


def test_every_refusal_of_a_sign_in_has_a_remedy() -> None:
    signin = import_module("connectors.salesforce.signin")
    assert set(signin.REFUSALS) <= _first_cells(_section(_page("connectors"), "Salesforce"))


def test_every_metric_is_described() -> None:
    section = _section(_page("operations"), "The daemon from outside")
    for metric in Health(SystemClock()).registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert f"| `{name}` |" in section


# the language of scorecards


def test_the_words_of_a_measure_are_sixteen_and_four_for_people() -> None:
    assert len(WORDS) == 16
    assert sorted(_names(Measure)) == sorted((*WORDS, *FOR_PEOPLE))


@pytest.mark.parametrize("word", [*WORDS, *FOR_PEOPLE, *get_args(Take)])
def test_every_word_and_take_has_a_row(word: str) -> None:
    assert word in _first_cells(_section(_page("scorecards"), "The sixteen words of a measure"))


def test_every_key_of_a_scorecard_is_described() -> None:
    section = _section(_page("scorecards"), "The whole file")
    assert set(_names(Scorecard)) <= _first_cells(section)
    assert {*_names(Dimension), "amber"} <= _coded(section)
    assert set(_names(Against)) <= _coded(_section(_page("scorecards"), "The sixteen words of a measure"))


@pytest.mark.parametrize("preset", config.presets())
def test_every_preset_is_listed_with_the_events_it_needs(preset: str) -> None:
    section = _section(_page("scorecards"), "Presets")
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{preset}` |")]
    document = config.preset(preset)
    assert document is not None
    card = Scorecard.model_validate(document.values)
    needed = {
        name
        for measure in card.measures.values()
        for names in (measure.events, measure.opens, measure.closes, measure.from_, measure.to)
        for name in names or ()
    }
    listed = set(re.findall(r"`([^`]+)`", row.split("|")[3]))
    assert listed == needed


def test_the_readme_shows_the_versions_of_the_presets_as_they_are() -> None:
    named = "|".join(config.presets())
    shown = set(re.findall(rf"\b({named}) ([0-9a-f]{{12}})\b", TEXT[ROOT / "README.md"]))
    assert "saas" in dict(shown)
    for name, version in shown:
        document = config.preset(name)
        assert document is not None
        assert Scorecard.model_validate(document.values).version == version


# links and examples


def _anchors(text: str) -> set[str]:
    """The anchors of headings, as they are made where the pages are shown."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(TEXT[found]), target


def _yaml_blocks() -> list[tuple[str, str]]:
    return [
        (f"{page.name}:{text[: found.start()].count(chr(10)) + 1}", found[1])
        for page, text in TEXT.items()
        for found in re.finditer(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(("place", "text"), _yaml_blocks(), ids=lambda value: value if ".md:" in value else "")
def test_examples_of_settings_and_scorecards_load(
    place: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "x")
    path = tmp_path / "bellwether.yaml"
    if re.search(r"^dimensions:", text, re.MULTILINE):
        path.write_text(text)
        assert load_scorecard(path.name, tmp_path)
        return
    if re.search(r"^(measures|caps|watch|settle):", text, re.MULTILINE):  # a part of a scorecard
        whole, part = (yaml.safe_load(words) for words in (_named_blocks()["small.yaml"], text))
        path.write_text(yaml.safe_dump({**whole, **part, "measures": whole["measures"] | part.get("measures", {})}))
        assert load_scorecard(path.name, tmp_path)
        return
    if not re.search(r"^home:", text, re.MULTILINE):  # a part of a settings file
        text += WHOLE if "mixpanel" in text or "surveys" in text else f"{WHOLE}{ZENDESK}"
    path.write_text(text)
    (tmp_path / "small.yaml").write_text(_named_blocks()["small.yaml"])
    try:
        load(path)
    except SettingsError as refused:
        pytest.fail(f"{place}: {refused}")


WHOLE = """
home: customers
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""
ZENDESK = "sources: {zendesk: {subdomain: acme, client_id: x, client_secret: x}}\n"


def _named_blocks() -> dict[str, str]:
    """The files of the small example: a name in code on a line of its own, then the block."""
    found = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", _page("scorecards"), re.MULTILINE | re.DOTALL)
    return dict(found)


def _shown_commands() -> list[tuple[str, str]]:
    """The commands of the small example, and what they are said to print."""
    section = _section(_page("scorecards"), "A small example, from facts to score")
    section += _section(_page("scorecards"), "Missing, zero, held, stale")
    text = "\n".join(re.findall(r"^```\n(\$ .*?)^```", section, re.MULTILINE | re.DOTALL))
    starts = [found.start() for found in re.finditer(r"^\$ ", text, re.MULTILINE)] + [len(text)]
    pieces = [text[start:end] for start, end in pairwise(starts)]
    return [(command.removeprefix("$ "), said) for command, _, said in (piece.partition("\n") for piece in pieces)]


def test_the_small_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in _named_blocks().items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    shown = _shown_commands()
    assert len(shown) == 6
    for command, said in shown:
        words = shlex.split(command)
        if words[0] == "touch":
            moment = datetime.fromisoformat(words[2]).astimezone(UTC).timestamp()
            os.utime(words[3], (moment, moment))
            continue
        printed = _run(words, capsys)
        assert not said or _lines(printed) == _lines(said), command


def _run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    code = exit_code(*words[1:])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return printed.out


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
