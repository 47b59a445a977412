"""Column types and expressions that mean the same on Postgres and SQLite.

The database's own clock decides about leases and graces (reliability R6.8): no statement is given a time by us.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    Row,
    String,
    Text,
    TypeDecorator,
    bindparam,
    func,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

AnyRow = Row[*tuple[Any, ...]]

# Ids are compared byte by byte on both, so that pages come in the same order everywhere and no upgrade of a system's
# collation rules can break an index.
Identifier: Final = String().with_variant(String(collation="C"), "postgresql")


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. Postgres: timestamptz. SQLite: whole microseconds since 1970, which sort and subtract."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How this dialect stores it."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """From Python."""
        if value is None or dialect.name != "sqlite":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """To Python."""
        if value is None:
            return None
        moment: datetime = _EPOCH + timedelta(microseconds=value) if dialect.name == "sqlite" else value
        return moment.astimezone(UTC)


class _TextList(TypeDecorator[Sequence[str]]):
    """Many strings as one parameter: a statement keeps its text, and no driver's limit of parameters is met."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(String()))

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return json.dumps(value, ensure_ascii=False)


class _IsAmong(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002  # the signature is SQLAlchemy's
        """A condition already. SQLite would be given `(…) = 1`, for which it uses no index."""
        return self


class _MomentAfter(FunctionElement[datetime]):
    type = Instant()
    inherit_cache = True


def among(column: ColumnElement[str], values: Iterable[str] | str) -> ColumnElement[bool]:
    """`column` is one of `values`, of which there may be any number; a plain string is the name of that parameter."""
    if isinstance(values, str):
        return _IsAmong(column, bindparam(values, type_=_TextList()))
    return _IsAmong(column, bindparam(None, list(values), type_=_TextList(), unique=True))


def seconds_from_now(seconds: float | str) -> ColumnElement[datetime]:
    """The database's own clock at the start of the statement, so many seconds later (negative: earlier).

    A string is the name of that parameter.
    """
    if isinstance(seconds, str):
        return _MomentAfter(bindparam(seconds, type_=Float(53)))
    return _MomentAfter(bindparam(None, seconds, type_=Float(53), unique=True))


def database_now() -> ColumnElement[datetime]:
    """The database's own clock at the start of the statement."""
    return seconds_from_now(0.0)


@compiles(_IsAmong, "postgresql")
def _among_on_postgres(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(values, **options)})"


@compiles(_IsAmong, "sqlite")
def _among_on_sqlite(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    listed = func.json_each(values).table_valued("value")
    return compiler.process(column.in_(select(listed.c.value)), **options)


@compiles(_MomentAfter, "postgresql")
def _moment_on_postgres(element: _MomentAfter, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(): that is the start of the transaction and stands still while it waits for a lock. Not clock_timestamp():
    # that is volatile, so that no index could be searched by it.
    (offset,) = element.clauses
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(offset, **options)}))"


@compiles(_MomentAfter, "sqlite")
def _moment_on_sqlite(element: _MomentAfter, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's clock counts milliseconds; unixepoch('subsec') would need 3.42.
    (offset,) = element.clauses
    seconds = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
    milliseconds = "CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000"
    return f"({seconds} + {milliseconds} + CAST({compiler.process(offset, **options)} * 1000000 AS INTEGER))"
