"""How an engine is made for each of the two databases: connection settings, timeouts, when a transaction begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from advanced_rag.adapters.sql.errors import READ_ONLY, sqlstate
from advanced_rag.constants import MILLISECONDS_PER_SECOND

BEGIN_OPTION: Final = "begin_statement"  # execution option of a connection: how SQLite is to begin
BEGIN_READING: Final = "BEGIN"
BEGIN_WRITING: Final = "BEGIN IMMEDIATE"  # a read lock upgraded later could only fail, never wait

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[Any]  # generic in its stubs only
else:
    _Connection = asyncpg.Connection

_POSTGRES: Final = "postgresql+asyncpg"
_SQLITE: Final = "sqlite+aiosqlite"
_DRIVERS: Final = {
    "postgres": _POSTGRES,
    "postgresql": _POSTGRES,
    _POSTGRES: _POSTGRES,
    "sqlite": _SQLITE,
    _SQLITE: _SQLITE,
}
SQLITE_BUSY_TIMEOUT_S: Final = 5.0
_SQLITE_PRAGMAS: Final = (
    # First: the next one may have to wait.
    f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_S * MILLISECONDS_PER_SECOND:.0f}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL may lose the last commits at power loss (reliability R6.1)
    "PRAGMA foreign_keys = ON",
)
# A connection in steady use needs no ping: that its peer closed it is seen at once. One that lay idle may have been
# dropped by something in between without a word.
_PING_AFTER_IDLE_S: Final = 1.0
_IDLE_SINCE: Final = "idle_since"
# SQLAlchemy 2.1 gives a connection 2 s to close after a cancellation, and whoever was cancelled waits for it: with a
# server that hangs every deadline would be late by that. What is left suffices to have the server end the statement.
_MAX_CANCELLATION_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class EngineValues:
    """What is configured about connections. `prepared_statements` may be on only without a transaction-mode pooler."""

    url: str
    pool_size: int
    max_overflow: int
    pool_timeout_s: float
    pool_recycle_s: float
    pre_ping: bool
    statement_timeout_s: float
    prepared_statements: bool
    application_name: str


def engine_url(url: str) -> URL:
    """The URL with the asynchronous driver. Raises ValueError for a database that is none of the two."""
    parsed = make_url(url)
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError("the database URL must be postgresql+asyncpg://… or sqlite+aiosqlite:///FILE")
    if driver == _SQLITE and parsed.database in (None, "", ":memory:"):
        raise ValueError("the SQLite database must be a file: every connection would see another one in memory")
    if driver == _POSTGRES and "sslmode" in parsed.query:  # libpq's name; asyncpg takes the same words as `ssl`
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed.set(drivername=driver)


def make_engine(values: EngineValues) -> AsyncEngine:
    """An engine that opens nothing yet."""
    url = engine_url(values.url)
    on_postgres = url.drivername == _POSTGRES
    engine = create_async_engine(
        url,
        pool_size=values.pool_size,
        max_overflow=values.max_overflow,
        pool_timeout=values.pool_timeout_s,
        pool_recycle=values.pool_recycle_s,
        pool_use_lifo=True,  # the fewest connections do the work, the others age and are recycled
        connect_args=_postgres_arguments(values) if on_postgres else {},
    )
    if on_postgres:
        event.listen(engine.sync_engine, "checkout", _liveness_check(ping=values.pre_ping))
        event.listen(engine.sync_engine, "checkin", _note_idle)
        event.listen(engine.sync_engine, "handle_error", _drop_pool_after_failover)
    else:
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _postgres_arguments(values: EngineValues) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "timeout": values.pool_timeout_s,
        "server_settings": {"application_name": values.application_name},
        "connection_class": _bounded_connection(values.statement_timeout_s),
    }
    if not values.prepared_statements:  # then every statement is an unnamed one, which lives as long as its transaction
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return arguments


def _bounded_connection(statement_timeout_s: float) -> type[_Connection]:
    """A connection class whose transactions are bounded by the server itself.

    The limits travel with BEGIN, in one message. As start-up parameters PgBouncer would refuse them, and as a plain SET
    they would stay behind on a server connection that the next transaction of somebody else is given.
    """
    limit_ms = round(statement_timeout_s * MILLISECONDS_PER_SECOND)
    limits = f"SET LOCAL statement_timeout = {limit_ms}; SET LOCAL idle_in_transaction_session_timeout = {limit_ms};"

    class BoundedConnection(_Connection):
        async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
            bounded = f"{query} {limits}" if query.startswith("BEGIN") else query
            return await super().execute(bounded, *args, timeout=timeout)

        async def close(self, *, timeout: float | None = None) -> None:
            await super().close(timeout=None if timeout is None else min(timeout, _MAX_CANCELLATION_S))

    return BoundedConnection


def _liveness_check(*, ping: bool) -> Callable[[Any, Any, Any], None]:
    def check(dbapi_connection: Any, record: Any, _fairy: Any) -> None:
        if dbapi_connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed this connection")  # the pool opens another one
        idle_since = record.info.pop(_IDLE_SINCE, None)
        if not ping or idle_since is None or time.monotonic() - idle_since < _PING_AFTER_IDLE_S:
            return
        try:
            dbapi_connection.run_async(lambda connection: connection.execute("SELECT 1"))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DisconnectionError("the connection did not survive its rest") from error

    return check


def _note_idle(_dbapi_connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _drop_pool_after_failover(context: ExceptionContext) -> None:
    if sqlstate(context.original_exception) == READ_ONLY:  # we still talk to what used to be the primary
        context.is_disconnect = True


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    cursor = dbapi_connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, BEGIN_READING))
