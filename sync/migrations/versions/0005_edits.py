"""Deliveries remember every tier they told and what a record was merged into, judgements where they were found.

Revision: 0005
After: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("past", sa.JSON, nullable=True))
        deliveries.add_column(sa.Column("merged_into", sa.Text, nullable=True))
    op.create_index("ix_deliveries_account", "deliveries", ["account"])
    op.add_column("judgements", sa.Column("origin", sa.JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("judgements", "origin")
    op.drop_index("ix_deliveries_account", "deliveries")
    with op.batch_alter_table("deliveries") as deliveries:
        for name in ("merged_into", "past"):
            deliveries.drop_column(name)
