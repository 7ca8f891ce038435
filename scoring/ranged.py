"""Facts for every day of a range at once: each is read once, and what it does to a number is laid out over the days.

What adds up is summed per day, and windows move over the days on which something enters or leaves one; of a source that
speaks nearly every day they move over all days, by counting rows, which takes half the time. Users, days and names
enter a window and leave it; the last event, or an open subject, holds from one day to another. The clock of a source
stands still once its days are all read: what is in a window then never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from scoring import patterns, rows
from scoring.plan import Node, Range
from scoring.printer import Stage, Step, day, double, filled, nested, of_source, quoted, select, wrapped
from scoring.rows import linked

NEVER = "date '9999-12-31'"
ALWAYS = 1_000_000  # days: a window without an end
AFTER = "where s.until > s.on_day + 1"


class Sum(NamedTuple):
    """A column to sum over rows, and how sums are put together."""

    column: str
    sql: str
    how: str


def _limit(node: Node) -> int | None:
    """For how many days an event counts."""
    window, max_age = node.measure.window and node.window, node.measure.max_age
    limits = [*([window] if window else []), *([max_age + 1] if max_age else [])]
    return min(limits) if limits else None


# sums


def summed(asked: Range, source: str, sums: Mapping[Node, Sequence[Sum]]) -> Stage:
    """The sums of a source: by its own keys and days, then by account, then in windows that end on each day."""
    nodes, by_day = list(sums), {one.sql: one for some in sums.values() for one in some}
    windows = [node.shift + (_limit(node) or 0) for node in nodes]
    begins = asked.begins((source,)) - timedelta(days=1 + max(windows))
    last = min(asked.last, asked.through.get(source, asked.last))
    # all that is older than any window counts as of its first day
    earlier = f"case when day < {day(begins)} then {day(begins)} else day end"
    columns = ["account_key", "name", "day", "value", *(["label"] if any(node.measure.where for node in nodes) else [])]
    by_key, days, changes, moved = (
        of_source(source, name) for name in ("sums_by_key", "sums_by_day", "changes", "moved")
    )
    keyed = select(
        filled([f"account_key, {earlier} as on_day", *(f"{one.sql} as {one.column}" for one in by_day.values())]),
        f"from {seen(asked, columns, nodes, (source,))}",
        f"group by account_key, {earlier}",
    )
    daily = select(
        filled(["l.account, k.on_day", *(f"{_whole(one)} as {one.column}" for one in by_day.values())]),
        f"from {by_key} k",
        f"join links l on l.source = {quoted(source)} and l.account_key = k.account_key",
        "group by l.account, k.on_day",
    )
    turns = sorted({0, *(node.shift for node in nodes), *windows})
    dense = asked.often.get(source, 0) * len(turns) >= (last - begins).days
    changed = _every_day(days, begins, last) if dense else _changes(days, turns, last)
    told = [
        f"datediff('day', s.{one.column}, c.clock) as {one.column}"
        if node.measure.take == "days_since"
        else f"s.{one.column}"
        for node, some in sums.items()
        for one in some
    ]
    clock = f"clocks c on c.source = {quoted(source)} and c.clock"
    return (
        Step(by_key, keyed),
        Step(days, daily),
        Step(changes, changed),
        Step(moved, _moved(changes, days, sums, {sql: one.column for sql, one in by_day.items()}, dense=dense)),
        Step(of_source(source, "sums"), _laid_out(moved, told, clock, gaps=not dense)),
    )


def _whole(one: Sum) -> str:
    """A sum of a day; a double, since windows over the wide integers that counts come to take twice as long."""
    return double(f"sum({one.column})") if one.how == "sum" else f"{one.how}({one.column})"


def _changes(days: str, turns: Sequence[int], last: date) -> str:
    return select(
        "distinct k.account, k.on_day + o.days as on_day",
        f"from {days} k cross join (values {', '.join(f'({turn})' for turn in turns)}) as o(days)",
        f"where k.on_day + o.days <= {day(last)}",
    )


def _every_day(days: str, first: date, last: date) -> str:
    return select(
        f"a.account, {day(first)} + cast(o.days as integer) as on_day",
        f"from (select distinct account from {days}) a",
        f"cross join generate_series(0, {(last - first).days}) as o(days)",
    )


def _moved(
    changes: str, days: str, sums: Mapping[Node, Sequence[Sum]], columns: Mapping[str, str], *, dense: bool
) -> str:
    """Windows over all days, or those on which something enters or leaves one: each row then stands until the next."""
    ends = {node: _frame(node, dense=dense) for node in sums}
    frames = {frame: f"days_{place}" for place, frame in enumerate(ends.values())}
    partition = "partition by c.account order by c.on_day"
    named = ", ".join(f"{name} as ({partition} {frame})" for frame, name in frames.items())
    moved = [
        f"{one.how}(s.{columns[one.sql]}) over {frames[ends[node]]} as {one.column}"
        for node, some in sums.items()
        for one in some
    ]
    return select(
        filled(["c.account, c.on_day", *([] if dense else [_until(partition, "c.on_day")]), *moved]),
        f"from {changes} c",
        f"left join {days} s on s.account = c.account and s.on_day = c.on_day",
        wrapped(f"window {named}"),
    )


def _frame(node: Node, *, dense: bool) -> str:
    """The window of a number before a day: by rows where there is one for every day, else by the days between."""
    limit = _limit(node)
    first, last = ((str(n) if dense else f"interval '{n} days'") for n in (node.shift + (limit or 0) - 1, node.shift))
    start = f"{first} preceding" if limit else "unbounded preceding"
    return f"{'rows' if dense else 'range'} between {start} and {f'{last} preceding' if node.shift else 'current row'}"


def _until(partition: str, column: str) -> str:
    return f"coalesce(lead({column}) over ({partition}), {NEVER}) as until"


def _laid_out(step: str, columns: Sequence[str], days: str, *, gaps: bool = True) -> str:
    """Rows that stand from a day until another, as a row per day: the first day of each, then those after it."""
    told = filled(["s.account, as_of", *columns])
    first = select(told, f"from {step} s join {days} = s.on_day")
    after = select(told, f"from {step} s join {days} > s.on_day and {days.split()[-1]} < s.until", AFTER)
    return f"{first}\nunion all\n{after}" if gaps else first


# things told apart


def covered(asked: Range, kinds: Mapping[str, Mapping[Node, Sequence[str]]]) -> Stage:
    """How many different things there are: each enters with an event and leaves when the last one has left.

    `kinds`: what is read together, and what is told apart for each of its numbers.
    """
    steps = []
    for name, keys in kinds.items():
        steps.append(Step(f"{name}__each", _each(asked, keys)))
        steps += [step for node in keys for step in _turns(f"{name}__each", node, keys[node], _apart(keys.values()))]
    nodes = [node for keys in kinds.values() for node in keys]
    turns = "\nunion all\n".join(
        select(
            filled(
                ["account, turns", *(f"{double('step' if one is node else '0')} as {one.stem}__raw" for one in nodes)]
            ),
            f"from {node.stem}__turns",
        )
        for node in nodes
    )
    first = f"case when turns < {day(asked.first)} then {day(asked.first)} else turns end"
    sums = [f"sum({node.stem}__raw) as {node.stem}__raw" for node in nodes]
    net = select(
        filled([f"account, {first} as on_day", *sums]), f"from {nested(turns, 't')}", f"group by account, {first}"
    )
    partition = "partition by account order by on_day"
    there = [f"sum({node.stem}__raw) over ({partition} rows unbounded preceding) as {node.stem}__raw" for node in nodes]
    moved = select(filled(["account, on_day", _until(partition, "on_day"), *there]), "from things__net")
    columns = [f"s.{node.stem}__raw" for node in nodes]
    return (
        *steps,
        Step("things__net", net),
        Step("things__moved", moved),
        Step("things", _laid_out("things__moved", columns, "days d on d.as_of")),
    )


def _apart(keys: Iterable[Sequence[str]]) -> list[str]:
    """What the things of a day are told apart by."""
    return sorted({key for some in keys for key in some if key != "day"})


def _each(asked: Range, keys: Mapping[Node, Sequence[str]]) -> str:
    nodes = list(keys)
    sources, told = rows.sources(nodes), _apart(keys.values())
    columns = ["account_key", "day", *dict.fromkeys(["source", "name", "value", "label", *told])]
    apart = ", ".join(["l.account", "f.day", "f.through", *(f"f.{key}" for key in told)])
    flags = [f"max(case when {rows.meant(node, among=sources)} then 1 end) as {node.stem}" for node in nodes]
    facts = seen(asked, columns, nodes, sources)
    return select(filled([apart, *flags]), f"from {facts}", linked(sources), f"group by {apart}")


def _turns(each: str, node: Node, keys: Sequence[str], told: Sequence[str]) -> Iterator[Step]:
    """By how many the things that count become more or fewer on a day. `told`: what `each` tells apart on a day."""
    window, name = node.window or 0, f"{node.stem}__turns"
    apart = ", ".join(["account", *keys])
    known = " and actor is not null" if "actor" in keys else ""
    one = "" if _apart([keys]) == told else "distinct "
    columns = ", ".join(dict.fromkeys(["account", *keys, "day", "through"]))
    things = f"(select {one}{columns} from {each} where {node.stem} = 1{known}) e"
    enters, leaves = f"day + {node.shift}", f"day + {node.shift + window}"
    if len(node.own) > 1:
        marks = (
            f"select {apart}, {enters} as turns, 1 as step from {things} where {enters} <= through\n"
            f"union all\nselect {apart}, {leaves}, -1 from {things} where {leaves} <= through"
        )
        net = f"select {apart}, turns, sum(step) as step from {nested(marks, 'm')} group by {apart}, turns"
        running = f"sum(step) over (partition by {apart} order by turns rows unbounded preceding) as there"
        yield Step(f"{node.stem}__marks", select(f"account, turns, step, {running}", f"from {nested(net, 'n')}"))
        more = "case when step > 0 and there = step then 1 when step < 0 and there = 0 then -1 else 0 end"
        yield Step(name, f"select account, turns, {more} as step from {node.stem}__marks")
        return
    order = f"over (partition by {apart} order by day)"
    # what is told apart by its day is there once
    before, after = ("cast(null as date)",) * 2 if "day" in keys else (f"lag(day) {order}", f"lead(day) {order}")
    beside = f"account, day, through, {before} as before, {after} as after"
    yield Step(f"{node.stem}__marks", select(beside, f"from {things}"))
    turns = (
        f"select account, {enters} as turns, 1 as step from {node.stem}__marks\n"
        f"where {enters} <= through and (before is null or before + {window} < day)\n"
        f"union all\nselect account, {leaves}, -1 from {node.stem}__marks\n"
        f"where {leaves} <= through and (after is null or day + {window} < after)"
    )
    yield Step(name, turns)


# the last of several, and what is open


def placed(asked: Range, nodes: Sequence[Node], *, way: str, by_name: bool) -> str:
    """The rows that are the last (`desc`) or first of their number on a day: `place` is 1."""
    sources = rows.sources(nodes)
    columns = ["source", "account_key", "id", "name", "day", "occurred_at", "value", "label"]
    lasts = {node: node.shift + (_limit(node) or ALWAYS) for node in nodes}
    table = ", ".join(f"({quoted(node.stem)}, {node.shift}, {lasts[node]})" for node in nodes)
    tests = " ".join(f"when {quoted(node.stem)} then {rows.meant(node, among=sources)}" for node in nodes)
    within = select(
        "l.account, f.*, m.measure, f.day + m.shift as starts,\n"
        f"  case when f.day + m.lasts <= f.through then f.day + m.lasts else {NEVER} end as ends",
        f"from {seen(asked, columns, nodes, sources)}",
        linked(sources),
        wrapped(f"cross join (values {table}) as m(measure, shift, lasts)"),
        wrapped(f"where f.day + m.shift <= f.through and case m.measure {tests} end"),
    )
    each = ", name" if by_name else ""
    order = f"over (partition by account, measure, source{each} order by occurred_at, id)"
    spans = select(
        "account, source, id, name, day, occurred_at, value, label, through, measure,\n  "
        + (
            f"starts, least(ends, coalesce(lead(starts) {order}, ends)) as ends"
            if way == "desc"
            else f"greatest(starts, coalesce(lag(ends) {order}, starts)) as starts, ends"
        ),
        f"from {nested(within, 'f')}",
    )
    several = any(len(node.own) > 1 for node in nodes)
    best = f"partition by s.account, d.as_of, s.measure{each} order by row(s.occurred_at, s.source, s.id) {way}"
    return select(
        f"s.account, d.as_of, s.name, s.day, {_aged('s')}, s.value, s.label, s.measure,\n  "
        + (f"row_number() over ({best}) as place" if several else "1 as place"),
        f"from {nested(spans, 's')}",
        "join days d on d.as_of >= s.starts and d.as_of < s.ends",
    )


def opened(asked: Range, node: Node) -> str:
    """Subjects on the days that they are open: until the first day of one that closes them, at or after that moment."""
    columns = ["source", "account_key", "id", "name", "day", "occurred_at", "value", "label"]
    subject, closes = "split_part(id, '/', 1)", patterns.condition(node.measure.closes or ())
    later = f"partition by source, {subject} order by occurred_at range between current row and unbounded following"
    told = select(
        f"source, account_key, {subject} as subject, day, through, day + {node.shift} as starts,\n"
        f"  case when {rows.meant(node, names=node.measure.opens)} then 1 end as opens,\n"
        f"  min(case when {closes} then day end) over ({later}) + {node.shift} as ends",
        f"from {seen(asked, columns, [node], node.own)}",
    )
    return select(
        f"o.source, o.account_key, d.as_of, {_aged('o')}, o.subject",
        f"from {nested(told, 'o')}",
        "join days d on d.as_of >= o.starts and (o.ends is null or o.ends > o.through or d.as_of < o.ends)",
        "where o.opens = 1 and o.starts <= o.through",
    )


def _aged(of: str) -> str:
    clock = f"case when {of}.through < d.as_of then {of}.through else d.as_of end"
    return f"datediff('day', {of}.day, {clock}) as age"


def seen(asked: Range, columns: Sequence[str], nodes: Sequence[Node], sources: Sequence[str]) -> str:
    """The events that these numbers need on any of the days, with the day that their source has been read through."""
    tests = [f"e.source in ({', '.join(map(quoted, sources))})", "e.day <= r.through", f"e.day <= {day(asked.last)}"]
    if back := rows.reach(nodes):
        tests.append(f"e.day > {day(asked.begins(sources) - timedelta(days=back))}")
    where = wrapped(f"where {' and '.join(tests)} and {patterns.condition(rows.names(nodes), 'e.name')}")
    wanted = ", ".join([*(f"e.{column}" for column in columns), "r.through"])
    return nested(select(wanted, "from events e join reads r on r.source = e.source", where), "f")
