"""A pooler in front of Postgres that hands out server connections by transaction, as PgBouncer does in that mode.

Enough of the protocol to tell whether a client keeps state on a server connection that is not its own: every
transaction is given the server connection that has rested longest, and a start-up parameter that PgBouncer does not
know is refused.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_SSL_REQUEST: Final = 80_877_103
_CANCEL_REQUEST: Final = 80_877_102
_PROTOCOL: Final = 196_608
_KNOWN_PARAMETERS: Final = {
    "user",
    "database",
    "application_name",
    "client_encoding",
    "datestyle",
    "timezone",
    "standard_conforming_strings",
}
_ENDS_AN_EXCHANGE: Final = (b"S", b"Q")  # Sync and simple Query: one ReadyForQuery answers each
Message = tuple[bytes, bytes]


async def _message(reader: asyncio.StreamReader) -> Message:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


class _Server:
    """One connection to Postgres."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: list[Message]) -> None:
        self.reader, self.writer, self.greeting = reader, writer, greeting

    @classmethod
    async def opened(cls, host: str, port: int, user: str, database: str) -> _Server:
        reader, writer = await asyncio.open_connection(host, port)
        parameters = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database))
        startup = struct.pack("!I", _PROTOCOL) + parameters + b"\0"
        writer.write(struct.pack("!I", len(startup) + 4) + startup)
        greeting = []
        while True:
            kind, body = await _message(reader)
            greeting.append((kind, body))
            if kind == b"Z":
                return cls(reader, writer, greeting)

    async def asked(self, statement: str) -> str:
        """The only value that a simple query returns."""
        self.writer.write(_packed(b"Q", statement.encode() + b"\0"))
        value = ""
        while True:
            kind, body = await _message(self.reader)
            if kind == b"D":
                value = body[6:].decode()
            if kind == b"Z":
                return value


class TransactionPooler:
    """Listens on `port`; `servers` connections serve whoever comes."""

    def __init__(self, host: str, port: int, *, user: str, database: str, servers: int) -> None:
        self._target = (host, port, user, database)
        self._count = servers
        self._idle: deque[_Server] = deque()
        self._greeting: list[Message] = []
        self._available = asyncio.Condition()
        self._clients: set[asyncio.Task[None]] = set()
        self.port = 0
        self.transactions = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TransactionPooler]:
        """Listen until the end of the block."""
        for _ in range(self._count):
            self._idle.append(await _Server.opened(*self._target))
        self._greeting = self._idle[0].greeting
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for client in list(self._clients):
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            for server in self._idle:
                server.writer.close()

    async def values_of(self, setting: str) -> set[str]:
        """What that setting is on each of the idle server connections, outside any transaction."""
        return {await server.asked(f"SELECT current_setting('{setting}')") for server in list(self._idle)}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                if await self._greeted(reader, writer):
                    await _Client(self, reader, writer).serve()
        finally:
            self._clients.discard(task)
            writer.close()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            startup = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!I", startup[:4])
            if code == _SSL_REQUEST:
                writer.write(b"N")
                continue
            if code == _CANCEL_REQUEST:
                return False
            names = startup[4:].split(b"\0")[:-2:2]
            unknown = {name.decode().lower() for name in names} - _KNOWN_PARAMETERS
            if unknown:
                reason = f"unsupported startup parameter: {unknown.pop()}".encode()
                writer.write(_packed(b"E", b"SFATAL\0VFATAL\0C08P01\0M" + reason + b"\0\0"))
                return False
            writer.write(b"".join(_packed(kind, body) for kind, body in self._greeting))
            return True

    async def take(self) -> _Server:
        """The server connection that has rested longest."""
        async with self._available:
            await self._available.wait_for(lambda: bool(self._idle))
            self.transactions += 1
            return self._idle.popleft()

    async def give_back(self, server: _Server, *, broken: bool = False) -> None:
        """At the end of a transaction; `broken`: in the middle of one."""
        if broken:
            server.writer.close()
            server = await _Server.opened(*self._target)
        async with self._available:
            self._idle.append(server)
            self._available.notify()


class _Client:
    """Passes messages on, to a server connection of its own for each transaction."""

    def __init__(self, pooler: TransactionPooler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pooler, self._reader, self._writer = pooler, reader, writer
        self._server: _Server | None = None
        self._unanswered = 0
        self._relay: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        try:
            while True:
                kind, body = await _message(self._reader)
                if kind == b"X":
                    return
                if self._server is None:
                    self._server = await self._pooler.take()
                    self._relay = asyncio.create_task(self._answers(self._server))
                if kind in _ENDS_AN_EXCHANGE:
                    self._unanswered += 1
                self._server.writer.write(_packed(kind, body))
        finally:
            if self._relay is not None:
                self._relay.cancel()
            if self._server is not None:
                await self._pooler.give_back(self._server, broken=True)

    async def _answers(self, server: _Server) -> None:
        while True:
            kind, body = await _message(server.reader)
            if kind == b"Z":
                self._unanswered -= 1
                if body == b"I" and self._unanswered == 0:
                    self._server = None
                    await self._pooler.give_back(server)
                    self._writer.write(_packed(kind, body))
                    return
            self._writer.write(_packed(kind, body))
