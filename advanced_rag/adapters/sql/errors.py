"""What a driver raises, in our words (reliability R3.7).

`transient` is said of the whole transaction: it may be run again from its start. A connection lost during COMMIT is
never transient: the transaction may have taken effect, and only its own store can find out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from advanced_rag.exceptions import (
    Conflict,
    DependencyTimeout,
    DependencyUnavailable,
    InsufficientStorage,
    PoolExhausted,
    RAGException,
    SchemaMismatch,
    ValidationError,
)

DEPENDENCY: Final = "database"
_STORAGE_RETRY_AFTER_S: Final = 60.0

# SQLSTATE, PostgreSQL appendix A. A class is the first two characters.
_QUERY_CANCELED: Final = "57014"
_DISK_FULL: Final = "53100"
READ_ONLY: Final = "25006"  # a standby after a failover
_WRONG_SCHEMA: Final = frozenset({"42P01", "42703", "3F000"})
_TRANSIENT_CODES: Final = frozenset({"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03", READ_ONLY, "25P03"})
_CONNECTION_CLASS: Final = "08"
_ENDING_CLASS: Final = "57"
_INTEGRITY_CLASS: Final = "23"
_DATA_CLASS: Final = "22"
# Syntax errors and missing rights are bugs or misconfiguration: no code of ours should turn a bug into an outage.
_OURS_CLASS: Final = "42"
_NO_RIGHTS: Final = "42501"

_SQLITE_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_SQLITE_NO_SCHEMA: Final = ("no such table", "no such column", "has no column named")


@contextmanager
def translated(*, statement_timeout_s: float, committing: bool = False) -> Iterator[None]:
    """Raises ours in place of a driver's. Cancellation, our own errors and bugs pass through as they are."""
    try:
        yield
    except RAGException:
        raise
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error) as error:
        ours = _of_driver(error, statement_timeout_s, committing=committing)
        if ours is None:
            raise
        raise ours from error
    except PoolTimeoutError as error:
        raise PoolExhausted("no database connection became free in time") from error
    except (OSError, DisconnectionError) as error:  # refused, reset, no answer: drivers raise these bare
        raise _lost(error, committing=committing) from error


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of a Postgres error, also where SQLAlchemy wraps it."""
    inner = error.orig if isinstance(error, DBAPIError) else error
    code: str | None = getattr(inner, "sqlstate", None)
    return code


def lacks_schema(error: DBAPIError) -> bool:
    """Whether the statement named a table or a column that the database does not have."""
    return isinstance(_of_driver(error, 0, committing=False), SchemaMismatch)


def _of_driver(error: Exception, statement_timeout_s: float, *, committing: bool) -> RAGException | None:
    inner = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(inner, sqlite3.Error):
        return _of_sqlite(inner)
    if isinstance(inner, OSError):
        return _lost(inner, committing=committing)
    code = sqlstate(error)
    if code is None:  # asyncpg's own complaints: the connection is closed, or in no state to be used
        return _lost(error, committing=committing)
    return _of_postgres(code, statement_timeout_s, committing=committing)


def _of_postgres(code: str, statement_timeout_s: float, *, committing: bool) -> RAGException | None:
    if code == _QUERY_CANCELED:
        timeout = DependencyTimeout(DEPENDENCY, limit_s=statement_timeout_s)
        timeout.transient = False  # slow once is slow again
        return timeout
    if code == _DISK_FULL:
        return _storage_full()
    if code in _WRONG_SCHEMA:
        return SchemaMismatch(DEPENDENCY, "the database lacks a table or a column of this version", transient=False)
    if code[:2] == _CONNECTION_CLASS or (committing and code[:2] == _ENDING_CLASS):
        return _lost(None, committing=committing)
    if code in _TRANSIENT_CODES:
        return DependencyUnavailable(DEPENDENCY, "the database cannot serve right now", transient=True)
    if code[:2] == _INTEGRITY_CLASS:
        return Conflict("the database refused a row that contradicts another")
    if code[:2] == _DATA_CLASS:
        return ValidationError.of("", "unstorable", "the database cannot hold a value of this request")
    if code[:2] == _OURS_CLASS and code != _NO_RIGHTS:
        return None
    return DependencyUnavailable(DEPENDENCY, "the database answered with an error", transient=False)


def _of_sqlite(error: sqlite3.Error) -> RAGException | None:
    name: str = getattr(error, "sqlite_errorname", "") or ""
    message = str(error)
    if name == "SQLITE_FULL":
        return _storage_full()
    if name.startswith(_SQLITE_BUSY):
        return DependencyUnavailable(DEPENDENCY, "the database file is locked", transient=True)
    if name.startswith("SQLITE_CONSTRAINT"):
        return Conflict("the database refused a row that contradicts another")
    if any(words in message for words in _SQLITE_NO_SCHEMA):
        return SchemaMismatch(DEPENDENCY, "the database lacks a table or a column of this version", transient=False)
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError):
        return ValidationError.of("", "unstorable", "the database cannot hold a value of this request")
    if name == "SQLITE_ERROR" or isinstance(error, sqlite3.ProgrammingError):
        return None
    return DependencyUnavailable(DEPENDENCY, "the database file cannot be used", transient=False)


def _lost(error: BaseException | None, *, committing: bool) -> DependencyUnavailable:
    if committing:
        return DependencyUnavailable(
            DEPENDENCY,
            "the connection was lost during COMMIT; whether it took effect is not known",
            transient=False,
        )
    # Who refuses may be there in a moment. Who lets a new connection wait until its limit does so again, and three
    # such waits are longer than most requests have.
    waited = isinstance(error, TimeoutError)
    return DependencyUnavailable(DEPENDENCY, "the database cannot be reached", transient=not waited)


def _storage_full() -> InsufficientStorage:
    return InsufficientStorage("the database's disk is full", retry_after_s=_STORAGE_RETRY_AFTER_S)
