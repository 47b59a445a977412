"""A pool on a fresh, migrated database of either kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from advanced_rag.adapters.sql.db_pool import DbPool, PoolListener
from advanced_rag.adapters.sql.engine import EngineValues
from advanced_rag.adapters.sql.migrate import migrate

VALUES = EngineValues(
    url="",
    pool_size=10,
    max_overflow=0,
    pool_timeout_s=10.0,
    pool_recycle_s=1_800.0,
    pre_ping=True,
    statement_timeout_s=10.0,
    prepared_statements=False,
    application_name="tests",
)


@asynccontextmanager
async def opened_pool(url: str, listener: PoolListener | None = None, **values: Any) -> AsyncIterator[DbPool]:
    """A pool that is closed afterwards."""
    pool = DbPool(replace(VALUES, url=url, **values), listener)
    try:
        yield pool
    finally:
        await pool.close()


async def migrated_sqlite(folder: Path) -> str:
    """URL of a new SQLite file with all tables."""
    url = f"sqlite+aiosqlite:///{folder / 'test.sqlite3'}"
    await migrate(url)
    return url
