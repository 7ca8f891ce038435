"""Answers by several scores, and what records were told of those besides health.

Revision: 0004
After: 0003
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _columns() -> list[sa.Column[Any]]:
    return [
        _text("account"),
        sa.Column("score", sa.Float, nullable=True),
        _text("tier"),
        sa.Column("tier_since", sa.Date, nullable=True),
        sa.Column("coverage", sa.Float, nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("causes", sa.JSON, nullable=False),
        _text("version"),
        _text("next_action"),
        _text("scored_tier", null=True),
        _text("deciding"),
        _text("digest"),
    ]


def upgrade() -> None:
    _by("account", "score_name", more=[_text("score_name")], told=", 'health' from totals_before")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("further", sa.JSON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_column("further")
    _by("account", told=" from totals_before where score_name = 'health'")


def _by(*key: str, more: Sequence[sa.Column[Any]] = (), told: str) -> None:
    """The answers in a table of another key, which SQLite can give to none that is there."""
    kept = _columns()
    op.rename_table("totals", "totals_before")
    op.create_table("totals", *kept, *more, sa.PrimaryKeyConstraint(*key))
    op.execute(f"insert into totals select {', '.join(column.name for column in kept)}{told}")
    op.drop_table("totals_before")
