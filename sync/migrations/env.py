"""What Alembic runs: the steps, over the connection and in the transaction that `sync.migrate` opened."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import sync.tables  # noqa: F401  (declares the tables)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
