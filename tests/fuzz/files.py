"""Files and exports, row by row and byte by byte: every row is a fact as another reading has it, or refused."""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from connectors.base import Event, Page, Tools
from connectors.clock import SteppedClock
from connectors.errors import ConnectorError
from connectors.file import FileDestination, FileSource, SourceSettings
from connectors.fold import Plan, Rule, fold
from connectors.scorefile import DestinationSettings
from sync import intake
from tests.fuzz import mutate
from tests.fuzz.vendors import Tally, refusal

NOW = datetime(2026, 3, 10, tzinfo=UTC)
MANY = 250  # rows a file
COLUMNS = {"account": "account", "event": "event", "at": "at", "value": "value", "label": "label", "id": "id"}
GOOD = {"account": "a1", "event": "login", "at": "2026-03-01 08:00:00", "value": "2.5", "label": "pro", "id": "r"}


def _tools(folder: Path) -> Tools:
    return Tools(SteppedClock(NOW), threading.Event(), lambda user: user, ZoneInfo("UTC"), folder / "spool", folder)


def _source(folder: Path, name: str) -> FileSource:
    return FileSource("files", SourceSettings.model_validate({"path": name, "columns": COLUMNS}), _tools(folder))


def _read(source: FileSource) -> tuple[list[tuple[Any, ...]], Page]:
    [page] = list(_drained(source))
    return page


def _drained(source: FileSource) -> Iterator[tuple[list[tuple[Any, ...]], Page]]:
    for page in source.pull(None, start=NOW, now=NOW):
        with duckdb.connect() as connection:
            connection.register("arrived", page.events)
            facts = connection.execute(
                "select id, account_key, name, occurred_at, value, label from arrived"
            ).fetchall()
        yield facts, page


def _rows(random: Random) -> list[dict[str, str]]:
    """Rows of which most have an odd cell; no cell has what no encoding or reader of CSV keeps."""
    rows = []
    for number in range(MANY):
        row = {**GOOD, "id": f"r{number}"}
        if random.random() < 0.8:
            key = random.choice(["account", "event", "at", "value", "label"])
            row[key] = str(mutate.odd(random)) if random.random() < 0.5 else mutate.text(random, row[key])
        rows.append({key: cell.encode(errors="replace").decode().replace("\r", " ") for key, cell in row.items()})
    return rows


def csv_events(random: Random, folder: Path) -> Tally:
    """Well-formed CSV with odd cells: each row is the fact that Python reads in it, or refused, and none is lost."""
    rows = _rows(random)
    with (folder / "e.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(GOOD))
        writer.writeheader()
        writer.writerows(rows)
    return _judged(_read(_source(folder, "e.csv")), rows)


def parquet_events(random: Random, folder: Path) -> Tally:
    """The same rows from a Parquet file."""
    rows = _rows(random)
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{key}" varchar' for key in GOOD)
        connection.execute(f"create table t ({columns})")
        connection.executemany(
            f"insert into t values ({', '.join('?' * len(GOOD))})", [list(row.values()) for row in rows]
        )
        connection.execute(f"copy t to '{folder / 'e.parquet'}' (format parquet)")
    return _judged(_read(_source(folder, "e.parquet")), rows)


def _judged(read: tuple[list[tuple[Any, ...]], Page], rows: list[dict[str, str]]) -> Tally:
    facts, page = read
    refused = len(page.rejected) + page.counts.get("more_refused", 0)
    assert len(facts) + refused == len(rows), (len(facts), refused, len(rows))
    by_id = {row["id"]: row for row in rows}
    for id, account, name, at, value, label in facts:
        row = by_id[id]
        assert account == row["account"].strip(" ")
        assert name == row["event"].strip(" ")
        assert label == (row["label"].strip(" ") or None)
        assert (value is None) == (not row["value"].strip(" ")), row
        assert value is None or _number(row["value"]) == value, row
        assert _moment(row["at"]) in (None, at.replace(tzinfo=UTC)), row
    good = sum(
        row["value"] == "2.5"
        and row["at"] == GOOD["at"]
        and row["event"] == "login"
        and row["account"] == "a1"
        and len(row["label"]) < 60
        for row in rows
    )
    assert len(facts) >= good
    assert not any(row.reason in json.dumps(rows) and len(row.reason) > 60 for row in page.rejected)
    return Tally(len(rows), len(facts), Counter({"RowWrong": refused}))


def _number(cell: str) -> float | None:
    """What Python reads in it; DuckDB also knows underscores between digits, as Python does."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _moment(cell: str) -> datetime | None:
    """What Python reads in it, if it can; DuckDB reads some more."""
    try:
        found = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def csv_bytes(random: Random, folder: Path) -> Tally:
    """A damaged file: read in part, or refused in one line."""
    lines = [",".join({**GOOD, "id": f"r{n}"}.values()) for n in range(20)]
    raw = "\n".join([",".join(GOOD), *lines, ""]).encode(
        random.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])
    )
    (folder / "b.csv").write_bytes(mutate.damaged(random, raw))
    return _in_part(_source(folder, "b.csv"), 20)


def parquet_bytes(random: Random, folder: Path) -> Tally:
    """A damaged Parquet file, or one with columns of other kinds."""
    cells = {key: f"'{cell}'" for key, cell in GOOD.items()}
    kinds = (
        "[1, 2]",
        "{'a': 1}",
        "'\\xFF'::blob",
        "null",
        "now()",
        "1e300",
        "interval 1 day",
        "'nan'::double",
        "true",
        "uuid()",
    )
    if random.random() < 0.5:
        cells[random.choice(list(cells))] = random.choice(kinds)
    path = folder / "b.parquet"
    with duckdb.connect() as connection:
        select = ", ".join(f'{cell} as "{key}"' for key, cell in cells.items())
        connection.execute(f"copy (select {select} from range(20)) to '{path}' (format parquet)")
    if random.random() < 0.5:
        path.write_bytes(mutate.damaged(random, path.read_bytes()))
    return _in_part(_source(folder, path.name), 20)


def _in_part(source: FileSource, rows: int) -> Tally:
    try:
        facts, page = _read(source)
    except ConnectorError as error:
        return Tally(rows, 0, refusal(error))
    for id, account, name, at, _, label in facts:
        assert all((id, account, name, at))
        assert len(label or "") <= 64
    return Tally(rows, len(facts), Counter({"RowWrong": len(page.rejected)}))


def csv_accounts(random: Random, folder: Path) -> Tally:
    """An accounts file with odd cells, or damaged: ids are unique, and every row is an account or left out."""
    rows = [
        {"id": f"a{n}", "name": "Acme", "domain": "acme.example", "since": "2026-01-01", "seats": "5"}
        for n in range(60)
    ]
    for row in random.sample(rows, 3):
        key = random.choice(list(row))
        row[key] = mutate.text(random, row[key])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    raw = text.getvalue().encode(errors="replace")
    whole = random.random() < 0.6
    (folder / "a.csv").write_bytes(raw if whole else mutate.damaged(random, raw))
    settings = DestinationSettings.model_validate({"accounts": "a.csv", "scores": "s.csv"})
    home = FileDestination("home", settings, _tools(folder))
    try:
        found = [one for page in home.accounts(where="", attributes={"seats": "seats"}) for one in page]
    except ConnectorError as error:
        return Tally(60, 0, refusal(error))
    left = int(home.left_out.split(" ")[0]) if home.left_out else 0
    assert len({one.id for one in found}) == len(found)
    assert not whole or len(found) + left == 60, (len(found), left)
    return Tally(60, len(found), Counter({"RowWrong": left}))


# -- Mixpanel ------------------------------------------------------------------------------------------------

DAY = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
EVENT: dict[str, Any] = {
    "event": "Logged In",
    "properties": {"time": START + 60, "distinct_id": "u1", "$insert_id": "i", "company_id": "c1", "amount": 2.5},
}
PLAN = Plan(
    account="company_id",
    person="distinct_id",
    rules=[Rule("login", ("Logged In",)), Rule("spent", ("Paid",), "amount")],
    days=[(DAY, START, START + 86400)],
    occurred={DAY: "2026-03-01 00:00:00", DAY + timedelta(days=1): "2026-03-02 00:00:00"},
)


def mixpanel_lines(random: Random, folder: Path) -> Tally:
    """A raw export: what the fold counts is what Python counts in the lines it can vouch for; a torn one is refused."""
    lines = []
    for number in range(MANY):
        event = json.loads(json.dumps(EVENT))
        event["properties"]["$insert_id"] = f"i{number}"
        lines.append(mutate.document(random, event) if random.random() < 0.5 else event)
    raw = "\n".join(json.dumps(line) for line in lines).encode() + b"\n"
    torn = random.random() < 0.2
    (folder / "export.ndjson").write_bytes(mutate.damaged(random, raw) if torn else raw)
    try:
        with fold(folder / "export.ndjson", PLAN, actor=lambda user: user, place="sources.mixpanel") as (parts, _):
            facts = [fact for part in parts for fact in _of(part.facts)]
    except ConnectorError as error:
        return Tally(MANY, 0, refusal(error))
    finally:
        for path in folder.glob("fold.duckdb*"):
            path.unlink()
    counted = sum(value for name, value in facts if name == "login")
    sure = sum(
        line == {**EVENT, "properties": {**EVENT["properties"], "$insert_id": f"i{n}"}} for n, line in enumerate(lines)
    )
    assert torn or sure <= counted <= MANY * 2, (sure, counted)
    return Tally(MANY, int(counted), Counter({"RowWrong": MANY - int(counted)}))


def _of(facts: Any) -> list[tuple[str, float]]:
    with duckdb.connect() as connection:
        connection.register("arrived", facts)
        return connection.execute("select name, value from arrived").fetchall()


# -- the log's door ------------------------------------------------------------------------------------------


def log_facts(random: Random, folder: Path) -> Tally:
    """Facts as sources hand them over: each is staged as it is, or refused; none is lost."""
    events = []
    for number in range(MANY):
        event = Event("s", f"{number}/x", "a1", None, "login", NOW, 1.0, None)
        if random.random() < 0.6:
            key = random.choice(["id", "account_key", "actor", "name", "label"])
            odd: dict[str, Any] = {key: random.choice(mutate.ODD_TEXTS)}
            event = event._replace(**odd)
        if random.random() < 0.2:
            event = event._replace(value=random.choice([math.nan, math.inf, -math.inf, 1e300, -8e12, -0.0, None]))
        events.append(event)
    with duckdb.connect() as connection:
        _, refused = intake.stage(connection, "s", Page(events=events), timezone=ZoneInfo("UTC"))
        [(kept,)] = connection.execute("select count(*) from staged").fetchall()
        [(told,)] = connection.execute("select count(distinct id) from page").fetchall()
        good = {event.id for event in events} & {id for (id,) in connection.execute("select id from page").fetchall()}
    assert kept == MANY
    assert len(good) == told <= MANY - refused
    return Tally(MANY, MANY - refused, Counter({"RowWrong": refused}))
