"""Health is what the prober last saw; readiness fails only when this process cannot serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from advanced_rag.exceptions import MilvusConnectionError
from advanced_rag.services.health import ComponentState, HealthService, HealthValues, Probe
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run_virtually

VALUES = HealthValues(interval_s=5, failing_interval_s=2, timeout_s=0.05, unavailable_after_s=10)


class Dependency:
    """One that answers, fails or hangs, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: str | None = None
        self.told_healthy = 0

    async def check(self) -> None:
        self.asked += 1
        if self.fault == "gone":
            raise MilvusConnectionError("milvus")
        if self.fault == "hangs":
            await asyncio.Event().wait()

    def healthy(self) -> None:
        self.told_healthy += 1


def service(clock: FakeClock, milvus: Dependency, database: Dependency, breaker: str = "closed") -> HealthService:
    return HealthService(
        probes=(
            Probe("milvus", milvus.check, required=True, breaker=lambda: breaker, healthy=milvus.healthy),
            Probe("database", database.check),
        ),
        values=VALUES,
        version="1",
        features={"enable_cache": True},
        clock=clock,
    )


async def look_at_all(health: HealthService) -> None:
    for probe in health.probes:
        await health.look(probe)


async def test_all_well_is_ok_and_ready() -> None:
    health = service(FakeClock(), Dependency(), Dependency())
    await look_at_all(health)
    report = health.report()
    assert (report.status, report.serving) == ("ok", True)
    assert health.readiness().status == "ready"


@pytest.mark.req("R5.6")
@pytest.mark.parametrize("fault", ["gone", "hangs"])
async def test_readiness_survives_the_database_but_not_milvus_gone_for_ten_seconds(fault: str) -> None:
    clock, milvus, database = FakeClock(), Dependency(), Dependency()
    health = service(clock, milvus, database)
    await look_at_all(health)
    database.fault = fault
    await look_at_all(health)
    clock.advance(60)
    assert (health.readiness().ready, health.readiness().status) == (True, "degraded")
    await look_at_all(health)
    milvus.fault = fault
    clock.advance(5)
    await look_at_all(health)
    assert health.readiness().ready
    clock.advance(6)
    await look_at_all(health)
    assert not health.readiness().ready
    assert health.report().status == "unavailable"
    milvus.fault = database.fault = None
    await look_at_all(health)
    assert health.readiness().status == "ready"


@pytest.mark.req("R5.7")
async def test_reading_health_asks_no_dependency() -> None:
    milvus, database = Dependency(), Dependency()
    health = service(FakeClock(), milvus, database)
    await look_at_all(health)
    for _ in range(1_000):
        health.report()
        health.readiness()
    assert (milvus.asked, database.asked) == (1, 1)


@pytest.mark.req("R1.8")
async def test_a_good_look_hints_the_breaker_and_a_bad_one_does_not() -> None:
    milvus = Dependency()
    health = service(FakeClock(), milvus, Dependency())
    await look_at_all(health)
    milvus.fault = "gone"
    await look_at_all(health)
    assert milvus.told_healthy == 1


@pytest.mark.req("R1.8")
def test_a_breaker_that_opens_between_two_looks_brings_the_next_one_forward() -> None:
    async def main(clock: Callable[[], float]) -> None:
        milvus, state = Dependency(), ["closed"]
        health = HealthService(
            probes=(Probe("milvus", milvus.check, breaker=lambda: state[0], healthy=milvus.healthy),),
            values=VALUES,
            version="1",
            features={},
            clock=clock,
        )
        running = asyncio.create_task(health.run())
        await asyncio.sleep(4.9)
        assert milvus.asked == 1
        await asyncio.sleep(0.2)
        assert milvus.asked == 2
        state[0] = "open"
        await asyncio.sleep(2.0)
        assert milvus.asked == 3
        assert milvus.told_healthy == 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(main)


async def test_an_open_breaker_degrades_a_component_that_answers() -> None:
    health = service(FakeClock(), Dependency(), Dependency(), breaker="open")
    await look_at_all(health)
    assert health.report().components[0].state is ComponentState.DEGRADED
    assert health.report().status == "degraded"


async def test_draining_is_not_ready() -> None:
    health = service(FakeClock(), Dependency(), Dependency())
    health.draining = True
    assert (health.readiness().ready, health.readiness().status) == (False, "draining")


async def test_alive_while_the_loop_ticks() -> None:
    clock = FakeClock()
    health = service(clock, Dependency(), Dependency())
    running = asyncio.create_task(health.run())
    await asyncio.sleep(0)
    assert health.alive()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    clock.advance(31)
    assert not health.alive()
