"""Opens the database of the worker's state and brings it to the newest form.

SQLite is put in WAL mode, so that a reader beside a running daemon is never locked out, and its file is only
ours to read (0600). A database that cannot be used is a `StateError` of one line, without the password.
"""

from __future__ import annotations

import json
import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from sync.errors import StateError, StateHeld, StateLost

LOCK_SECONDS = 30  # how long to wait for another process's transaction before giving up
KEEPALIVES = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "15", "tcp_keepalives_count": "4"}


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair in a name from outside, or a very large number
        return json.dumps(value)


def _from_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


# there are several small documents for every account, and the standard library takes thrice the time
_JSON: dict[str, Any] = {"json_serializer": _as_json, "json_deserializer": _from_json}


def open_engine(url: str, *, create: bool = True) -> Engine:
    """An engine on a database of the newest form. `create=False` refuses a SQLite file that is not there."""
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        _prepare_file(address, create=create)
        engine = _sqlite(address)
    else:
        engine = _postgres(address)
    try:
        _migrate(engine)
    except DBAPIError as error:
        engine.dispose()
        raise database_error(address, error) from None
    except StateError:
        engine.dispose()
        raise
    return engine


def reach(url: str) -> None:
    """Find out whether a database server answers, and make nothing there. Raises `StateError`."""
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        return
    engine = create_engine(address, hide_parameters=True)
    try:
        engine.connect().close()
    except DBAPIError as error:
        raise database_error(address, error) from None
    finally:
        engine.dispose()


def vacuum(engine: Engine) -> None:
    """Rewrite the whole database, so that nothing of what was deleted is left in its files.

    PostgreSQL's write-ahead log, its replicas and its backups are its administrator's.
    """
    busy = False
    try:
        if engine.dialect.name == "sqlite":
            with engine.execution_options(no_transaction=True).connect() as connection:
                connection.exec_driver_sql("VACUUM")
                busy = bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar())
        else:
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql("VACUUM (FULL)")
    except DBAPIError as error:
        raise database_error(engine.url, error) from None
    if busy:
        raise StateError(f"state ({_named(engine.url)}): another process is reading it; end that and erase again")


def database_error(address: URL, error: DBAPIError) -> StateError:
    """What the driver said, in one line, and what to do."""
    said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    if address.password:
        said = said.replace(str(address.password), "***")
    held = "locked" in said or "lock timeout" in said
    if held:
        said += f"; another process has held it for over {LOCK_SECONDS} s: wait for it, or end it"
    elif "not a database" in said or "malformed" in said:
        said += "; restore it from a copy, or move it away to start anew"
    elif "is full" in said or "disk I/O" in said:
        said += "; make room on the disk"
    elif "no such table" in said or ("relation" in said and "does not exist" in said):
        said += "; its tables were taken away during this work: run again to make them anew, or put a copy back first"
    elif address.get_backend_name() == "postgresql" and isinstance(error, OperationalError):
        said += "; see that the server runs, and that state: names it rightly"
    return (StateHeld if held else StateError)(f"state ({_named(address)}): {said}")


def lost(address: URL) -> StateLost:
    """A file that is not there any more, or another one in its place."""
    return StateLost(
        f"state ({_named(address)}): its file was taken away during this work; run again to begin a new one, which the"
        " CRMs and sources fill, or put a copy back first"
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Which file or folder it is, whatever stands under its name by now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _named(address: URL) -> str:
    return address.set(query={}).render_as_string(hide_password=True)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise StateError(
            "state: not a database URL; write sqlite:///path/to/state.db or postgresql+psycopg://user@host/name"
        ) from None
    if address.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername == "sqlite" and address.database and not address.database.startswith((":", "file:")):
        return address
    raise StateError(
        f"state: {address.drivername} is not supported; use sqlite:///path/to/state.db or postgresql+psycopg://"
    )


def _prepare_file(address: URL, *, create: bool) -> None:
    path = Path(str(address.database))
    try:
        if not create and not path.exists():
            raise StateError(f"state: there is no {path}; `bellwether run` creates it")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():  # what another one left beside it would be taken for its own
            for left in ("-wal", "-shm"):
                Path(f"{path}{left}").unlink(missing_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StateError(f"state: cannot open {path}: {error.strerror}") from None


def _sqlite(address: URL) -> Engine:
    engine = create_engine(address, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS}, **_JSON)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver opens no transaction on a SELECT: we begin them all
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("no_transaction"):
            connection.exec_driver_sql("BEGIN" if options.get("reads_only") else "BEGIN IMMEDIATE")

    return engine


def _postgres(address: URL) -> Engine:
    """Waits for locks as long as SQLite does. A host that vanished in a transaction holds its locks two minutes more:
    the server looks for it by then, where the system's default is two hours.
    """
    engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, **_JSON)
    wanted = {"lock_timeout": f"{LOCK_SECONDS}s", **KEEPALIVES}

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.autocommit = True  # what is set in a transaction goes with it where that is rolled back
        connection.execute("; ".join(f"set {name} = '{value}'" for name, value in wanted.items()))
        connection.autocommit = False

    return engine


def _migrate(engine: Engine) -> None:
    with as_file(files("sync") / "migrations") as folder:
        if _form(engine) == max(file.name[:4] for file in (folder / "versions").glob("[0-9]*.py")):
            return
        from sync.migrate import upgrade  # hardly ever needed, and slow to import

        upgrade(engine, folder, named=_named(engine.url))


def _form(engine: Engine) -> str | None:
    """The revision of the database, or None where nothing was made yet."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return str(connection.scalar(text("select version_num from alembic_version")))
