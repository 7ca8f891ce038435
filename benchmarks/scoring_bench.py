"""Scoring as a pass does it, parts kept in the history, beside wide SQL written by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template
from typing import Any

import duckdb

from benchmarks import scoring_data as data
from benchmarks.measure import Row, Unfinished, Work, by_cpu, least, taken
from sync.history import History
from sync.scores import scored

BARS = {"settled": 1.2, "tailed": 1.5}
PEAK = 500
WIDE = Template((data.HERE / "wide.sql").read_text(encoding="utf-8"))


def rows(folder: Path, *, small: bool) -> list[Row]:
    accounts = 5_000 if small else 100_000
    made = taken(prepare, folder=str(folder), accounts=accounts).found
    plain = least(by_hand, folder=str(folder))
    found = []
    for log, ratio in BARS.items():
        words = "log settled" if log == "settled" else f"1 % of the log unsettled in {data.COMMITS} commits"
        work = f"score {accounts:,} accounts, {made['facts']:,} facts, {words}"
        try:
            ours = least(by_scorecard, folder=str(folder), accounts=accounts, log=log)
        except Unfinished as error:
            found.append(Row(work, f"unfinished: {error}"[:90], f"{plain.cpu:.1f} CPU s", "-", f"{ratio}", holds=False))
            continue
        _same_scores(folder, log)
        found.append(by_cpu(work, ours, plain, ratio=ratio, peak=PEAK if log == "settled" else None))
    return found


def prepare(folder: str, accounts: int) -> Work:
    def work() -> dict[str, Any]:
        return {"facts": data.make(Path(folder), accounts)}

    return work


def by_hand(folder: str) -> Work:
    place = Path(folder)
    query = WIDE.substitute(as_of=data.LAST, facts=place / "facts.parquet", to=place / "wide.parquet")

    def work() -> dict[str, Any]:
        with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
            connection.execute(query)
        return {}

    return work


def by_scorecard(folder: str, accounts: int, log: str) -> Work:
    place = Path(folder)
    given, history = [data.basis(accounts)], place / f"history-{log}"
    shutil.rmtree(history, ignore_errors=True)

    def work() -> dict[str, Any]:
        kept = History(history, spill=place / "spill")
        # handed over, as a pass does: the lists of accounts and links go once the engine holds them
        with scored(data.open_log(place / log), given.pop(), spill=place / "spill", also=[history]) as on:
            kept.record(on(data.LAST), [data.LAST], final=True)
        return {}

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
