"""A range of days once more, by today's knowledge of the facts: by the settings' scorecards, or by another one.

Tiers begin where the history left them the day before; another version of a scorecard begins them afresh. Nothing is
written anywhere but the file that is asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from scoring import Scorecard, Segment
from sync import delta
from sync.commands import account_of, at_work, day_of
from sync.commands import scores as scores_of
from sync.console import put_json
from sync.errors import UsageError
from sync.evaluate import newest_final
from sync.fold import NOBODY
from sync.judgements import in_force
from sync.lived import Lived, Span, Tally, kept
from sync.replayed import Replay, replay_document, show_replay
from sync.rows import HEALTH, AccountRow
from sync.scorecards import named
from sync.scores import Basis, alone, first_day, ranged
from sync.show import score_document, show_day
from sync.worker import Worker

if TYPE_CHECKING:
    import duckdb

LONGEST = 3660  # days

_ALL_SCORES = "select * from scores where as_of >= date '{0.first}' order by account, as_of"
_ALL_PARTS = "select * from parts where as_of >= date '{0.first}' order by account, as_of, dimension, measure"


class Csv:
    """Rows on their way into a file, in pieces that the engine writes beside it."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self.folder, self._file = folder, file

    def add(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        """Append the rows of a query, the first time below their names."""
        piece, header = self.folder / "piece.csv", str(self._file.tell() == 0).lower()
        connection.execute(f"copy ({query}) to {delta.text(str(piece))} (format csv, header {header})")
        with piece.open("rb") as rows:
            shutil.copyfileobj(rows, self._file)


class Wanted(NamedTuple):
    """What is wanted beside the outcome: of one account alone; with all parts; as a file."""

    only: AccountRow | None = None
    parts: bool = False
    csv: Csv | None = None


class Day(NamedTuple):
    """The options for one day."""

    as_of: str | None
    sql: bool
    told: bool
    score: str = HEALTH


class Range(NamedTuple):
    """The options for a range of days."""

    first: str | None
    last: str | None
    scorecard: str | None
    parts: bool
    csv: Path | None


def scores(path: Path, day: Day, asked: Range, *, account: str | None, as_json: bool) -> None:
    """Work out and print the scores of a day, or of a range; or what was told on a day."""
    _look_at_options(day, asked)
    if asked.first is not None:
        replay(path, asked.first, asked, account=account, as_json=as_json)
    elif day.told:
        told(path, day.as_of, account=account, as_json=as_json)
    else:
        scores_of(path, score=day.score, on_day=day.as_of, account=account, sql=day.sql, as_json=as_json)


def _look_at_options(day: Day, asked: Range) -> None:
    """Raises `UsageError` where options do not go together."""
    ranged = {"--to": asked.last, "--scorecard": asked.scorecard, "--parts": asked.parts, "--csv": asked.csv}
    for option, given in ranged.items():
        if given and asked.first is None:
            raise UsageError(f"{option}: goes with --from, the first day of a range")
    for option, given in {"--as-of": day.as_of, "--sql": day.sql, "--told": day.told}.items():
        if given and asked.first is not None:
            raise UsageError(f"{option}: is about one day; leave it out, or --from")
    if day.score != HEALTH and (day.told or asked.first is not None):
        raise UsageError("--score: days are replayed, and what was told is shown, of health only")
    if day.told and (day.as_of is None or day.sql):
        raise UsageError("--told: goes with --as-of, a day in the past, and not with --sql")


def replay(path: Path, first: str, asked: Range, *, account: str | None, as_json: bool) -> None:
    """Replay a range of days and print what it came to; writes nothing but the file asked for."""
    with at_work(path, looks=True) as worker:
        span = span_of(worker, first, asked.last)
        other = named(path, asked.scorecard) if asked.scorecard is not None else None
        row = account_of(worker, account) if account is not None else None
        with csv_file(asked.csv) as file:
            found = replayed(worker, span, other, Wanted(row, asked.parts, file))
    if as_json:
        put_json(replay_document(found))
    else:
        show_replay(found)


def told(path: Path, on_day: str | None, *, account: str | None, as_json: bool) -> None:
    """Print what was told on a day that was kept, by the scorecards of then."""
    with at_work(path, looks=True, regardless=True) as worker:
        day = day_of(worker, on_day)
        _look_for(worker, day)
        only = None if account is None else _told_to(worker, day, account)
        rows = worker.history.told_on(day, only)
        names = worker.state.accounts.names(row.account for row, _ in rows)
    documents = [score_document(row, names.get(row.account, row.account), card) for row, card in rows]
    show_day(f"{day}, as it was told", documents, alone=account is not None, as_json=as_json)


def _look_for(worker: Worker, day: date) -> None:
    """Raises `UsageError` where the history has not kept the day."""
    days = worker.history.days(final_only=True)
    if day not in days:
        known = f"the days that were begin with {min(days)} and end with {max(days)}" if days else "no day was, so far"
        raise UsageError(f"--told: {day} was not kept ({known}); without --told it is worked out from today's facts")


def _told_to(worker: Worker, day: date, account: str) -> list[str]:
    """The account, by id or name, if it was told anything that day; one that has left too."""
    if account not in worker.history.scores_on(day, [account]):
        account = account_of(worker, account).id
    if account not in worker.history.scores_on(day, [account]):
        raise UsageError(f"{account} was told nothing on {day}: it came later")
    return [account]


def span_of(worker: Worker, first: str, last: str | None) -> Span:
    """The days that the options name; up to the newest final one by default. Raises `UsageError`."""
    newest = newest_final(worker, worker.today())
    begin, end = day_of(worker, first, option="--from"), day_of(worker, last, option="--to") if last else newest
    if end > newest:
        raise UsageError(f"--to: {end} is not final yet; {newest} is the last day that is over and read through")
    if begin > end:
        raise UsageError(f"--from: {begin} comes after {end}, the last day of the range")
    if (end - begin).days >= LONGEST:
        raise UsageError(f"--from: {begin} until {end} are {(end - begin).days + 1:,} days; {LONGEST:,} at most")
    _look_for_facts(worker, begin)
    return Span(begin, end)


def _look_for_facts(worker: Worker, first: date) -> None:
    """Raises `UsageError` where the range begins before any source was read."""
    if not worker.sources:
        return
    read = [r for r in worker.readings() if r.source in worker.sources and r.through]
    if not read:
        raise UsageError("--from: no source has been read yet; `bellwether run --only pull` reads them")
    zone = worker.settings.timezone
    begun = {r.source: first_day(r.since, zone) if r.since else date.min for r in read}
    if first < min(begun.values()):
        known = ", ".join(f"{name} is read from {day} on" for name, day in sorted(begun.items()))
        raise UsageError(f"--from: there are no facts of {first} yet: {known}; `backfill` says from when")


def replayed(worker: Worker, span: Span, other: Scorecard | None = None, wanted: Wanted | None = None) -> Replay:
    """The outcome of a replay by the settings' scorecards, or by another one in their place."""
    wanted, here = wanted or Wanted(), worker
    before = kept(worker, span.last, wanted.only)
    if other is not None:
        if before is None:
            before, _ = _live(worker, span, Wanted(wanted.only))
        here = replace(worker, settings=replace(worker.settings, segments=(Segment(other),)))
    after, days = _live(here, span, wanted)
    if wanted.only and not days:
        raise UsageError(f"{wanted.only.id} has no score until {span.last}: its record was created later")
    names = {row.id: row.name for row in worker.state.accounts.members()}
    rows = worker.state.judgements.all(kinds=["override"], lasting=span.last)
    overrides = {account: one.tier for account, one in in_force(rows, span.last).items()}
    return Replay(span, before, after, names, overrides, days)


def _live(worker: Worker, span: Span, wanted: Wanted) -> tuple[Lived, list[dict[str, Any]]]:
    """What the days come to by the worker's scorecards; of one account also its rows."""
    accounts = worker.state.accounts.members()
    links = worker.links(accounts)
    basis, days = worker.basis(accounts, links.linked), list[dict[str, Any]]()
    tally = Tally(worker, links, span)
    basis = alone(basis, wanted.only) if wanted.only else basis
    with lives(worker, basis, span, also=[wanted.csv.folder] if wanted.csv else [], parts=wanted.parts) as chunks:
        for connection in chunks:
            tally.take(connection)
            if wanted.csv:
                wanted.csv.add(connection, (_ALL_PARTS if wanted.parts else _ALL_SCORES).format(span))
            if wanted.only:
                days += _days(connection, span, wanted)
    return tally.lived(), days


@contextmanager
def lives(
    worker: Worker, basis: Basis, span: Span, *, also: Sequence[Path] = (), parts: bool = False
) -> Iterator[Iterator[duckdb.DuckDBPyConnection]]:
    """Connections with the relations `scores` and, if wanted, `parts`: some accounts, each with all of its days.

    Days that were not kept between the last one that was and the first of these are there too, worked out on the way.
    """
    last = worker.history.last_before(span.first)
    before, first = (worker.history.states_after(last), last + timedelta(1)) if last else (NOBODY, span.first)
    with ranged(
        worker.log,
        basis,
        first,
        span.last,
        spill=worker.spill,
        also=[worker.history.path, *also],
        before=before,
        parts=parts,
    ) as chunks:
        yield chunks


def _days(connection: duckdb.DuckDBPyConnection, span: Span, wanted: Wanted) -> list[dict[str, Any]]:
    """The rows of one account, a day each, with its parts if they are wanted."""
    days = _rows(connection, _ALL_SCORES.format(span))
    if wanted.parts:
        by_day: dict[date, list[dict[str, Any]]] = {}
        for part in _rows(connection, _ALL_PARTS.format(span)):
            by_day.setdefault(part.pop("as_of"), []).append(part)
        days = [day | {"parts": by_day[day["as_of"]]} for day in days]
    return days


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = connection.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@contextmanager
def csv_file(path: Path | None) -> Iterator[Csv | None]:
    """The file that is asked for: whole in the end, or as it was before. Raises `UsageError`."""
    if path is None:
        yield None
        return
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            whole = Path(folder) / "whole.csv"
            with whole.open("wb") as file:
                yield Csv(file, Path(folder).resolve())
            whole.replace(path)
    except OSError as error:
        raise UsageError(f"--csv: {path} cannot be written ({error.strerror}); name another file") from None
