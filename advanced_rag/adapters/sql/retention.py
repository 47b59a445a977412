"""Forgetting conversations that have been silent for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, tuple_

from advanced_rag.adapters.sql.column_types import seconds_from_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.tables import sessions
from advanced_rag.constants import SECONDS_PER_DAY

_s = sessions.c


@dataclass(frozen=True, slots=True)
class SqlRetention:
    """`ports.conversations.Retention`."""

    pool: DbPool

    async def expire(self, *, retention_days: int, limit: int) -> int:
        """Delete up to `limit` sessions without activity for that long; with 0 days nothing is ever too old."""
        if retention_days < 1:
            return 0
        async with self.pool.write() as connection:
            gone = await connection.execute(expiry(retention_days=retention_days, limit=limit))
        return gone.rowcount


def expiry(*, retention_days: int, limit: int) -> Any:
    """The longest silent sessions of all tenants; one that just becomes active is passed over."""
    silent = (
        select(_s.tenant, _s.id)
        .where(_s.updated_at < seconds_from_now(-retention_days * float(SECONDS_PER_DAY)))
        .order_by(_s.updated_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return delete(sessions).where(tuple_(_s.tenant, _s.id).in_(silent))
