"""What the rows of an events file say: a table of facts, made by one statement, and why a row cannot be one."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from connectors.names import FACT_NAME, FORM, LONGEST
from connectors.table import named, quoted

BIGGEST = 2.0**43  # what the log can still add up exactly
CUT = 40  # characters of an event name that is shown
NO_NAME = f"is no event name ({FORM}); map it with events:"

# Why a row cannot be a fact, and what to do when that is so of all rows.
REMEDIES: Mapping[str, str] = {
    "it has no account": "name the column of customers in columns.account, or fill it in",
    "it has no event name": "name the column of events in columns.event, or fill it in",
    NO_NAME: "say with events: which words of this column are which of your names",
    "it has no date": "name the column of dates in columns.at, or fill it in",
    "its date cannot be read; write 2026-03-01": "write dates as 2026-03-01, or 2026-03-01 14:30",
    "its date lies outside the years 1970 to 2200": "correct these lines, or name another column in columns.at",
    "it has no value": "name the column of numbers in columns.value, or fill it in",
    "its value is not a number": "name a column of plain numbers in columns.value; a word belongs into columns.label",
    "its value is too large": "name another column in columns.value",
    "its label is longer than 64 characters": "name a column of short, fixed words in columns.label",
}


class Columns(BaseModel):
    """Which column holds what. Without `value` and `label` a row counts as 1; without `id` its content names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str
    at: str
    event: str | None = None
    value: str | None = None
    label: str | None = None
    user: str | None = None
    id: str | None = None


GOOD = "select count(*) from facts where good"
FACTS = """
select id, account_key, actor, name, (occurred_at at time zone 'UTC') as occurred_at, value, label
from facts left join actors using (person)
where good"""


def facts_table(columns: Columns, event: str | None, name_of: Mapping[str, str] | None) -> str:
    """The table `facts`: every row with what it says; it is `good`, of an `other` event, or has a `reason` not to be.

    `word` is what stands in the event column, and `name_of` our name for it. A row without an id is named by a hash
    of its content and its number among rows of the same content, so the same file gives the same facts in any order.
    """

    def column(name: str | None) -> str:
        return f"nullif(trim({named(name)}), '')" if name else "null::varchar"

    name = _named_by("word", name_of) if name_of else "word"
    value = f"case when given is null and label is null and {not columns.value} then 1.0 else number end"
    return f"""
create table facts as
with cells as (
  select __line, {column(columns.account)} as account_key, {column(columns.at)} as moment,
         {quoted(event) if event else column(columns.event)} as word, {column(columns.value)} as given,
         {column(columns.label)} as label, {column(columns.user)} as person, {column(columns.id)} as own_id
  from rows),
called as (select *, {name} as name from cells),
typed as (
  select *, word is not null and name is null as other,
         try_cast(moment as timestamptz) as occurred_at, try_cast(given as double) as number,
         md5(to_json([account_key, moment, name, given, label, person])::varchar) as content
  from called),
judged as (
  select __line, account_key, name, word, other, person, occurred_at, label, {value} as value,
         coalesce(own_id, content || '/' || row_number() over (partition by content order by __line)) as id,
         case when other then null
              {_reasons(columns)}
         end as reason
  from typed)
select *, reason is null and not other as good from judged"""


def _named_by(word: str, name_of: Mapping[str, str]) -> str:
    """Our name for a word of the event column; null where there is none."""
    cases = " ".join(f"when {quoted(theirs)} then {quoted(ours)}" for theirs, ours in name_of.items())
    return f"case {word} {cases} end"


def _reasons(columns: Columns) -> str:
    """What can be wrong with a row, in the order of `REMEDIES`; the first that holds is told."""
    wrong = (
        "account_key is null",
        "name is null",
        f"not regexp_full_match(name, {quoted(FACT_NAME)}) or length(name) > {LONGEST}",
        "moment is null",
        "occurred_at is null or not isfinite(occurred_at)",
        "year(occurred_at) not between 1970 and 2200",
        f"given is null and label is null and {bool(columns.value)}",
        "given is not null and (number is null or not isfinite(number))",
        f"abs(number) > {BIGGEST}",
        "length(label) > 64",
    )
    return " ".join(f"when {one} then {quoted(why)}" for one, why in zip(wrong, REMEDIES, strict=True))


def shown(word: str) -> str:
    """A word of the event column, short and printable."""
    cut = "".join(letter if letter.isprintable() else "?" for letter in word[:CUT])
    return f"'{cut}'"
