"""How alembic reaches the database: with the service's own settings, or on the URL that `migrate` hands over.

All that is pending is done in one transaction: a migration that fails leaves the version before it, whole. The
transaction begins with a lock, so that of several processes one migrates and the others find nothing left to do.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from alembic import context
from sqlalchemy import Connection, event, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from advanced_rag.adapters.sql.engine import engine_url
from advanced_rag.adapters.sql.tables import SCHEMA_VERSION_TABLE, metadata

# Any number that nothing else of this database locks. Of the transaction, not of the session: that also works behind a
# pooler that hands out server connections by transaction.
_ADVISORY_LOCK: Final = 7_242_176_230_114


def _url() -> str:
    given: str | None = context.config.attributes.get("url")
    if given is not None:
        return given
    # Here, because who hands a URL over may be a tool that has no valid settings, and needs none.
    from advanced_rag.config import load_settings  # noqa: PLC0415

    return load_settings().database_url


def _options() -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        "version_table": SCHEMA_VERSION_TABLE,
        "transactional_ddl": True,
        "compare_type": True,
        "compare_server_default": True,
    }


def _migrate(connection: Connection) -> None:
    on_sqlite = connection.dialect.name == "sqlite"
    if not on_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_ADVISORY_LOCK))
    # SQLite cannot alter most of a table: alembic copies it, which is what batch mode is.
    context.configure(connection=connection, render_as_batch=on_sqlite, **_options())
    context.run_migrations()


async def _online() -> None:
    url = engine_url(_url())
    arguments = {"statement_cache_size": 0, "prepared_statement_cache_size": 0} if "asyncpg" in url.drivername else {}
    engine = create_async_engine(url, poolclass=pool.NullPool, connect_args=arguments)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # Foreign keys stay off, as they are by default: a table that is copied is dropped for a moment.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 60000")
    # Here, before anything is locked: a database that is in use by a writer cannot be switched, and nobody waits.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _offline() -> None:
    """`alembic upgrade head --sql`: print the statements for somebody else to run."""
    context.configure(url=engine_url(_url()), literal_binds=True, **_options())
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _offline()
else:
    asyncio.run(_online())
