"""Finished jobs and kept answers are forgotten when their time is over, and not before."""

from __future__ import annotations

import pytest

from advanced_rag.exceptions import DependencyUnavailable
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest
from advanced_rag.services.expiry import ExpiryService
from tests.fakes.clock import FakeClock
from tests.fakes.idempotency_store import FakeIdempotencyStore
from tests.fakes.job_store import FakeJobStore
from tests.fakes.services import ACME

DAY_S = 86_400.0


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs, self.keys = FakeJobStore(clock=self.clock), FakeIdempotencyStore(clock=self.clock)
        self.expiry = ExpiryService(
            self.jobs, self.keys, keep_jobs_s=7 * DAY_S, keep_keys_s=DAY_S, batch=10, interval_s=1.0
        )


@pytest.mark.req("R6.5")
async def test_each_is_kept_for_its_own_time() -> None:
    rig = Rig()
    for name in ("cancelled", "waiting"):
        await rig.jobs.enqueue(ACME, name, documents="[]", total=0)
    await rig.jobs.cancel(ACME, "cancelled")
    claim = await rig.keys.claim(KeyedRequest(ACME, "/v1/ingest", "k", "f"), lease_s=60.0, keep_s=DAY_S)
    assert isinstance(claim, KeyClaim)
    await rig.keys.finish(claim.kept(200, {}, ""))
    rig.clock.advance(DAY_S - 1)
    assert await rig.expiry.sweep_once() == 0
    rig.clock.advance(2.0)
    assert await rig.expiry.sweep_once() == 1
    assert not rig.keys.rows
    rig.clock.advance(6 * DAY_S)
    assert await rig.expiry.sweep_once() == 1
    assert [name for _, name in rig.jobs.rows] == ["waiting"]


async def test_nothing_is_forgotten_while_the_database_is_away() -> None:
    rig = Rig()
    rig.jobs.error = DependencyUnavailable("database")
    with pytest.raises(DependencyUnavailable):
        await rig.expiry.sweep_once()
