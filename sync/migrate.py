"""Brings a database to the newest form with Alembic, one process at a time."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from sync.errors import StateError

MIGRATION_LOCK = 0x62656C6C  # any number, the same in every process: one migrates, the others wait


def upgrade(engine: Engine, folder: Path, *, named: str) -> None:
    """Take every step in `folder` that the database lacks, in one transaction. Raises `StateError`, naming it so."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present not in known:
        raise StateError(f"state ({named}): written by a newer Bellwether (revision {present}); upgrade")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
