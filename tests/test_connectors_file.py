"""Files: events read as a whole when they change, accounts read, scores written in one step."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import Account, FieldValue, Page, Tools, Write, fields_of
from connectors.clock import SteppedClock
from connectors.errors import SettingsWrong, Stopped
from connectors.file import DestinationSettings, FileDestination, FileSource, SourceSettings
from tests import served

NOW = datetime(2100, 1, 1, tzinfo=UTC)
NPS: dict[str, Any] = {
    "path": "nps.csv",
    "columns": {"account": "account_id", "at": "date", "value": "score"},
    "event": "nps.response",
}


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return make_tools(tmp_path)


def make_tools(folder: Path, timezone: str = "UTC") -> Tools:
    return served.tools(folder, SteppedClock(NOW), actor=served.hashed, timezone=ZoneInfo(timezone))


def source(tools: Tools, **more: Any) -> FileSource:
    return FileSource("surveys", SourceSettings.model_validate(NPS | more), tools)


def rows(page: Page) -> list[tuple[Any, ...]]:
    class Stream:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return page.events.__arrow_c_stream__(requested_schema)  # type: ignore[union-attr]

    with duckdb.connect() as connection:
        connection.register("arrived", Stream())
        query = "select id, account_key, actor, name, occurred_at::varchar, value, label from arrived order by all"
        return connection.execute(query).fetchall()


def pulled(one: FileSource, cursor: dict[str, Any] | None = None) -> tuple[Page, list[tuple[Any, ...]]]:
    [(page, facts)] = [(page, rows(page)) for page in one.pull(cursor, start=NOW, now=NOW)]
    return page, facts


def test_reads_facts_from_a_file(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "nps.csv").write_text("account_id,date,score\nA1,2026-03-01,9\nA2,2026-03-02T10:00:00+02:00,3.5\n")
    os.utime(tmp_path / "nps.csv", (1_800_000_000, 1_800_000_000))

    page, facts = pulled(source(tools))

    assert [fact[1:] for fact in sorted(facts, key=lambda fact: fact[1])] == [
        ("A1", None, "nps.response", "2026-03-01 00:00:00", 9.0, None),
        ("A2", None, "nps.response", "2026-03-02 08:00:00", 3.5, None),
    ]
    assert page.through == datetime.fromtimestamp(1_800_000_000, UTC)
    assert page.since == datetime(2026, 3, 1, tzinfo=UTC)
    assert page.replaces == (date(2026, 3, 1), date(2026, 3, 2))


def test_every_column_can_be_named(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who;what;when;how;kind;person;key\nA1;login;2026-03-01;2;web;u1;k1\n")
    columns = {"account": "who", "event": "what", "at": "when", "value": "how"}
    columns |= {"label": "kind", "user": "person", "id": "key"}

    page, facts = pulled(source(tools, path="log.csv", columns=columns, event=None))

    hashed = hashlib.sha256(b"u1").hexdigest()[:16]
    assert facts == [("k1", "A1", hashed, "login", "2026-03-01 00:00:00", 2.0, "web")]
    assert not page.rejected


def test_a_parquet_file_reads_like_the_same_rows_in_csv(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "nps.csv").write_text("account_id,date,score\nA1,2026-03-01,9\nA2,2026-03-02,3.5\n")
    with duckdb.connect() as connection:
        connection.execute(f"copy (from read_csv('{tmp_path}/nps.csv')) to '{tmp_path}/nps.parquet'")

    _, from_csv = pulled(source(tools))
    _, from_parquet = pulled(source(tools, path="nps.parquet"))

    assert [fact[1:] for fact in from_parquet] == [fact[1:] for fact in from_csv]


def test_a_date_without_timezone_is_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "nps.csv").write_text("account_id,date,score\nA1,2026-03-01,9\n")

    page, facts = pulled(source(make_tools(tmp_path, "Asia/Tokyo")))

    assert facts[0][4] == "2026-02-28 15:00:00"
    assert page.replaces == (date(2026, 3, 1), date(2026, 3, 1))
    assert page.since == datetime(2026, 2, 28, 15, tzinfo=UTC)


def test_bad_rows_are_named_with_their_line_and_the_rest_goes_on(tools: Tools, tmp_path: Path) -> None:
    lines = [
        "account_id,date,score",
        "A1,2026-03-01,9",
        "A2,2026-03-01",
        "A3,soon,9",
        "A4,2026-03-01,NaN",
        "A5,2026-03-01,inf",
        "A6,2026-03-01,1e300",
        "A7,2026-03-01,many",
        ",2026-03-01,9",
        "A8,2026-03-01,",
        "A9,infinity,1",
        'A10,2026-03-01,"7"',
    ]
    (tmp_path / "nps.csv").write_text("\n".join(lines) + "\n")

    page, facts = pulled(source(tools))

    assert sorted(fact[1] for fact in facts) == ["A1", "A10"]
    assert page.counts == {}
    assert len(page.rejected) == 9
    assert page.rejected[0] == ("nps.csv:3", "missing columns")
    assert ("nps.csv:4", "its date cannot be read; write 2026-03-01") in page.rejected


def test_labels_and_event_names_have_a_form(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        f"a,e,d,l\nA1,csm.pulse,2026-03-01,{'x' * 64}\nA2,csm.pulse,2026-03-01,{'x' * 65}\nA3,no name,2026-03-01,x\n"
    )
    columns = {"account": "a", "event": "e", "at": "d", "label": "l"}

    page, facts = pulled(source(tools, path="log.csv", columns=columns, event=None))

    assert [fact[1] for fact in facts] == ["A1"]
    assert [row.place for row in page.rejected] == ["log.csv:3", "log.csv:4"]


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_replaces_its_days(tools: Tools, tmp_path: Path) -> None:
    file = tmp_path / "nps.csv"
    file.write_text("account_id,date,score\nA1,2026-03-01,9\nA2,2026-03-05,3\n")
    first, _ = pulled(source(tools))
    assert list(source(tools).pull(first.cursor, start=NOW, now=NOW)) == []

    file.write_text("account_id,date,score\nA1,2026-03-03,10\n")
    second, facts = pulled(source(tools), first.cursor)

    assert second.replaces == (date(2026, 3, 1), date(2026, 3, 5))
    assert [fact[1] for fact in facts] == ["A1"]


def test_the_same_row_twice_is_two_facts_and_the_order_of_rows_does_not_matter(tools: Tools, tmp_path: Path) -> None:
    lines = ["A1,2026-03-01,9", "A2,2026-03-01,9", "A1,2026-03-01,9"]
    (tmp_path / "nps.csv").write_text("account_id,date,score\n" + "\n".join(lines))
    _, facts = pulled(source(tools))
    (tmp_path / "nps.csv").write_text("account_id,date,score\n" + "\n".join(reversed(lines)))
    _, again = pulled(source(tools))

    assert len({fact[0] for fact in facts}) == 3
    assert facts == again


@settings_(max_examples=20, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=8))
def test_whatever_a_cell_holds_every_row_is_a_fact_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("cells")
    with (folder / "nps.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["account_id", "date", "score"])
        writer.writerows(["A1", "2026-03-01", cell] for cell in cells)

    page, facts = pulled(source(make_tools(folder)))

    assert len(facts) + len(page.rejected) == len(cells)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("account_id,date,score\nA1,2026-03-01,9\nCaf\xe9,2026-03-01,9\n".encode("latin-1"), "UTF-8"),
        ("account_id,date,score\n".encode("utf-16"), "UTF-8"),
        (b"account,date,score\nA1,2026-03-01,9\n", "no column account_id"),
        (b"", "nps.csv is empty"),
        (b"\n", "does not name every column"),
        (b"account_id,date,score,date\n", "does not name every column"),
    ],
    ids=["latin-1", "utf-16", "column missing", "empty", "blank", "column twice"],
)
def test_a_file_that_cannot_be_read_gets_one_clear_line(
    tools: Tools, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "nps.csv").write_bytes(content)

    with pytest.raises(SettingsWrong, match=words) as caught:
        pulled(source(tools))
    [finding] = source(tools).check()

    assert "\n" not in str(caught.value)
    assert not finding.ok
    assert "surveys" not in finding.message
    assert finding.remedy


LOG = {"account": "a", "event": "e", "at": "d"}
MAPPED: dict[str, Any] = {"path": "log.csv", "event": None, "columns": LOG}


def test_words_of_the_event_column_become_our_names_and_the_others_are_left_out(tools: Tools, tmp_path: Path) -> None:
    lines = ["a,e,d", "A1,Signed In,2026-03-01", "A2,Login ,2026-03-01", "A3,Exported,2026-03-02", "A4,Odd,x", "A5,,"]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    events = {"login": ["Signed In", "Login"], "feature.export": "Exported"}
    one = source(tools, **MAPPED, events=events)

    page, facts = pulled(one)
    [finding] = one.check()

    assert one.names == ("login", "feature.export")
    assert sorted(fact[1:4:2] for fact in facts) == [("A1", "login"), ("A2", "login"), ("A3", "feature.export")]
    assert page.counts == {"rows_of_other_events": 1}
    assert [row.reason for row in page.rejected] == ["it has no event name"]
    assert finding.ok
    assert "1 row of events that `events` does not name" in finding.message
    assert finding.remedy == ""


def test_a_changed_mapping_reads_an_unchanged_file_again(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,e,d\nA1,Signed In,2026-03-01\n")
    before, _ = pulled(source(tools, **MAPPED))

    after, facts = pulled(source(tools, **MAPPED, events={"login": ["Signed In"]}), before.cursor)

    assert [fact[3] for fact in facts] == ["login"]
    assert list(source(tools, **MAPPED, events={"login": ["Signed In"]}).pull(after.cursor, start=NOW, now=NOW)) == []


def test_a_name_of_ours_has_a_form_that_is_told_in_words() -> None:
    with pytest.raises(ValidationError, match="a name is words of a-z, 0-9 and _ joined by dots") as caught:
        SourceSettings.model_validate(NPS | MAPPED | {"events": {"Signed In!": ["x"]}})

    assert "[A-Za-z" not in str(caught.value)


def test_a_refused_event_name_is_shown_short_with_the_legal_form(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(f"a,e,d\nA1,Signed In,2026-03-01\nA1,\x1b[2J{'x ' * 40},2026-03-01\n")

    page, _ = pulled(source(tools, **MAPPED))

    form = "is no event name (words joined by dots, like feature.export); map it with events:"
    assert page.rejected[0] == ("log.csv:2", f"'Signed In' {form}")
    assert page.rejected[1].reason == f"'?[2J{'x ' * 18}' {form}"


def test_refused_rows_beyond_the_first_hundred_are_counted(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "nps.csv").write_text("account_id,date,score\n" + "A1,soon,9\n" * 120 + "A1\n" * 3)

    page, _ = pulled(source(tools))

    assert (len(page.rejected), page.counts) == (100, {"more_refused": 23})


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ("account_id,date,score\n", "nps.csv has no rows", "fill it"),
        ("account_id,date,score\nA1,soon,1\nA2,later,1\n", "2 cannot (nps.csv:2: its date cannot", "write dates"),
        ("account_id,date,score\nA1,2026-03-01,many\n", "its value is not a number", "plain numbers"),
        ("account_id,date,score\nA1,2026-03-01\n", "missing columns", "correct these lines"),
    ],
)
def test_check_names_the_reasons_and_a_remedy_that_fits(
    tools: Tools, tmp_path: Path, text: str, words: str, remedy: str
) -> None:
    (tmp_path / "nps.csv").write_text(text)

    [finding] = source(tools).check()

    assert not finding.ok
    assert words in finding.message
    assert remedy in finding.remedy


def test_check_shows_words_that_no_name_stands_for(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,e,d\nA1,Signed In,2026-03-01\n")

    [finding] = source(tools, **MAPPED, events={"login": ["Login"]}).check()

    assert not finding.ok
    assert "'Signed In'" in finding.message
    assert finding.remedy == "add these words to events"


@pytest.mark.parametrize("endings", [("\r\n", "\n"), ("\n", "\r\n"), ("\n", "\r"), ("\r", "\r\n")])
def test_lines_may_end_in_more_than_one_way(tools: Tools, tmp_path: Path, endings: tuple[str, str]) -> None:
    lines = ["account_id,date,score", *(f"A{n},2026-03-01,{n}" for n in range(7)), "A7", 'A8,2026-03-01,"8"']
    text = "".join(line + endings[n % 2] for n, line in enumerate(lines))
    (tmp_path / "nps.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())

    page, facts = pulled(source(tools))

    assert sorted(fact[5] for fact in facts) == [0, 1, 2, 3, 4, 5, 6, 8]
    assert page.rejected == [("nps.csv:9", "missing columns")]
    assert not list(tools.spool.iterdir())


def test_mixed_line_endings_do_not_hide_that_a_file_is_not_utf_8(tools: Tools, tmp_path: Path) -> None:
    many = b"A1,2026-03-01,9\n" * 2000
    (tmp_path / "nps.csv").write_bytes(b"account_id,date,score\n" + many + b"A1,2026-03-01,9\r\nCaf\xe9,2026-03-01,9\n")

    with pytest.raises(SettingsWrong, match=r"nps\.csv:2003 is not UTF-8"):
        pulled(source(tools))


def test_a_quotation_mark_beside_an_accent_costs_one_row(tools: Tools, tmp_path: Path) -> None:
    text = (
        'account_id,date,score\nA1,2026-03-01,1\n"Caf\xe9" Bar,2026-03-01,2\n""\xe9"",2026-03-01,3\nA4,2026-03-01,4\n'
    )
    (tmp_path / "nps.csv").write_text(text, encoding="utf-8")

    page, facts = pulled(source(tools))

    assert sorted(fact[1] for fact in facts) == ["A1", "A4"]
    assert [row.reason for row in page.rejected] == ["a quotation mark is out of place, or does not close"] * 2


def test_a_file_that_is_no_parquet_is_refused_in_one_line(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "nps.parquet").write_text("account_id,date,score\nA1,2026-03-01,9\n")

    with pytest.raises(SettingsWrong, match=r"cannot be read as Parquet; .*csv") as caught:
        pulled(source(tools, path="nps.parquet"))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["../outside.csv", "/etc/passwd", "sub/../../outside.csv", ".", "nul\0.csv"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.csv").write_text("account_id,date,score\n")

    with pytest.raises(SettingsWrong):
        source(make_tools(tmp_path / "inside"), path=path)


def test_a_symlink_is_not_followed(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "nps.csv").write_text("account_id,date,score\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "nps.csv").symlink_to(tmp_path / "real" / "nps.csv")

    for path in ("nps.csv", "link/nps.csv"):
        with pytest.raises(SettingsWrong, match="symlink"):
            source(tools, path=path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"surprise": 1},
        {"event": None},
        {"event": "no name"},
        {"events": {"login": ["Signed In"]}},
        MAPPED | {"events": {}},
        MAPPED | {"events": {"login": []}},
        MAPPED | {"events": {"login": ["Signed In"], "session": ["Signed In"]}},
        {"columns": {"account": "a"}},
        {"account_key": {"is": "x"}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SourceSettings.model_validate(NPS | wrong)


# --- accounts and scores


def destination(tools: Tools, text: str | None = None, **more: Any) -> FileDestination:
    if text is not None:
        (tools.root / "accounts.csv").write_text(text)
    return FileDestination(
        "customers", DestinationSettings(accounts="accounts.csv", scores="scores.csv", **more), tools
    )


ACCOUNTS = """id,name,domain,seats,plan,renewal
A1,Acme,https://www.acme.com/about; acme.de,50,pro,2026-06-01
A2,Birch,birch.io,,free,
A3,Cedar,,7,,2026-07-01
"""


def test_reads_accounts_with_their_attributes(tools: Tools) -> None:
    attributes = {"seats": "seats", "account.plan": "plan", "renewal_date": "renewal"}

    [accounts] = destination(tools, ACCOUNTS).accounts(where="", attributes=attributes)

    assert accounts[0] == Account(
        id="A1",
        name="Acme",
        domains=("acme.com", "acme.de"),
        attributes={"seats": 50.0, "account.plan": "pro", "renewal_date": 20605.0},
    )
    assert accounts[1].attributes == {"seats": None, "account.plan": "free", "renewal_date": None}
    assert [account.id for account in accounts] == ["A1", "A2", "A3"]


def test_where_and_limit_choose_accounts(tools: Tools) -> None:
    one = destination(tools, ACCOUNTS)

    [chosen] = one.accounts(where="plan = 'pro' or seats::int < 10", attributes={})
    [first] = one.accounts(where="", attributes={}, limit=1)

    assert [account.id for account in chosen] == ["A1", "A3"]
    assert [account.id for account in first] == ["A1"]


@pytest.mark.parametrize(
    "where", ["nonsense", "plan = ", "read_text('/etc/passwd') is null", "1); drop table rows; --"]
)
def test_a_where_that_is_no_condition_is_refused(tools: Tools, where: str) -> None:
    with pytest.raises(SettingsWrong, match="accounts"):
        list(destination(tools, ACCOUNTS).accounts(where=where, attributes={}))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("A1,Again", "1 row is left out (accounts.csv:22: its id stands in line 2 already)"),
        (" A1,Again", "1 row is left out (accounts.csv:22: its id stands in line 2 already)"),
        (",Nobody", "1 row is left out (accounts.csv:22: its id is blank)"),
        ("A99", "1 row is left out (accounts.csv:22: missing columns)"),
    ],
)
def test_a_bad_row_costs_no_other_account_and_check_names_it(tools: Tools, bad: str, words: str) -> None:
    lines = ["id,name", *(f"A{n},Acme {n}" for n in range(1, 21)), bad, "A50,Last"]
    one = destination(tools, "\n".join(lines))

    [accounts] = one.accounts(where="", attributes={})
    [_, finding, _] = one.check(where="", attributes={})

    assert [account.id for account in accounts] == [f"A{n}" for n in range(1, 21)] + ["A50"]
    assert accounts[0].name == "Acme 1"
    assert (finding.ok, finding.message) == (False, words)
    assert "correct these lines" in finding.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,name\nA1,Acme\nA1,Again\n,Nobody\n", "2 rows are left out .*csv:3: its id stands in line 2 .*csv:4: its"),
        ("id,name\n,Acme\n", "accounts.csv:2: its id is blank"),
        ("id,name\n" + "A1,Acme\n" * 30, "29 rows are left out"),
        ("id,name\nA1\n", "accounts.csv:2: missing columns"),
        ('id,name\nA1,Acme\nA2,"Birch\nA3,Cedar\n', "accounts.csv:3: a quotation mark is out of place"),
        ("key,name\nA1,Acme\n", "no column id"),
    ],
)
def test_an_accounts_file_with_many_bad_rows_is_refused_as_a_whole(tools: Tools, text: str, words: str) -> None:
    with pytest.raises(SettingsWrong, match=words):
        list(destination(tools, text).accounts(where="", attributes={}))

    finding, *_ = destination(tools, text).check(where="", attributes={})

    assert not finding.ok
    assert finding.remedy


def test_writes_scores_that_it_reads_back_as_they_are(tools: Tools) -> None:
    one = destination(tools, ACCOUNTS)
    fields: dict[str, FieldValue] = {
        "score": 79.04,
        "tier": "green",
        "reason": 'Weekly "active" users 41% of seats,\ndown 22 pts',
        "tier_since": date(2026, 3, 1),
        "scored_at": datetime(2026, 3, 2, 4, 5, 6, 789, tzinfo=UTC),
        "coverage": 87.6,
    }

    [done, gone] = one.write([Write("A1", fields), Write("A9", {"score": 1.0})])

    present = one.read(["A1", "A2", "A9"])
    assert done.ok
    assert done.confirmed == {
        "score": 79.0,
        "tier": "green",
        "reason": 'Weekly "active" users 41% of seats, down 22 pts',
        "tier_since": date(2026, 3, 1),
        "scored_at": datetime(2026, 3, 2, 4, 5, 6, tzinfo=UTC),
        "coverage": 88.0,
    }
    assert (gone.ok, gone.remedy) == (False, "gone")
    assert set(present) == {"A1", "A2"}
    assert {key: present["A1"][key] for key in fields} == done.confirmed
    assert set(present["A2"].values()) == {None}
    assert sorted(path.name for path in tools.root.iterdir() if path.is_file()) == ["accounts.csv", "scores.csv"]
    assert not list(tools.spool.iterdir())


def test_a_worker_that_may_write_no_more_leaves_the_file_as_it_is(tools: Tools) -> None:
    def fenced() -> None:
        raise Stopped("another worker does it now")

    list(destination(tools, ACCOUNTS).write([Write("A1", {"score": 50.0})]))
    before = (tools.root / "scores.csv").read_bytes()
    with pytest.raises(Stopped):
        list(destination(replace(tools, stand=fenced)).write([Write("A1", {"score": 60.0})]))
    assert (tools.root / "scores.csv").read_bytes() == before


def test_the_values_of_a_score_that_was_taken_out_of_the_settings_stay(tools: Tools) -> None:
    more = replace(tools, fields=fields_of(["growth"]))
    list(destination(more, ACCOUNTS).write([Write("A1", {"score": 50.0, "growth_score": 70.0})]))
    list(destination(tools).write([Write("A1", {"score": 60.0})]))
    held = destination(more).read(["A1"])["A1"]
    assert (held["score"], held["growth_score"]) == (60.0, 70.0)


def test_a_later_write_keeps_what_it_does_not_name(tools: Tools) -> None:
    one = destination(tools, ACCOUNTS)
    one.write([Write("A1", {"score": 10.0, "tier": "red"}), Write("A2", {"score": 20.0})])
    one.write([Write("A1", {"score": None})])

    present = one.read(["A1", "A2"])
    [accounts] = one.accounts(where="", attributes={})

    assert (present["A1"]["score"], present["A1"]["tier"], present["A2"]["score"]) == (None, "red", 20.0)
    assert accounts[0].present["tier"] == "red"
    assert one.calls["write"] == 2


@pytest.mark.parametrize(
    "theirs",
    ["customer,revenue\nA1,100\n", "account,user,event,at\nA1,u1,login,2026-03-01\n", "account,score,note\nA1,5,x\n"],
)
def test_a_file_of_somebody_elses_is_never_written_over(tools: Tools, theirs: str) -> None:
    (tools.root / "scores.csv").write_text(theirs)
    one = destination(tools, ACCOUNTS)

    with pytest.raises(SettingsWrong, match="something else"):
        one.write([Write("A1", {"score": 1.0})])
    [finding] = one.check(where="", attributes={})

    assert (tools.root / "scores.csv").read_text() == theirs
    assert (finding.place, finding.ok) == ("destinations.customers.scores", False)
    assert finding.message == "scores.csv is there and holds something else than scores"
    assert finding.remedy.startswith("name another file")


def test_the_row_of_an_account_that_left_its_file_can_be_emptied_but_not_filled(tools: Tools) -> None:
    destination(tools, ACCOUNTS).write([Write("A1", {"score": 10.0}), Write("A2", {"score": 20.0})])
    one = destination(tools, "id,name\nA2,Birch\n")

    assert one.read(["A1", "A3"])["A1"]["score"] == 10.0
    [emptied, unknown, filled] = one.write(
        [Write("A1", {"score": None}), Write("A3", {"score": None}), Write("A1", {"score": 1.0})]
    )

    assert emptied.ok
    assert [(each.ok, each.remedy) for each in (unknown, filled)] == [(False, "gone")] * 2
    present = one.read(["A1", "A2", "A3"])
    assert {id: fields["score"] for id, fields in present.items()} == {"A1": None, "A2": 20.0}


@given(st.floats(min_value=0, max_value=100), st.text(max_size=400))
def test_canonical_is_stable(number: float, text: str) -> None:
    one = FileDestination("x", DestinationSettings(accounts="a.csv", scores="s.csv"), make_tools(Path("/tmp")))
    for field, value in (("score", number), ("reason", text)):
        once = one.canonical(field, value)

        assert one.canonical(field, once) == once
        assert not isinstance(once, str) or 0 < len(once) <= 255


def test_check_says_how_many_accounts_there_are(tools: Tools) -> None:
    good = list(destination(tools, ACCOUNTS).check(where="plan = 'pro'", attributes={}))
    bad = list(destination(tools).check(where="plan = 'gold'", attributes={}))

    assert [(finding.ok, finding.message) for finding in good] == [
        (True, "1 account"),
        (True, "scores can be written"),
    ]
    assert [finding.remedy for finding in good] == ["", ""]
    assert not bad[0].ok
