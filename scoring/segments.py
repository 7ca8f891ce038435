"""Several scorecards: which account is scored by which, by rules over its attributes as they were on the day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scoring import rules
from scoring.printer import either, quoted
from scoring.rules import Column
from scoring.scorecard import Scorecard


class Segment(NamedTuple):
    """A scorecard for the accounts that meet `when`, and the rule of none before it; the last is for all others."""

    card: Scorecard
    when: str = ""


def check(when: str, attributes: Sequence[str]) -> None:
    """Raises ValueError, in words, for a rule that is none over these attributes."""
    rules.rebuild(when, {name.lower(): Column(name, "either") for name in attributes})
    if not rules.names(when):
        raise ValueError("reads no attribute; compare one, like seats >= 500")


def assignment(segments: Sequence[Segment], home: str, attributes: Sequence[str]) -> str:
    """SQL that gives the number of the segment of each row of `scope` (account, as_of), over events, reads and links.

    An attribute is the last one as of the day; a rule over one that is not known does not hold.
    """
    called = {name.lower(): name for name in sorted(attributes)}
    columns = {name: Column(f"attribute_{place}", "either") for place, name in enumerate(called)}
    read = sorted({name for segment in segments[:-1] for name in rules.names(segment.when)})
    latest = ", ".join(
        f"max(case when e.name = {quoted(called[name])} then e.{kind} end) as {columns[name].sql}__{kind}"
        for name in read
        for kind in ("value", "label")
    )
    cases = " ".join(
        f"when {rules.rebuild(segment.when, columns)} then {place}" for place, segment in enumerate(segments[:-1])
    )
    return f"""select s.account, s.as_of, case {cases} else {len(segments) - 1} end as segment
from scope s left join (
  select l.account, e.as_of, {latest}
  from (
    select e.account_key, e.name, e.value, e.label, d.as_of,
      row_number() over (partition by e.account_key, e.name, d.as_of order by e.occurred_at desc, e.id desc) as place
    from events e join reads r on r.source = e.source join days d on e.day <= d.as_of and e.day <= r.through
    where e.source = {quoted(home)} and {either([called[name] for name in read], "e.name")}
  ) e join links l on l.source = {quoted(home)} and l.account_key = e.account_key
  where e.place = 1 group by l.account, e.as_of
) a on a.account = s.account and a.as_of = s.as_of"""
