"""Settings: one line with file, line, key and remedy for every mistake, and no secret in any of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from sync.errors import SettingsError
from sync.loading import load
from sync.settings import duration

GOOD = """\
home: customers
scorecard: saas
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""


def _mistakes(folder: Path, text: str) -> list[str]:
    (folder / "bellwether.yaml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(folder / "bellwether.yaml")
    return refused.value.lines


def test_reads_a_small_file_and_fills_in_the_rest(tmp_path: Path) -> None:
    (tmp_path / "bellwether.yaml").write_text(GOOD)
    settings = load(tmp_path / "bellwether.yaml")
    assert settings.home == "customers"
    assert settings.data == tmp_path / "bellwether-data"
    assert settings.delivery.refresh == timedelta(days=7)
    assert settings.scorecard.name == "saas"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("home: crm\n", "bellwether.yaml:1 home: no destination is called crm (there are: customers)"),
        ("timezon: UTC\n", "bellwether.yaml:5 timezon: there is no such setting; did you mean timezone?"),
        ("timezone: Mars/Olympus\n", "bellwether.yaml:5 timezone: is not a time zone"),
        ("scorecard: nope\n", "bellwether.yaml:2 scorecard: 'nope' is neither a file nor a preset"),
        ("delivery: {dead_band: lots}\n", "bellwether.yaml:5 delivery.dead_band: needs a number"),
        ("delivery: {refresh: soon}\n", "bellwether.yaml:5 delivery.refresh: write a number and a unit: 30s"),
        ("daemon: {every: 0m}\n", "bellwether.yaml:5 daemon.every: must be longer than nothing"),
        (
            "daemon: {host: 0.0.0.0}\n",
            "bellwether.yaml:5 daemon.host: answering beyond this machine needs daemon.token",
        ),
        ("sources: {Zen Desk: {}}\n", "bellwether.yaml:5 sources.Zen Desk"),
        ("sources: {help: {kind: zendisk}}\n", "bellwether.yaml:5 sources.help.kind: there is no connector 'zendisk'"),
        ("sources: {customers: {kind: zendesk}}\n", "bellwether.yaml:5 sources.customers"),
        ("judgements: {default: 400d}\n", "bellwether.yaml:5 judgements: default is longer than longest; make one of"),
        ("judgements: {longest: 0d}\n", "bellwether.yaml:5 judgements.longest: must be longer than nothing"),
        ("judgements: {authors: [' ']}\n", "bellwether.yaml:5 judgements.authors.0: is empty"),
        ("judgements: {authors: Ann}\n", "bellwether.yaml:5 judgements.authors: needs a list, like [a, b]"),
        ("sources: {judgements: {kind: file}}\n", "bellwether.yaml:5 sources.judgements"),
        (
            "links: {map: {nobody: {'1': a}}}\n",
            "bellwether.yaml:5 links.map.nobody: no source or destination has this name",
        ),
        ("salt: ${NO_SALT_IS_SET}\n", "bellwether.yaml:5 salt needs the environment variable NO_SALT_IS_SET"),
        ("delivery: {refresh: 999999w}\n", "bellwether.yaml:5 delivery.refresh: must be at most a hundred years"),
        ("delivery: {dead_band: .nan}\n", "bellwether.yaml:5 delivery.dead_band: has to be"),
        (
            "clock: {start: 2026-03-01T00:00:00Z, speed: 1, epoch: .inf}\n",
            "bellwether.yaml:5 clock.epoch: has to be less than or equal to 10000000000",
        ),
    ],
)
def test_names_file_line_key_and_remedy(change: str, line: str, tmp_path: Path) -> None:
    key = change.split(":")[0]
    lines = GOOD.splitlines(keepends=True)
    changed = [change if old.startswith(f"{key}:") else old for old in lines]
    text = "".join(changed if changed != lines else [*lines, change])
    assert any(found.startswith(line) for found in _mistakes(tmp_path, text)), _mistakes(tmp_path, text)


def test_a_connectors_own_mistake_has_its_place_too(tmp_path: Path) -> None:
    zendesk = "subdomain: acme, client_id: a, client_secret: hush-hush, histori: yes"
    text = f"{GOOD}sources:\n  zendesk: {{{zendesk}}}\n"
    (line,) = _mistakes(tmp_path, text)
    assert line == "bellwether.yaml:6 sources.zendesk.histori: there is no such setting; did you mean history?"


def test_what_there_is_is_said_of_the_right_depth(tmp_path: Path) -> None:
    source = "{kind: file, path: e.csv, event: login, columns: {account: a, at: b, usr: c}}"
    (line,) = _mistakes(tmp_path, f"{GOOD}sources:\n  product: {source}\n")
    assert line == "bellwether.yaml:6 sources.product.columns.usr: there is no such setting; did you mean user?"
    (line,) = _mistakes(tmp_path, f"{GOOD}delivery: {{zzz: 1}}\n")
    assert line.endswith("(there are: limit, dead_band, refresh, attempts, share, leave)")


def test_an_env_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    assert "is not UTF-8" in _mistakes(tmp_path, GOOD)[0]


def test_the_path_of_state_starts_from_the_settings_folder(tmp_path: Path) -> None:
    (tmp_path / "bellwether.yaml").write_text(GOOD + "state: sqlite:///here.db\n")
    assert load(tmp_path / "bellwether.yaml").state.get_secret_value() == f"sqlite:///{tmp_path / 'here.db'}"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Of the file, its connectors, what it refers to and what does not go together."""
    sources = (
        "sources:\n"
        "  help: {kind: zendisk}\n"
        "  zendesk: {subdomain: acme, client_id: a, client_secret: '${NO_SECRET_IS_SET}', histori: yes, every: soon}\n"
        "  product: 5\n"
    )
    assert _mistakes(tmp_path, GOOD + "timezon: 1\ndeliveri: 2\n" + sources) == [
        "bellwether.yaml:9 sources.zendesk.client_secret needs the environment variable NO_SECRET_IS_SET, "
        "which is not set; set it or put it in .env",
        "bellwether.yaml:10 sources.product: needs keys with values below it",
        "bellwether.yaml:5 timezon: there is no such setting; did you mean timezone?",
        "bellwether.yaml:6 deliveri: there is no such setting; did you mean delivery?",
        "bellwether.yaml:8 sources.help.kind: there is no connector 'zendisk'; write kind: and one of "
        "file, mixpanel, zendesk",
        "bellwether.yaml:9 sources.zendesk.every: write a number and a unit: 30s, 15m, 6h, 7d or 2w",
        "bellwether.yaml:9 sources.zendesk.histori: there is no such setting; did you mean history?",
    ]


def test_what_only_sources_have_is_refused_of_a_destination(tmp_path: Path) -> None:
    lines = _mistakes(tmp_path, GOOD.replace("kind: file,", "kind: file, every: 1h, backfill: 30d,"))
    words = "belongs to a source; a destination is read as often as accounts.every says"
    assert lines == [f"bellwether.yaml:4 destinations.customers.{name}: {words}" for name in ("every", "backfill")]


def test_a_mistake_in_a_scorecard_names_the_scorecards_own_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ndimensions: {}\nmeasures: {}\n")
    (line,) = _mistakes(tmp_path, GOOD.replace("saas", "mine.yaml"))
    assert line.startswith("mine.yaml:2 dimensions: ")


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="`bellwether init` writes a starter settings file"):
        load(tmp_path / "nothing.yaml")


def test_secrets_come_from_env_files_and_stay_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HS_TOKEN", raising=False)
    (tmp_path / ".env").write_text("HS_TOKEN=hush-hush\nSALT=hush-salt\n")
    text = GOOD + "  hubspot: {access_token: '${HS_TOKEN}'}\nsalt: ${SALT}\n"
    (tmp_path / "bellwether.yaml").write_text(text)
    settings = load(tmp_path / "bellwether.yaml")
    assert "hush" not in repr(settings)
    (line,) = _mistakes(tmp_path, text.replace("access_token", "acces_token: x, access_token"))
    assert "hush" not in line


def test_the_starter_file_is_right_but_for_what_only_the_user_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [line.split("=")[0] for line in config.template("env.example").splitlines() if line.endswith("=")]
    for name in names:
        monkeypatch.setenv(name, "x")
    (tmp_path / "bellwether.yaml").write_text(config.template("starter.yaml"))
    settings = load(tmp_path / "bellwether.yaml")
    assert set(settings.sources) == {"zendesk", "mixpanel"}
    assert set(settings.destinations) == {"salesforce", "hubspot"}


@given(st.text(max_size=12))
def test_a_duration_is_read_or_refused(text: str) -> None:
    try:
        assert duration(text) >= timedelta()
    except ValueError as error:
        assert "write a number and a unit" in str(error)  # noqa: PT017 - most inputs are refused
