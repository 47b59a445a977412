"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy keeps in their dialects."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Upsert = postgresql.Insert | sqlite.Insert


def upsert(connection: AsyncConnection, table: Table) -> Upsert:
    """An INSERT of the connection's own dialect, with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
