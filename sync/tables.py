"""The tables of the worker's state, declared with SQLModel. The values that travel are in `rows.py`.

A change here needs a migration (`migrations/versions`); a test compares the two, and the columns with
`rows.py`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import JSON, Column, DateTime, Dialect, Table, Text, UniqueConstraint, inspect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel


class Moment(TypeDecorator[datetime]):
    """Stored in UTC and handed back aware on every engine (SQLite keeps no timezone of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a timezone cannot be stored")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Plain(TypeDecorator[str]):
    """Text; what no database can hold (a NUL, half a surrogate pair) is left out: one odd name must not stop a page."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if not value or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "").encode("utf-8", "ignore").decode()


class Words(TypeDecorator[tuple[str, ...]]):
    """An ordered list of words, kept as JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> Any:
        return list(value or ())

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:
        return tuple(value or ())


class WordSet(TypeDecorator[frozenset[str]]):
    """A set of words, kept as a sorted JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: frozenset[str] | None, dialect: Dialect) -> Any:
        return sorted(value or ())

    def process_result_value(self, value: Any, dialect: Dialect) -> frozenset[str]:
        return frozenset(value or ())


class Json(TypeDecorator[Any]):
    """Any JSON value; None is the database's own null."""

    impl = JSON(none_as_null=True)
    cache_ok = True


class MetaTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "meta"
    key: str = Field(primary_key=True, sa_type=Plain)
    value: Any = Field(sa_type=Json, nullable=True)


class AccountTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "accounts"
    id: str = Field(primary_key=True, sa_type=Plain)
    name: str = Field(sa_type=Plain)
    owner: str | None = Field(sa_type=Plain)
    domains: tuple[str, ...] = Field(sa_type=Words)
    refs: dict[str, str] = Field(sa_type=Json)
    since: datetime | None = Field(sa_type=Moment)
    first_seen_at: datetime = Field(sa_type=Moment)
    seen_at: datetime = Field(sa_type=Moment)
    left_at: datetime | None = Field(sa_type=Moment)


class KeyTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "keys"
    source: str = Field(primary_key=True, sa_type=Plain)
    key: str = Field(primary_key=True, sa_type=Plain)
    name: str | None = Field(sa_type=Plain)
    domains: tuple[str, ...] = Field(sa_type=Words)
    refs: dict[str, str] = Field(sa_type=Json)
    seen_at: datetime = Field(sa_type=Moment)


class ReadingTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "readings"
    source: str = Field(primary_key=True, sa_type=Plain)
    cursor: dict[str, Any] | None = Field(sa_type=Json)
    since: datetime | None = Field(sa_type=Moment)
    through: datetime | None = Field(sa_type=Moment)
    names: frozenset[str] = Field(sa_type=WordSet)


class RunTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "runs"
    __table_args__ = (UniqueConstraint("kind", "slot", name="runs_kind_slot"),)
    id: int | None = Field(primary_key=True)
    kind: str = Field(sa_type=Plain)
    slot: str = Field(sa_type=Plain)
    status: str = Field(sa_type=Plain)
    started_at: datetime = Field(sa_type=Moment)
    finished_at: datetime | None = Field(sa_type=Moment)
    report: dict[str, Any] = Field(sa_type=Json)


class TotalTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "totals"
    account: str = Field(primary_key=True, sa_type=Plain)
    score: float | None
    tier: str = Field(sa_type=Plain)
    tier_since: date | None
    coverage: float
    scored_at: datetime | None = Field(sa_type=Moment)
    causes: tuple[str, ...] = Field(sa_type=Words)
    version: str = Field(sa_type=Plain)
    next_action: str = Field(sa_type=Plain)
    scored_tier: str | None = Field(sa_type=Plain)
    deciding: str = Field(sa_type=Plain)
    digest: str = Field(sa_type=Plain)
    score_name: str = Field(primary_key=True, sa_type=Plain)


class DeliveryTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "deliveries"
    destination: str = Field(primary_key=True, sa_type=Plain)
    record_id: str = Field(primary_key=True, sa_type=Plain)
    account: str = Field(sa_type=Plain, index=True)
    wanted: dict[str, Any] | None = Field(sa_type=Json)
    confirmed: dict[str, Any] | None = Field(sa_type=Json)
    deciding: str = Field(sa_type=Plain)
    status: str = Field(sa_type=Plain)
    attempts: int
    code: str = Field(sa_type=Plain)
    message: str = Field(sa_type=Plain)
    remedy: str = Field(sa_type=Plain)
    next_try_at: datetime | None = Field(sa_type=Moment)
    confirmed_at: datetime | None = Field(sa_type=Moment)
    refresh_on: date | None
    score: float | None
    further: dict[str, float] | None = Field(sa_type=Json)
    past: tuple[str, ...] = Field(sa_type=Words, nullable=True)
    merged_into: str | None = Field(sa_type=Plain)


class JudgementTable(SQLModel, table=True):
    """`logged`: whether the log says of a pulse what stands here; the next pass sees to it."""

    __tablename__: ClassVar[Any] = "judgements"
    __table_args__: ClassVar[Any] = {"sqlite_autoincrement": True}  # an erased one's number is never given again
    id: int | None = Field(primary_key=True)
    kind: str = Field(sa_type=Plain)
    account: str = Field(sa_type=Plain, index=True)
    author: str = Field(sa_type=Plain)
    reason: str = Field(sa_type=Plain)
    day: date
    until: date | None
    tier: str | None = Field(sa_type=Plain)
    name: str | None = Field(sa_type=Plain)
    value: float | None
    silence: bool
    made_at: datetime = Field(sa_type=Moment)
    withdrawn_at: datetime | None = Field(sa_type=Moment)
    withdrawn_on: date | None
    withdrawn_by: str | None = Field(sa_type=Plain)
    logged: bool
    origin: dict[str, str] | None = Field(sa_type=Json)


class ScorecardTable(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "scorecards"
    version: str = Field(primary_key=True, sa_type=Plain)
    name: str = Field(sa_type=Plain)
    content: dict[str, Any] = Field(sa_type=Json)
    first_used_at: datetime = Field(sa_type=Moment)
    last_used_at: datetime = Field(sa_type=Moment)


class LeaseTable(SQLModel, table=True):
    """One row: who may write. `epoch` grows with every taking, so a lost lease is told from a kept one."""

    __tablename__: ClassVar[Any] = "lease"
    name: str = Field(primary_key=True, sa_type=Plain)
    holder: str | None = Field(sa_type=Plain)
    epoch: int
    expires_at: datetime | None = Field(sa_type=Moment)


def table_of(model: type[SQLModel]) -> Table:
    """The SQLAlchemy table that a model declares."""
    return cast(Table, inspect(model).local_table)


def moments_of(table: Table) -> list[Column[Any]]:
    """The columns that hold moments."""
    return [column for column in table.c if isinstance(column.type, Moment)]


META, ACCOUNTS, KEYS, READINGS, RUNS, TOTALS, DELIVERIES, JUDGEMENTS, SCORECARDS, LEASE = (
    table_of(model)
    for model in (
        MetaTable,
        AccountTable,
        KeyTable,
        ReadingTable,
        RunTable,
        TotalTable,
        DeliveryTable,
        JudgementTable,
        ScorecardTable,
        LeaseTable,
    )
)
