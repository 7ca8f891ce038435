"""People's words about accounts, and every scorecard that was used.

Revision: 0003
After: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _moment(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def upgrade() -> None:
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer, primary_key=True),
        _text("kind"),
        _text("account"),
        _text("author"),
        _text("reason"),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("until", sa.Date, nullable=True),
        _text("tier", null=True),
        _text("name", null=True),
        sa.Column("value", sa.Float, nullable=True),
        sa.Column("silence", sa.Boolean, nullable=False),
        _moment("made_at"),
        _moment("withdrawn_at", null=True),
        sa.Column("withdrawn_on", sa.Date, nullable=True),
        _text("withdrawn_by", null=True),
        sa.Column("logged", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_judgements_account", "judgements", ["account"])
    op.create_table(
        "scorecards",
        sa.Column("version", sa.Text, primary_key=True),
        _text("name"),
        sa.Column("content", sa.JSON, nullable=False),
        _moment("first_used_at"),
        _moment("last_used_at"),
    )


def downgrade() -> None:
    for table in ("scorecards", "judgements"):
        op.drop_table(table)
