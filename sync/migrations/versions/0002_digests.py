"""Answers remember what they were worked out from, deliveries the score they are compared by.

Revision: 0002
After: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("totals") as totals:
        for name in ("deciding", "digest"):
            totals.add_column(sa.Column(name, sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("score", sa.Float, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_column("score")
    with op.batch_alter_table("totals") as totals:
        for name in ("digest", "deciding"):
            totals.drop_column(name)
