"""What commands print: passes, moves of tier, matching, the parts of a score and why it moved, for people and for
scripts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scoring import tenths
from sync.compare import plain
from sync.console import complain, put_json, say, table
from sync.matching import MatchReport
from sync.report import Moved, Report
from sync.rows import Delivery
from sync.scores import Scored

if TYPE_CHECKING:
    from sync.ledger import Ledger, Line, Told

FEW = 20  # rows of a kind that a person is shown
FIGURES = ("value", "points", "weight", "state")


def score_document(row: Scored, name: str, scorecard: str) -> dict[str, Any]:
    """One account's score as scripts read it; the contributions sum to the score."""
    keys = ("dimension", "measure", "value", "points", "weight", "contribution", "state")
    return {
        "account": row.account,
        "name": name,
        "scorecard": scorecard,
        "version": row.version,
        "as_of": row.as_of.isoformat(),
        "score": row.score,
        "tier": row.tier,
        "raw_tier": row.raw_tier,
        "caps": {cap: began.isoformat() for cap, began in row.standing.caps.items()},
        "watch": row.standing.watch,
        "coverage": row.coverage,
        "low": row.low,
        "high": row.high,
        "held": row.held,
        "parts": [{key: getattr(part, key) for key in keys} for part in row.parts],
    }


def show_day(day: str, documents: Sequence[dict[str, Any]], *, alone: bool, as_json: bool) -> None:
    """The scores of a day, in words: of one account with its parts, or of all with their caps and watch flags."""
    if as_json:
        put_json(documents)
    elif alone:
        say(f"{documents[0]['name']} on {day}: {score_in_words(documents[0])}", "bold")
        show_parts(documents[0]["parts"])
    else:
        _all_scores(day, documents)


def _all_scores(day: str, documents: Sequence[Mapping[str, Any]]) -> None:
    used = Counter((d["scorecard"], d["version"]) for d in documents)
    by = ", ".join(f"{name} {version}" + (f" ({n:,})" if len(used) > 1 else "") for (name, version), n in used.items())
    cells = ([d["account"], d["name"], d["score"], d["tier"], f"{d['coverage']:.0%}", _flags(d)] for d in documents)
    table(f"Scores as of {day} by {by}", ("account", "name", "score", "tier", "coverage", ""), cells, numbers=(2, 4))


def _flags(document: Mapping[str, Any]) -> str:
    return ", ".join([*(f"cap {cap}" for cap in document["caps"]), *(f"watch {flag}" for flag in document["watch"])])


def show_report(report: Report, *, dry_run: bool = False) -> None:
    """A pass in a few lines and tables."""
    _show_read(report)
    _show_scored(report)
    for name, part in report.delivered.items():
        _show_delivered(name, part)
    if dry_run:
        _show_rehearsed(report)
    for part in report.delivered.values():
        for row in part["named"][:20]:
            complain(f"{row['account']} (record {row['record']}): {row['code']} {row['message']}")
    for problem in report.problems:
        complain(str(problem))


def _show_read(report: Report) -> None:
    if report.accounts:
        say(f"accounts: {report.accounts['read']:,} read, {report.accounts['left']:,} left")
    for source, part in report.pulled.items():
        bad = (
            f", {part['rejected']:,} rows could not be read ({'; '.join(part['reasons'])})" if part["rejected"] else ""
        )
        say(f"{source}: {part['written']:,} facts new or changed, {part['unchanged']:,} unchanged{bad}")


def _show_scored(report: Report) -> None:
    if report.scored:
        say(f"scored: {_counts(report.scored)}")
    for name, tiers in report.further.items():
        say(f"{name}: {_counts(tiers)}")
    if len(report.by_scorecard) > 1:
        say("by scorecard: " + ", ".join(f"{count:,} {name}" for name, count in sorted(report.by_scorecard.items())))
    if report.moved:
        say(f"{len(report.moved):,} accounts came into another tier:")
        show_moves(report.moved)
    if report.silenced:
        say(f"{report.silenced:,} more came into another tier, of which a note says to tell nothing")
    for one in report.expired:
        say(f"{one.name} ({one.account}): {one.author}'s override, {one.tier}, ended on {one.until}")


def _show_delivered(name: str, part: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{part[word]:,} {word}" for word in ("written", "adopted", "unchanged", "waiting"))
    left = f", {part['left']:,} left to later passes" if part.get("left") else ""
    say(f"{name}: {counts}, {part['failed']:,} failed{left}")
    edits = part.get("edits", ())
    for edit in edits[:FEW]:
        say(f"{name}: {edit_in_words(edit)}")
    if len(edits) > FEW:
        say(f"{name}: and {len(edits) - FEW:,} more edits; --json has all")


def _show_rehearsed(report: Report) -> None:
    for name, part in report.budget.items():
        say(f"{name}: {_forecast(part)}")
    if report.differences:
        cells = ([d["destination"], d["account"], d["field"], d["before"], d["after"]] for d in report.differences)
        table("Would be written", ("destination", "account", "field", "before", "after"), cells)
    elif not report.problems:
        say("nothing would be written")


def show_deliveries(document: Mapping[str, Any]) -> None:
    """How many records are in which state, those that failed, and what people changed in the CRMs."""
    told = ([one[key] for key in ("destination", "status", "code", "records")] for one in document["deliveries"])
    table("Deliveries", ("destination", "status", "code", "records"), told, numbers=(3,))
    if failed := document["failed"]:
        keys = ("destination", "record", "account", "status", "attempts", "code", "message")
        table("Records that failed", keys, ([one[key] for key in keys] for one in failed[:FEW]))
        say(f"{len(failed):,} records failed; `bellwether deliveries --failed` says what to do about each")
    for edit in document["edits"][:FEW]:
        say(f"edit in {edit['destination']}: {edit_in_words(edit)}")
    if (more := len(document["edits"]) - FEW) > 0:
        say(f"and {more:,} more edits in seven days")


def edit_in_words(edit: Mapping[str, Any]) -> str:
    """What somebody changed on a record, and what comes of it."""
    who = f"{edit.get('name') or edit['account']} (record {edit['record']})"
    follows = f"stays until {edit['until']}" if edit.get("until") else "is written over"
    return f"{who}: {edit.get('field', 'tier')} {edit['from']} -> {edit['to']}, by {edit['by']}; {follows}"


def _forecast(part: Mapping[str, Any]) -> str:
    """What a delivery was expected to take, and what there is of the vendor's day."""
    records, calls = ((part[key], "" if part[key] == 1 else "s") for key in ("records", "forecast"))
    words = f"about {calls[0]:,} call{calls[1]} for {records[0]:,} record{records[1]}"
    if "limit" not in part:
        return words
    words += (
        f", {part['listing']:,} for reading its directory; {part['left']:,} of the day's {part['limit']:,} are left"
    )
    words += f", and this worker has made {part['used']:,} of its {part['share']:,}"
    over = part["records"] - part["fitting"]
    return f"{words}: {over:,} records would be left to later passes" if over else words


def _counts(tiers: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {tier}" for tier, count in sorted(tiers.items()))


def show_moves(moved: Sequence[Moved]) -> None:
    """Accounts that changed tier, and why."""
    cells = ([move.name, move.before, move.after, move.score, move.reason] for move in moved)
    table("", ("account", "from", "to", "score", "why"), cells, numbers=(3,))


def show_matching(report: MatchReport) -> None:
    """How each source's keys are linked, and the busiest that are not."""
    cells = (
        [
            part.source,
            part.accounts,
            ", ".join(f"{n:,} by {how.replace('_', ' ')}" for how, n in part.how.items()),
            part.ambiguous,
            part.unmatched,
        ]
        for part in report.sources
    )
    table(
        f"Matching of {report.accounts:,} accounts",
        ("source", "accounts", "linked keys", "ambiguous", "unmatched"),
        cells,
        numbers=(1, 3, 4),
    )
    if report.busiest:
        cells = ([loose.source, loose.key, loose.name, loose.facts, loose.why] for loose in report.busiest)
        table("Not linked, busiest first", ("source", "key", "name", "facts", "why"), cells, numbers=(3,))
        say(f"to fix one: {report.busiest[0].fix}", "dim")


def show_parts(parts: Sequence[dict[str, Any]]) -> None:
    """Every measure with its value, points, effective weight and contribution."""
    cells = (
        [
            p["dimension"],
            p["measure"],
            _figure(p["value"]),
            p["points"],
            f"{p['weight']:.1%}",
            p["contribution"],
            "" if p["state"] == "live" else p["state"],
        ]
        for p in parts
    )
    table(
        "",
        ("dimension", "measure", "value", "points", "weight", "contribution", ""),
        cells,
        numbers=(2, 3, 4, 5),
    )


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def score_in_words(document: dict[str, Any]) -> str:
    if document["score"] is None:
        return f"unscored ({document['coverage']:.0%} of the scorecard has data)"
    said = f"{document['coverage']:.0%} of the scorecard has data"
    if document["tier"] != document["raw_tier"]:
        said = f"{document['raw_tier']} by its score alone; {said}"
    return f"{document['score']:.1f} {document['tier']} ({said})"


def tier_in_words(document: dict[str, Any]) -> str:
    """What `explain` begins with: the tier that a person set, where one did, and what the score says."""
    said = score_in_words(document)
    override = next((one for one in document["judgements"] if one["kind"] == "override"), None)
    if override is None:
        return said
    without = "it is" if document["score"] is None else "the score says"
    return f"set to {override['tier']} by {override['author']} until {override['until']}; {without} {said}"


def show_ledger(found: Ledger) -> None:
    """The ledger, a line a cause, with tenths that add up as they are shown."""
    before, after = found.before, found.after
    ends = (
        f"{told.day} {'unscored' if told.score is None else f'{told.score:.1f} {told.tier}'}"
        for told in (before, after)
    )
    say(f"{found.account.name} ({found.account.id}): {', '.join(ends)}", "bold")
    points = tenths(before.score or 0.0, [line.change or 0.0 for line in found.lines])
    cells = [
        ["" if line.change is None else told, line.kind, line.words]
        for told, line in zip(points, found.lines, strict=True)
    ]
    if cells:
        table("", ("points", "cause", "what"), cells, numbers=(0,))
    if before.score is not None and after.score is not None:
        moved = round(after.score, 1) - round(before.score, 1)
        say(f"{before.score:.1f} -> {after.score:.1f}: {moved:+.1f}")
    if found.tier:
        table("", ("tier", "what"), found.tier)
    for note in found.notes:
        say(note, "dim")


def ledger_document(found: Ledger) -> dict[str, Any]:
    """The ledger as scripts read it: exact numbers, of which the causes' changes sum to the whole."""
    return {
        "account": found.account.id,
        "name": found.account.name,
        "before": _day(found.before),
        "after": _day(found.after),
        "change": found.change,
        "causes": [_cause(line) for line in found.lines],
        "tier": [{"what": what, "words": words} for what, words in found.tier],
        "notes": list(found.notes),
    }


def _day(told: Told) -> dict[str, Any]:
    keys = ("score", "tier", "raw_tier", "version", "kept")
    return {"day": told.day.isoformat(), **{key: getattr(told, key) for key in keys}}


def _cause(line: Line) -> dict[str, Any]:
    sides = {"before": line.before, "after": line.after}
    figures = {side: part and {key: getattr(part, key) for key in FIGURES} for side, part in sides.items()}
    keys = ("kind", "measure", "change", "words", "new")
    return {**{key: getattr(line, key) for key in keys}, **figures}


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """A record's delivery, as scripts read it."""
    return {
        "destination": delivery.destination,
        "record": delivery.record_id,
        "account": delivery.account,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "code": delivery.code,
        "message": delivery.message,
        "confirmed_at": plain(delivery.confirmed_at),
        "confirmed": delivery.confirmed,
    }
