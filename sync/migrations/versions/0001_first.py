"""The first tables: accounts, keys, readings, runs, totals, deliveries, the lease.

Revision: 0001
After: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, *, key: bool = False, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=null)


def _json(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON, nullable=null)


def _moment(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def upgrade() -> None:
    op.create_table("meta", _text("key", key=True), _json("value", null=True))
    op.create_table(
        "accounts",
        _text("id", key=True),
        _text("name"),
        _text("owner", null=True),
        _json("domains"),
        _json("refs"),
        _moment("since", null=True),
        _moment("first_seen_at"),
        _moment("seen_at"),
        _moment("left_at", null=True),
    )
    op.create_table(
        "keys",
        _text("source", key=True),
        _text("key", key=True),
        _text("name", null=True),
        _json("domains"),
        _json("refs"),
        _moment("seen_at"),
    )
    op.create_table(
        "readings",
        _text("source", key=True),
        _json("cursor", null=True),
        _moment("since", null=True),
        _moment("through", null=True),
        _json("names"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        _text("kind"),
        _text("slot"),
        _text("status"),
        _moment("started_at"),
        _moment("finished_at", null=True),
        _json("report"),
        sa.UniqueConstraint("kind", "slot", name="runs_kind_slot"),
    )
    op.create_table(
        "totals",
        _text("account", key=True),
        sa.Column("score", sa.Float, nullable=True),
        _text("tier"),
        sa.Column("tier_since", sa.Date, nullable=True),
        sa.Column("coverage", sa.Float, nullable=False),
        _moment("scored_at", null=True),
        _json("causes"),
        _text("version"),
        _text("next_action"),
        sa.Column("scored_tier", sa.Text, nullable=True),
    )
    op.create_table(
        "deliveries",
        _text("destination", key=True),
        _text("record_id", key=True),
        _text("account"),
        _json("wanted", null=True),
        _json("confirmed", null=True),
        _text("deciding"),
        _text("status"),
        sa.Column("attempts", sa.Integer, nullable=False),
        _text("code"),
        _text("message"),
        _text("remedy"),
        _moment("next_try_at", null=True),
        _moment("confirmed_at", null=True),
        sa.Column("refresh_on", sa.Date, nullable=True),
    )
    lease = op.create_table(
        "lease",
        _text("name", key=True),
        _text("holder", null=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        _moment("expires_at", null=True),
    )
    op.bulk_insert(lease, [{"name": "worker", "holder": None, "epoch": 0, "expires_at": None}])


def downgrade() -> None:
    for table in ("lease", "deliveries", "totals", "runs", "readings", "keys", "accounts", "meta"):
        op.drop_table(table)
