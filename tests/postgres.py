"""A real PostgreSQL server for the tests: started once in a temporary folder, ended by its process id.

Its programs refuse to run as root; then they run as another user of the machine. Where the programs or such a user
are missing, the tests that need the server are skipped and say so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from sync.state import State

START_SECONDS = 30


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with one empty database, `postgres`."""
    with serving(lambda: tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a database of the test's own; nothing is in it."""
    with _lent(postgres_url) as url:
        yield url


@pytest.fixture
def postgres_state(postgres_url: str, newest: str) -> Iterator[str]:
    """The URL of a state of the test's own, of the newest form."""
    with _lent(postgres_url, like=newest) as url:
        yield url


@pytest.fixture(scope="session")
def newest(postgres_url: str) -> str:
    """The name of an empty state to be copied: all migrations take longer than most of what is tested with them."""
    url = made(postgres_url)
    State(url).close()
    return url.rpartition("/")[2]


ASKED = os.environ.get("STATE_ON", "sqlite")  # the database of tests that are too long for both


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a state is to be, on either kind of database; nothing is there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a state is, of the newest form, on either kind of database; nothing is in it."""
    if request.param == "sqlite":
        return migrated(tmp_path / "state.db")
    found: str = request.getfixturevalue("postgres_state")
    return found


def migrated(path: Path) -> str:
    """The URL of a SQLite database of the newest form, made at `path` unless there is one."""
    if not path.exists():
        path.write_bytes(_newest_form())
    return f"sqlite:///{path}"


@cache
def _newest_form() -> bytes:
    with TemporaryDirectory() as folder:
        State(f"sqlite:///{folder}/state.db").close()
        return Path(folder, "state.db").read_bytes()


@pytest.fixture
def state(url: str) -> Iterator[State]:
    opened = State(url)
    yield opened
    opened.close()


@contextmanager
def serving(folder_of_ours: Callable[[], Path]) -> Iterator[str]:
    """The URL of a server with one empty database, `postgres`, as long as it is needed."""
    programs = _programs()
    user = _other_user()
    folder = _folder(folder_of_ours, user)
    data, port = folder / "data", _free_port()
    _run([programs / "initdb", "-D", data, "-U", "bellwether", "-A", "trust", "-N", "-E", "UTF8"], user, folder)
    server = _start(programs / "postgres", data, port, user, folder)
    url = f"postgresql+psycopg://bellwether@127.0.0.1:{port}/postgres"
    try:
        _wait_for(server, url, folder / "server.log")
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # "fast": ends sessions and stops
        server.wait(timeout=START_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lent(server: str, *, like: str = "template1") -> Iterator[str]:
    url = made(server, like=like)
    yield url
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(f'drop database "{url.rpartition("/")[2]}" with (force)')


def made(server: str, *, like: str = "template1") -> str:
    """The URL of a new database on this server, a copy of that one."""
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{like}"')
    return server.rsplit("/", 1)[0] + "/" + name


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def _programs() -> Path:
    places = [Path(found).resolve().parent for found in (shutil.which("initdb"),) if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.skip("PostgreSQL's programs (initdb, postgres) are not on this machine")


def _other_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _folder(folder_of_ours: Callable[[], Path], user: pwd.struct_passwd | None) -> Path:
    if user is None:
        return folder_of_ours()
    # pytest's own folder is closed to other users
    folder = Path(f"/tmp/bellwether-postgres-{os.getpid()}-{time.monotonic_ns()}")
    folder.mkdir(mode=0o700)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _run(command: list[object], user: pwd.struct_passwd | None, folder: Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        pytest.skip(f"PostgreSQL could not be set up: {done.stderr.strip().splitlines()[-1:]}")


def _start(
    program: Path, data: Path, port: int, user: pwd.struct_passwd | None, folder: Path
) -> subprocess.Popen[bytes]:
    settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=30"]
    options = [word for setting in settings for word in ("-c", setting)]
    command = [program, "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, *options]
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdout=log,
            stderr=log,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and server.poll() is None:
        try:
            psycopg.connect(_plain(url), connect_timeout=1).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.skip(f"PostgreSQL did not start: {log.read_text(errors='replace').strip().splitlines()[-1:]}")
