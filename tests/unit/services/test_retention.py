"""Old conversations go in batches, and a database that is gone only delays that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import DependencyUnavailable
from advanced_rag.services.retention import RetentionService
from tests.fakes.conversation_store import FakeConversationStore
from tests.fakes.virtual_time import run_virtually

ACME = Tenant("acme")
INTERVAL_S = 600.0
Clock = Callable[[], float]


class Counting:
    """A retention that remembers when it was asked, and fails as often as it is told to."""

    def __init__(self, store: FakeConversationStore, clock: Clock, *, failures: int = 0) -> None:
        self.store = store
        self.clock = clock
        self.failures = failures
        self.asked_at: list[float] = []

    async def expire(self, *, retention_days: int, limit: int) -> int:
        self.asked_at.append(self.clock())
        if self.failures:
            self.failures -= 1
            raise DependencyUnavailable("database")
        return await self.store.expire(retention_days=retention_days, limit=limit)


async def filled(old: int) -> FakeConversationStore:
    store = FakeConversationStore()
    await store.create(ACME, title="new")
    for _ in range(old):
        session = await store.create(ACME)
        store.set_last_activity(ACME, session.id, datetime.now(UTC) - timedelta(days=31))
    return store


async def swept(retention: Counting, *, seconds: float) -> None:
    running = asyncio.create_task(RetentionService(retention, 30, batch=2, interval_s=INTERVAL_S).run())
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_old_sessions_go_batch_after_batch_and_then_it_waits() -> None:
    async def main(clock: Clock) -> None:
        retention = Counting(await filled(old=5), clock)
        began = clock()
        await swept(retention, seconds=INTERVAL_S + 1)
        assert [session.title for session in (await retention.store.sessions(ACME, limit=10)).items] == ["new"]
        assert [moment - began for moment in retention.asked_at] == [0.0, 0.0, 0.0, INTERVAL_S]

    run_virtually(main)


def test_a_database_that_is_gone_is_asked_again_later() -> None:
    async def main(clock: Clock) -> None:
        retention = Counting(await filled(old=1), clock, failures=1)
        await swept(retention, seconds=INTERVAL_S + 1)
        assert len((await retention.store.sessions(ACME, limit=10)).items) == 1
        assert len(retention.asked_at) == 2

    run_virtually(main)
