"""Mixpanel: raw events in, one fact per account, user, day and name out; whole days or nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import Page, Tools
from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong
from connectors.mixpanel import Mixpanel, Settings
from tests import served

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
START = datetime(2026, 3, 8, tzinfo=UTC)
SECRET = "hush-hush"
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return make_tools(tmp_path)


def make_tools(folder: Path, timezone: str = "UTC") -> Tools:
    return served.tools(folder, SteppedClock(NOON), actor=served.hashed, timezone=ZoneInfo(timezone))


def settings(**more: Any) -> Settings:
    given: dict[str, Any] = {
        "service_account": "sa",
        "secret": SECRET,
        "project_id": 7,
        "account_key": {"property": "company_id", "is": "external_id"},
        "events": {"login": ["Logged In"], "session": {"events": ["Session Ended"], "value": "$duration"}},
    }
    return Settings.model_validate(given | more)


def line(
    name: str, at: datetime | str, user: str = "u1", company: str | None = "c1", more: dict[str, Any] | None = None
) -> str:
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    stamp = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    properties = {"time": stamp, "distinct_id": user, "$insert_id": f"{name}{stamp}{user}", **(more or {})}
    if company is not None:
        properties["company_id"] = company
    return json.dumps({"event": name, "properties": properties}, ensure_ascii=False)


def export(*lines: str, zipped: bool = True) -> httpx.Response:
    body = "".join(f"{one}\n" for one in lines).encode()
    return packed(gzip.compress(body)) if zipped and body else plain(body)


def plain(body: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(body))


def packed(body: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(body), headers={"content-encoding": "gzip"})


def source(tools: Tools, answer: Answer, **more: Any) -> Mixpanel:
    return Mixpanel("usage", settings(**more), tools, transport=httpx.MockTransport(answer))


def pulled(
    tools: Tools, answer: Answer, cursor: dict[str, Any] | None = None, **more: Any
) -> list[tuple[Page, list[tuple[Any, ...]]]]:
    return [(page, rows(page)) for page in source(tools, answer, **more).pull(cursor, start=START, now=NOON)]


def rows(page: Page) -> list[tuple[Any, ...]]:
    class Stream:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            assert not isinstance(page.events, (list, tuple))
            return page.events.__arrow_c_stream__(requested_schema)  # type: ignore[union-attr]

    with duckdb.connect() as connection:
        connection.register("arrived", Stream())
        query = "select id, account_key, actor, name, occurred_at::varchar, value, label from arrived order by id"
        return connection.execute(query).fetchall()


def actor(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()[:16]


def test_folds_events_to_one_fact_per_account_user_day_and_name(tools: Tools) -> None:
    found = pulled(
        tools,
        lambda _: export(
            line("Logged In", "2026-03-08T00:00:00"),
            line("Logged In", "2026-03-08T23:59:59"),
            line("Logged In", "2026-03-09T10:00:00"),
            line("Logged In", "2026-03-09T10:00:00", user="u2"),
            line("Session Ended", "2026-03-09T11:00:00", more={"$duration": 90.5}),
            line("Session Ended", "2026-03-09T12:00:00", more={"$duration": "10"}),
        ),
    )

    [(page, facts)] = found
    one, two = actor("u1"), actor("u2")
    assert facts == sorted(
        [
            (f"c1/{one}/2026-03-08/login", "c1", one, "login", "2026-03-08 00:00:00", 2.0, None),
            (f"c1/{one}/2026-03-09/login", "c1", one, "login", "2026-03-09 00:00:00", 1.0, None),
            (f"c1/{two}/2026-03-09/login", "c1", two, "login", "2026-03-09 00:00:00", 1.0, None),
            (f"c1/{one}/2026-03-09/session", "c1", one, "session", "2026-03-09 00:00:00", 100.5, None),
        ]
    )
    assert page.replaces == (date(2026, 3, 8), date(2026, 3, 9))
    assert page.through == datetime(2026, 3, 10, tzinfo=UTC)
    assert page.cursor == {"day": "2026-03-09"}


def test_counts_a_doubled_event_once_and_keeps_its_latest_version(tools: Tools) -> None:
    first = {"$duration": 10, "mp_processing_time_ms": 1000}
    latest = {"$duration": 30, "mp_processing_time_ms": 2000}
    body = [line("Session Ended", "2026-03-08T05:00:00", more=version) for version in (latest, first, first)]

    [(_, facts)] = pulled(tools, lambda _: export(*body))

    assert [fact[5] for fact in facts] == [30.0]


def test_the_same_insert_id_of_another_user_is_another_event(tools: Tools) -> None:
    body = [line("Logged In", "2026-03-08T05:00:00", user=user, more={"$insert_id": "same"}) for user in ("u1", "u2")]

    [(_, facts)] = pulled(tools, lambda _: export(*body))

    assert len(facts) == 2


def test_only_days_that_are_over_in_both_timezones_are_read(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.params["from_date"], request.url.params["to_date"]))
        return export(zipped=False)

    tools = make_tools(tmp_path, "Asia/Tokyo")  # 21:00 on the 10th there, 05:00 on the 10th in Los Angeles
    [(page, _)] = pulled(tools, answer, project_timezone="America/Los_Angeles")

    # Tokyo's days of the 8th and 9th reach from the 7th to the 9th in UTC, by which the export is cut.
    assert page.replaces == (date(2026, 3, 8), date(2026, 3, 9))
    assert asked == [("2026-03-07", "2026-03-09")]
    assert page.through == datetime(2026, 3, 9, 15, tzinfo=UTC)


def test_a_day_is_a_day_of_our_timezone(tmp_path: Path) -> None:
    tools = make_tools(tmp_path, "Asia/Tokyo")
    body = [
        line("Logged In", "2026-03-08T14:59:59"),  # still the 8th in Tokyo
        line("Logged In", "2026-03-08T15:00:00"),  # the 9th
        line("Logged In", "2026-03-09T15:00:00"),  # the 10th: not over yet
    ]

    [(_, facts)] = pulled(tools, lambda _: export(*body))

    assert [(fact[4], fact[5]) for fact in facts] == [
        ("2026-03-07 15:00:00", 1.0),
        ("2026-03-08 15:00:00", 1.0),
    ]


def test_a_legacy_project_stamps_its_wall_clock_as_if_it_were_utc(tools: Tools) -> None:
    # 20:30 on the 8th in New York is half past midnight (UTC) on the 9th; it is stamped 20:30 of the 8th.
    body = [line("Logged In", "2026-03-08T20:30:00")]

    [(_, facts)] = pulled(tools, lambda _: export(*body), project_timezone="America/New_York", legacy_project_tz=True)

    assert [fact[4] for fact in facts] == ["2026-03-09 00:00:00"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"Logged In","properties":{"time":1}}\nexport terminated early\n',
        b"terminated early",
        b'{"event":"Logged In","prop',
        b'"terminated early"\n',
    ],
    ids=["after a line", "at once", "in a line", "as JSON"],
)
def test_an_export_that_breaks_off_never_moves_the_cursor(tools: Tools, body: bytes) -> None:
    calls = []

    def answer(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return plain(body)

    with pytest.raises(AgainNow, match="broke off"):
        pulled(tools, answer)

    assert len(calls) == 5
    assert not tools.spool.exists() or not list(tools.spool.iterdir())


@settings_(max_examples=5, deadline=None)
@given(cut=st.integers(min_value=1, max_value=150))
def test_a_compressed_export_cut_anywhere_is_not_whole(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    tools = make_tools(tmp_path_factory.mktemp("cut"))
    whole = gzip.compress(b"".join(line("Logged In", "2026-03-08T00:00:00").encode() + b"\n" for _ in range(50)))

    with pytest.raises(AgainNow):
        pulled(tools, lambda _: packed(whole[:-cut] if cut < len(whole) else whole[:-1]))


def test_an_export_that_breaks_off_is_asked_for_again(tools: Tools) -> None:
    whole = export(line("Logged In", "2026-03-08T01:00:00"))
    answers = iter([plain(b"terminated early\n"), whole])

    [(_, facts)] = pulled(tools, lambda _: next(answers))

    assert len(facts) == 1


def test_a_separator_inside_a_text_does_not_end_a_line(tools: Tools) -> None:
    awkward = line("Logged In", "2026-03-08T01:00:00", more={"excerpt": "one\u2028two\u2029three\x85four"})

    [(_, facts)] = pulled(tools, lambda _: export(awkward, zipped=False))

    assert len(facts) == 1


def test_reads_late_events_by_exporting_the_last_days_again(tools: Tools) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.params["from_date"], request.url.params["to_date"]))
        return export(zipped=False)

    pulled(tools, answer, cursor={"day": "2026-03-08"})
    pulled(tools, answer, cursor={"day": "2026-03-08"}, lookback="2d")

    assert asked == [("2026-03-04", "2026-03-09"), ("2026-03-07", "2026-03-09")]


def test_asks_for_nothing_while_no_new_day_is_over(tools: Tools) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    assert pulled(tools, answer, cursor={"day": "2026-03-09"}) == []


def test_a_long_history_is_read_some_days_a_call(tools: Tools) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.params["from_date"], request.url.params["to_date"]))
        return export(zipped=False)

    one = source(tools, answer, days_per_export=10)
    pages = list(one.pull(None, start=NOON - timedelta(days=30), now=NOON))

    assert asked == [("2026-02-08", "2026-02-17"), ("2026-02-18", "2026-02-27"), ("2026-02-28", "2026-03-09")]
    assert [page.cursor for page in pages] == [{"day": last} for _, last in asked]


def test_a_large_export_comes_in_parts_that_move_the_cursor_as_their_days_become_whole(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.fold.MOST_FACTS", 4)
    body = [
        *(line("Logged In", "2026-03-05T01:00:00", user=f"u{n}") for n in range(3)),
        line("Logged In", "2026-03-06T01:00:00"),
        *(line("Logged In", "2026-03-07T01:00:00", user=f"u{n}", company=f"c{n // 2}") for n in range(9)),
        line("Logged In", "2026-03-07T01:00:00", company=None),
        line("Logged In", "2026-03-09T01:00:00", company="it's"),
    ]

    pages = [
        (page, rows(page))
        for page in source(tools, lambda _: export(*body)).pull(None, start=NOON - timedelta(days=5), now=NOON)
    ]

    assert [(page.replaces, page.among, len(facts)) for page, facts in pages] == [
        ((date(2026, 3, 5), date(2026, 3, 6)), None, 4),
        ((date(2026, 3, 7), date(2026, 3, 7)), ("", "c2"), 4),
        ((date(2026, 3, 7), date(2026, 3, 7)), ("c2", "c3"), 2),
        ((date(2026, 3, 7), date(2026, 3, 7)), ("c3", None), 3),
        ((date(2026, 3, 8), date(2026, 3, 9)), None, 1),
    ]
    assert [page.cursor and page.cursor["day"] for page, _ in pages] == [
        "2026-03-06", None, None, "2026-03-07", "2026-03-09"
    ]  # fmt: skip
    through = [page.through and page.through.day for page, _ in pages]
    assert through == [7, None, None, 8, 10]
    assert all(page.dated_ids for page, _ in pages)
    assert [dict(page.counts) for page, _ in pages if page.counts] == [{"events": 15, "events_without_account": 1}]
    assert len({fact[0] for _, facts in pages for fact in facts}) == 14


def test_days_read_again_in_parts_take_nothing_back_of_what_has_been_read(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.fold.MOST_FACTS", 1)
    body = [line("Logged In", f"2026-03-0{day}T01:00:00") for day in (5, 6, 9)]

    found = pulled(tools, lambda _: export(*body), cursor={"day": "2026-03-08"})

    assert [(page.cursor, page.through and page.through.day) for page, _ in found] == [
        ({"day": "2026-03-08"}, 9), ({"day": "2026-03-08"}, 9), ({"day": "2026-03-09"}, 10)
    ]  # fmt: skip


def test_the_spool_file_is_private_and_gone_once_the_page_is_taken(tools: Tools) -> None:
    (tools.spool / "usage").mkdir(parents=True)
    left = tools.spool / "usage" / "left over"
    left.write_text("from a crash")

    pages = source(tools, lambda _: export(line("Logged In", "2026-03-08T01:00:00"))).pull(None, start=START, now=NOON)
    next(pages)
    [spooled] = (tools.spool / "usage").glob("export.*")
    assert stat.S_IMODE(spooled.stat().st_mode) == 0o600
    assert not left.exists()
    assert list(pages) == []

    assert not (tools.spool / "usage").exists()


def test_a_refused_sign_in_names_what_to_look_at(tools: Tools) -> None:
    with pytest.raises(SettingsWrong, match=r"service_account.*project_id.*region") as caught:
        pulled(tools, lambda _: httpx.Response(400, text="Unable to authenticate request\n"))

    assert SECRET not in str(caught.value)


def test_waits_at_least_a_minute_and_longer_each_time_when_there_were_too_many_calls(tools: Tools) -> None:
    times: list[datetime] = []

    def answer(_: httpx.Request) -> httpx.Response:
        times.append(tools.clock.now())
        return httpx.Response(429, json={"error": "too many"}) if len(times) < 4 else export(zipped=False)

    pulled(tools, answer)

    waits = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert waits[0] >= 60
    assert waits[1] >= 120
    assert waits[2] >= 240


def test_events_that_cannot_be_placed_are_counted_and_the_rest_goes_on(tools: Tools) -> None:
    body = [
        line("Logged In", "2026-03-08T01:00:00"),
        line("Logged In", "2026-03-08T01:00:00", user="u2", company=None),
        line("Logged In", "2026-03-08T01:00:00", user="u3", company="  "),
        json.dumps({"event": "Logged In", "properties": {"time": "soon", "company_id": "c1"}}),
        line("Something Else", "2026-03-08T01:00:00"),
        line("Session Ended", "2026-03-08T01:00:00", more={"$duration": "NaN"}),
    ]

    [(page, facts)] = pulled(tools, lambda _: export(*body))

    assert [(fact[3], fact[5]) for fact in facts] == [("login", 1.0), ("session", 0.0)]
    assert page.counts == {"events": 5, "events_without_account": 2, "events_without_time": 1}


def test_an_overloaded_shard_keeps_the_events_own_name_and_user(tools: Tools) -> None:
    own = {"mp_original_event_name": "Logged In", "mp_original_distinct_id": "u9"}
    hot = line("$hotshard_events", "2026-03-08T01:00:00", user="", more=own)

    [(_, facts)] = pulled(tools, lambda _: export(hot))

    assert [(fact[2], fact[3]) for fact in facts] == [(actor("u9"), "login")]


def test_an_account_key_and_names_with_quotes_are_only_names(tools: Tools) -> None:
    odd = 'it\'s "odd"'
    body = [line(odd, "2026-03-08T01:00:00", company=None, more={odd: "c'1"})]

    [(_, facts)] = pulled(
        tools, lambda _: export(*body), account_key={"property": odd}, events={"login": odd}, user=odd
    )

    assert [(fact[1], fact[3]) for fact in facts] == [("c'1", "login")]


@settings_(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c1", "c2"]),
            st.sampled_from(["u1", "u2"]),
            st.integers(0, 2 * 86400 - 1),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_folding_equals_counting_by_hand(
    tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[str, str, int, int]]
) -> None:
    tools = make_tools(tmp_path_factory.mktemp("fold"))
    body = [
        line("Logged In", START + timedelta(seconds=after), user, company, more={"$insert_id": str(insert)})
        for company, user, after, insert in seen
    ]

    [(_, facts)] = pulled(tools, lambda _: export(*body, zipped=len(seen) % 2 == 0))

    by_hand: dict[str, float] = {}
    for company, user, after, _ in sorted(set(seen)):
        day = (START + timedelta(seconds=after)).date()
        key = f"{company}/{actor(user)}/{day}/login"
        by_hand[key] = by_hand.get(key, 0) + 1
    assert {fact[0]: fact[5] for fact in facts} == by_hand


@pytest.mark.parametrize(
    "wrong",
    [
        {"surprise": 1},
        {"region": "mars"},
        {"project_timezone": "Mars/Olympus"},
        {"events": {}},
        {"events": {"login": []}},
        {"events": {"Not A Name": ["x"]}},
        {"account_key": {"property": "company_id", "is": "guess"}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_check_says_what_to_look_at_when_nothing_comes(tools: Tools) -> None:
    [empty] = source(tools, lambda _: export(zipped=False)).check()
    [refused] = source(tools, lambda _: httpx.Response(400, text="Unable to authenticate request")).check()

    assert empty.ok
    assert "region" in empty.message
    assert not refused.ok
    assert not (tools.spool / "usage").exists()


def test_yields_what_its_settings_name(tools: Tools) -> None:
    one = source(tools, lambda _: export())

    assert one.names == ("login", "session")
    assert one.key_is == "external_id"
