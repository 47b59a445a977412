"""Notes that go with somebody else's transaction."""

from __future__ import annotations

from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.idempotency_store import keep_answer
from advanced_rag.adapters.sql.job_store import record_progress
from advanced_rag.ports.commits import CommitNote, JobNote, KeptAnswer


async def write_note(connection: AsyncConnection, note: CommitNote) -> None:
    """Write it; the transaction is the caller's. Raises LeaseLost."""
    match note:
        case KeptAnswer():
            await keep_answer(connection, note)
        case JobNote():
            await record_progress(connection, note)
        case _:
            assert_never(note)
