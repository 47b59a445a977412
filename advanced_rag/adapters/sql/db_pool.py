"""The process's connections: a fixed number, waited for in order and not for ever.

`read` and `write` give a transaction each; what a driver raises inside comes out as our own errors. The wait for a
connection is ours and not SQLAlchemy's: under Python 3.11 a cancellation that meets a connection just handed over is
swallowed there (`asyncio.wait_for`), and it counts no waiters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool

from advanced_rag.adapters.sql.engine import (
    BEGIN_OPTION,
    BEGIN_READING,
    BEGIN_WRITING,
    SQLITE_BUSY_TIMEOUT_S,
    EngineValues,
    make_engine,
)
from advanced_rag.adapters.sql.errors import translated
from advanced_rag.exceptions import PoolExhausted

_FRESH: Final = "fresh"


class PoolListener(Protocol):
    """Told about each connection that is handed out or refused; must not block."""

    def checked_out(self, *, reused: bool) -> None:
        """A connection was given, one that had served before (`reused`) or one opened for it."""
        ...

    def refused(self) -> None:
        """None became free in time."""
        ...


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The pool now, and what it has done since it was made."""

    size: int
    checked_out: int
    idle: int
    waiting: int
    reused_checkouts: int
    fresh_checkouts: int
    refused_checkouts: int


class _Permits:
    """So many at once; the others wait in order, each at most `wait_s`."""

    def __init__(self, count: int, wait_s: float, on_refused: Callable[[], None]) -> None:
        self._semaphore = asyncio.Semaphore(count)
        self._wait_s = wait_s
        self._on_refused = on_refused
        self.waiting = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._semaphore.acquire()
        except TimeoutError:
            self._on_refused()
            raise PoolExhausted("no database connection became free in time") from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._semaphore.release()


class DbPool:
    """One a process and event loop. Opens nothing until it is used."""

    def __init__(self, values: EngineValues, listener: PoolListener | None = None) -> None:
        self.values = values
        self._listener = listener
        self._engine = make_engine(values)
        self._permits = _Permits(values.pool_size + values.max_overflow, values.pool_timeout_s, self._on_refused)
        # SQLite has one writer at a time. Waiting here is in order and costs no thread; its own busy handler polls, and
        # only other processes are left to provoke it.
        on_sqlite = self.dialect == "sqlite"
        self._writers = _Permits(1, SQLITE_BUSY_TIMEOUT_S, self._on_refused) if on_sqlite else None
        self._reused = self._fresh = self._refused = 0
        event.listen(self._engine.sync_engine, "connect", self._on_connect)
        event.listen(self._engine.sync_engine, "checkout", self._on_checkout)

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is rolled back at the end.

        Raises:
            PoolExhausted: no connection became free within the pool's timeout.
            DependencyError: the database could not be reached or could not serve.
        """
        async with self._transaction(BEGIN_READING) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed when the block ends without an error. Raises as `read`.

        An error that is `transient` left nothing behind: the whole block may be run again. The loss of a connection
        during COMMIT is not transient.
        """
        async with self._writer(), self._transaction(BEGIN_WRITING) as connection:
            yield connection
            with self._translated(committing=True):
                await connection.commit()

    async def check(self) -> None:
        """One cheap round trip. Raises as `read`; PoolExhausted says nothing about the database."""
        async with self.read() as connection:
            await connection.execute(select(1))

    def snapshot(self) -> PoolSnapshot:
        """Counters and gauges for whoever exports them."""
        pool = cast("QueuePool", self._engine.pool)
        return PoolSnapshot(
            size=self.values.pool_size + self.values.max_overflow,
            checked_out=pool.checkedout(),
            idle=pool.checkedin(),
            waiting=self._permits.waiting + (self._writers.waiting if self._writers else 0),
            reused_checkouts=self._reused,
            fresh_checkouts=self._fresh,
            refused_checkouts=self._refused,
        )

    async def close(self) -> None:
        """Close every idle connection; those in use close when they are given back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[AsyncConnection]:
        async with self._permits.held():
            with self._translated():
                async with self._engine.connect() as connection:
                    await connection.execution_options(**{BEGIN_OPTION: begin})
                    await connection.begin()
                    yield connection

    def _writer(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._writers is None else self._writers.held()

    def _translated(self, *, committing: bool = False) -> AbstractContextManager[None]:
        return translated(statement_timeout_s=self.values.statement_timeout_s, committing=committing)

    def _on_refused(self) -> None:
        self._refused += 1
        if self._listener is not None:
            self._listener.refused()

    def _on_connect(self, _dbapi_connection: Any, record: Any) -> None:
        record.info[_FRESH] = True

    def _on_checkout(self, _dbapi_connection: Any, record: Any, _fairy: Any) -> None:
        reused = not record.info.pop(_FRESH, False)
        if reused:
            self._reused += 1
        else:
            self._fresh += 1
        if self._listener is not None:
            self._listener.checked_out(reused=reused)
