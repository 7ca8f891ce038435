"""The rows of an accounts file that can be customers: each with an id of its own.

A row without one is left out and told. Its customer will seem to have left, which is bearable for a typing mistake and
not for a broken file, so a file with many such rows is refused as a whole.
"""

from __future__ import annotations

from dataclasses import replace

import duckdb

from connectors.base import Rejected
from connectors.errors import SettingsWrong
from connectors.leftout import in_words
from connectors.table import SHOWN, Rows, named

BEARABLE = 0.05  # of all rows; one row always is, beside a good one


def keep_good(connection: duckdb.DuckDBPyConnection, rows: Rows, *, key: str, file: str, place: str) -> Rows:
    """Take the rows without an id of their own out of the table `rows`; of an id that comes twice the first row stays.

    Returns what was left out, unreadable rows included. Raises `SettingsWrong` when that is too much.
    """
    if rows.torn:
        raise SettingsWrong(f"{rows.torn.place}: {rows.torn.reason}; correct it, nothing is read before", place=place)
    connection.execute(
        f"""
create table bad as
select __line, id, earlier from (
  select __line, id, min(__line) over (partition by id) as earlier
  from (select __line, nullif(trim({named(key)}), '') as id from rows))
where id is null or __line > earlier"""
    )
    connection.execute("delete from rows where __line in (select __line from bad)")
    [(good, bad)] = connection.execute("select (select count(*) from rows), (select count(*) from bad)").fetchall()
    first = connection.execute(f"select __line, id is null, earlier from bad order by __line limit {SHOWN}").fetchall()
    told = [
        Rejected(f"{file}:{line}", "its id is blank" if blank else f"its id stands in line {earlier} already")
        for line, blank, earlier in first
    ]
    left = replace(rows, rejected=(*rows.rejected, *told)[:SHOWN], refused=rows.refused + bad)
    if left.refused and (not good or left.refused > max(1, BEARABLE * (good + left.refused))):
        many = "so many customers would seem to have left, so nothing is read; correct them"
        words = f"{in_words(left.refused, left.rejected)}; {many}"
        raise SettingsWrong(words, place=place)
    return left
