"""Scoring as a pass does it, parts kept in the history, beside wide SQL written by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any

import duckdb

from benchmarks import scoring_data as data
from benchmarks.measure import Row, Taken, Unfinished, Work, by_cpu, least, taken
from scoring import compile
from sync.history import History
from sync.scores import ranged, scored

BARS = {"settled": 1.2, "tailed": 1.5}
PEAK, LARGE_PEAK = 500, 2_000
MILLION, LEAST = 1_000_000, "600MB"
LINES, WIDTH = 250, 160
REPLAYED, YEAR, TIMES = 10_000, 365, 5
TOTALS, WITH_PARTS = 20.0, 40.0  # seconds of the wall clock
WIDE = Template((data.HERE / "wide.sql").read_text(encoding="utf-8"))


def rows(folder: Path, *, small: bool) -> list[Row]:
    accounts = 5_000 if small else 100_000
    made = taken(prepare, folder=str(folder), accounts=accounts, tail=True, times=1).found
    plain = least(by_hand, folder=str(folder))
    found = []
    for log, ratio in BARS.items():
        words = "log settled" if log == "settled" else f"1 % of the log unsettled in {data.COMMITS} commits"
        work = f"score {accounts:,} accounts, {made['facts']:,} facts, {words}"
        peak = PEAK if log == "settled" else None
        found.append(_compared(work, folder, plain, accounts=accounts, log=log, ratio=ratio, peak=peak))
    return [*found, _printed(), *_replays(folder / "replay", accounts=300 if small else REPLAYED)]


def million(folder: Path) -> list[Row]:
    """A million accounts, with the memory that a pass gives the engine and with little."""
    made = taken(prepare, folder=str(folder), accounts=MILLION, tail=False, times=1).found
    plain = taken(by_hand, folder=str(folder))
    found = []
    for memory, ratio, peak in ((None, 1.2, LARGE_PEAK), (LEAST, 2.0, None)):
        work = f"score {MILLION:,} accounts, {made['facts']:,} facts" + (f", engine held to {memory}" if memory else "")
        given = {"accounts": MILLION, "log": "settled", "ratio": ratio, "peak": peak, "memory": memory}
        found.append(_compared(work, folder, plain, **given))
    return found


def _compared(work: str, folder: Path, plain: Taken, *, ratio: float, peak: int | None, **given: Any) -> Row:
    once = taken if given["accounts"] == MILLION else least
    try:
        ours = once(by_scorecard, folder=str(folder), **given)
    except Unfinished as error:
        return Row(work, f"unfinished: {error}"[:90], f"{plain.cpu:.1f} CPU s", "-", f"{ratio}", holds=False)
    _same_scores(folder, given["log"])
    return by_cpu(work, ours, plain, ratio=ratio, peak=peak)


def _printed() -> Row:
    lines = compile(data.scorecard(), data.NAMES).sql().splitlines()
    longest = max(map(len, lines))
    figure, bar = f"{len(lines)} lines, longest {longest}", f"{LINES}, {WIDTH}"
    return Row("SQL of the scorecard of 20 measures", figure, "-", "-", bar, len(lines) <= LINES and longest <= WIDTH)


def _replays(folder: Path, *, accounts: int) -> Iterator[Row]:
    """A year of days at once, beside one of the days by itself as often."""
    folder.mkdir(exist_ok=True)
    made = taken(prepare, folder=str(folder), accounts=accounts, tail=False, times=TIMES).found
    day = least(by_scorecard, folder=str(folder), accounts=accounts, log="settled", times=TIMES)
    for parts, bar in ((False, TOTALS), (True, WITH_PARTS)):
        work = (
            f"replay {accounts:,} accounts x {YEAR} days, {made['facts']:,} facts, {'all parts' if parts else 'totals'}"
        )
        ours = taken(by_range, folder=str(folder), accounts=accounts, parts=parts)
        yield Row(
            work,
            f"{ours.wall:.1f} s, {ours.cpu:.1f} CPU s, {ours.peak:.0f} MB",
            f"{YEAR * day.wall:.0f} s, {YEAR * day.cpu:.0f} CPU s by the day",
            f"{ours.cpu / (YEAR * day.cpu):.2f}",
            f"{bar:g} s, {LARGE_PEAK} MB",
            holds=ours.wall <= bar and ours.peak <= LARGE_PEAK,
        )


def prepare(folder: str, accounts: int, *, tail: bool, times: int) -> Work:
    def work() -> dict[str, Any]:
        return {"facts": data.make(Path(folder), accounts, tail=tail, times=times)}

    return work


def by_hand(folder: str) -> Work:
    place = Path(folder)
    query = WIDE.substitute(as_of=data.LAST, facts=place / data.PLAIN, to=place / "wide.parquet")

    def work() -> dict[str, Any]:
        with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
            connection.execute(query)
        return {}

    return work


def by_scorecard(folder: str, accounts: int, log: str, *, memory: str | None = None, times: int = 1) -> Work:
    place = Path(folder)
    given, history = [data.basis(accounts, times=times)], place / f"history-{log}"
    shutil.rmtree(history, ignore_errors=True)

    def work() -> dict[str, Any]:
        kept = History(history, spill=place / "spill")
        # handed over, as a pass does: links are made as they are read, accounts go once the engine holds them
        log_of = data.open_log(place / log)
        with scored(log_of, given.pop(), spill=place / "spill", also=[history], memory=memory) as on:
            kept.record(on(data.LAST), [data.LAST], final=True)
        return {}

    return work


def by_range(folder: str, accounts: int, *, parts: bool) -> Work:
    place = Path(folder)
    given, last = [data.basis(accounts, times=TIMES)], data.LAST
    first = last - timedelta(days=YEAR - 1)

    def work() -> dict[str, Any]:
        found = 0
        log = data.open_log(place / "settled")
        with ranged(log, given.pop(), first, last, spill=place / "spill", also=[place], parts=parts) as chunks:
            for number, connection in enumerate(chunks):
                [(scores,)] = connection.execute("select count(score) from scores").fetchall()
                found += int(scores)
                if parts:
                    connection.execute(f"copy parts to '{place / f'parts-{number}.parquet'}' (format parquet)")
        return {"scores": found}

    return work


def _same_scores(folder: Path, log: str) -> None:
    """The two are the same work only if they come to the same scores; the tail changes some facts."""
    with duckdb.connect() as connection:
        [(share, count)] = connection.execute(f"""
            select avg((abs(h.score - w.score) < 0.001)::integer), count(*)
            from read_parquet('{folder}/history-{log}/scores/*/*.parquet') h
            join read_parquet('{folder}/wide.parquet') w using (account) where h.coverage = 1""").fetchall()
    if not count or (log == "settled" and share < 0.999):
        raise AssertionError(f"{log}: {share:.2%} of {count} scores are those worked out by hand")
