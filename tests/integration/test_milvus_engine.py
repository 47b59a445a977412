"""The embedded engine: whatever dies, one engine runs on the data, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
import uvloop

from advanced_rag.adapters.milvus.client import ONE_ATTEMPT, MilvusConnection
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.adapters.milvus.engine_child import EngineChild
from advanced_rag.adapters.milvus.engine_limits import EngineLimits
from advanced_rag.adapters.milvus.engine_locks import ChildLock
from advanced_rag.adapters.milvus.engine_place import EnginePlace, find_engine
from advanced_rag.adapters.milvus.engine_probe import EngineProbe
from advanced_rag.exceptions import DependencyError
from tests.servers.milvus import ScriptedMilvus
from tests.servers.processes import is_running, wait_until

_ROOT: Final = Path(__file__).resolve().parents[2]
_QUICK: Final = EngineLimits(
    probe_interval_s=0.05, probe_timeout_s=0.3, silent_s=1.0, lock_poll_s=0.05, warm_retry_s=0.05, eviction_s=0.3
)
_PARENT: Final = """
import asyncio, sys
from pathlib import Path
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.adapters.milvus.engine_limits import EngineLimits

async def main():
    engine = EmbeddedMilvus(Path(sys.argv[1]), limits=EngineLimits(lock_poll_s=0.05))
    await engine.start()
    await engine.wait_ready()
    print(engine.status.pid or 0, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await engine.close()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def ready(engine: EmbeddedMilvus, *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        await engine.wait_ready()


async def restarted(engine: EmbeddedMilvus, fault: Callable[[int], object]) -> int:
    """Break the engine's process by `fault`; the process id of the one that serves afterwards."""
    await ready(engine)
    former = engine.status.pid
    assert former is not None
    fault(former)
    await until(lambda: engine.status.ready and engine.status.pid not in (None, former))
    assert not is_running(former)
    return engine.status.pid or 0


async def serves(engine: EmbeddedMilvus) -> bool:
    connection = MilvusConnection(engine.uri, embedded=True)
    try:
        client = (await connection.open()).client
        return bool(await client.list_collections(**ONE_ATTEMPT) is not None)
    except DependencyError:
        return False
    finally:
        await connection.close()


Engines = Callable[..., Awaitable[EmbeddedMilvus]]
Parents = Callable[[], Awaitable[tuple[subprocess.Popen[str], int]]]


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parents]:
    """Starts a process of its own that runs the engine, and tells the engine's process id (0 where it only follows)."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        processes.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield lambda: asyncio.to_thread(start)
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Engines]:
    """Starts engines on `tmp_path`; closed at the end."""
    engines: list[EmbeddedMilvus] = []

    async def start(
        on_started: Callable[[], Awaitable[None]] | None = None, limits: EngineLimits = _QUICK
    ) -> EmbeddedMilvus:
        engine = EmbeddedMilvus(tmp_path, limits=limits)
        engines.append(engine)
        await engine.start(on_started)
        return engine

    yield start
    for engine in engines:
        await engine.close()


@pytest.fixture
def place(tmp_path: Path) -> EnginePlace:
    return EnginePlace.below(tmp_path)


@pytest.mark.req("R5.5")
class TestOneProcess:
    async def test_it_serves_once_started_and_leaves_nothing_when_closed(
        self, started: Engines, place: EnginePlace
    ) -> None:
        engine = await started()
        await ready(engine)
        status = engine.status
        assert status.owner
        assert status.pid is not None
        assert await serves(engine)
        assert place.socket.parent.stat().st_mode & 0o777 == 0o700
        assert os.getsid(status.pid) == status.pid  # Ctrl-C at the service's terminal does not reach it
        assert {path.name for path in place.folder.iterdir()} == {
            *("engine.db", "engine.log", "owner.lock", "child.lock", "run")
        }
        assert not list(Path(tempfile.gettempdir()).glob(f"*.{status.pid}"))  # where its logger would write
        await engine.close()
        await engine.close()
        assert not is_running(status.pid)
        assert not place.socket.exists()
        assert not engine.status.ready

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    async def test_an_engine_that_dies_is_started_again(self, started: Engines, number: signal.Signals) -> None:
        engine = await started()
        for _ in range(2):
            await restarted(engine, lambda pid: os.kill(pid, number))
            assert await serves(engine)
        assert engine.status.starts == 3

    async def test_an_engine_that_hangs_is_killed_and_started_again(self, started: Engines) -> None:
        engine = await started()
        await restarted(engine, lambda pid: os.kill(pid, signal.SIGSTOP))
        assert await serves(engine)

    async def test_an_engine_that_does_not_end_when_asked_is_killed(self, started: Engines) -> None:
        engine = await started(limits=EngineLimits(term_s=0.2))
        await ready(engine)
        pid = engine.status.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it will not see the SIGTERM
        await engine.close()
        assert not is_running(pid)

    async def test_it_is_ready_only_after_every_start_was_followed_up(self, started: Engines) -> None:
        calls = 0

        async def on_started() -> None:
            nonlocal calls
            calls += 1
            assert not engine.status.ready
            if calls == 1:
                raise DependencyError("database")

        engine = await started(on_started)
        await ready(engine)
        assert calls == 2
        await restarted(engine, lambda pid: os.kill(pid, signal.SIGKILL))
        assert calls == 3

    async def test_too_many_ends_bring_a_pause_and_a_critical_line(
        self, started: Engines, caplog: pytest.LogCaptureFixture
    ) -> None:
        limits = EngineLimits(
            probe_interval_s=0.05, first_backoff_s=0.01, max_backoff_s=0.01, restarts_before_pause=2, pause_s=0.5
        )
        engine = await started(limits=limits)
        for _ in range(3):
            await restarted(engine, lambda pid: os.kill(pid, signal.SIGKILL))
        assert [record.levelname for record in caplog.records if "0.5 s" in record.message] == ["CRITICAL"]

    async def test_two_instances_in_one_process_share_one_engine(self, started: Engines) -> None:
        first = await started()
        await ready(first)
        pid = first.status.pid
        second = await started()
        await ready(second)
        assert not second.status.owner
        assert pid is not None
        await asyncio.sleep(0.2)  # several polls of the lock: none of them may drop the first one's
        assert is_running(pid)
        await first.close()
        await until(lambda: second.status.owner and second.status.ready)
        assert await serves(second)

    async def test_the_log_is_kept_short(self, started: Engines, place: EnginePlace) -> None:
        place.folder.mkdir(parents=True)
        place.log.write_bytes(b"x" * 10_000)
        engine = await started(limits=EngineLimits(probe_interval_s=0.02, max_log_bytes=5_000))
        await ready(engine)
        await until(lambda: place.log.stat().st_size == 0)

    async def test_a_close_while_it_starts_leaves_nothing(self, started: Engines, place: EnginePlace) -> None:
        for delay_s in (0.0, 0.005, 0.02):
            engine = await started()
            await asyncio.sleep(delay_s)
            await engine.close()
            pid = ChildLock(place.child_lock).read_pid()
            assert pid is None or not is_running(pid)
            free = ChildLock(place.child_lock).try_take()
            assert free is not None
            os.close(free)

    async def test_a_former_engine_that_hangs_is_killed_before_a_new_one_starts(
        self, started: Engines, place: EnginePlace
    ) -> None:
        place.make_folders()
        former = await EngineChild.spawned(find_engine(), place)
        assert former is not None
        os.kill(former.pid, signal.SIGSTOP)
        engine = await started()
        await ready(engine)
        assert await former.wait() == -signal.SIGKILL
        assert await serves(engine)


@pytest.mark.req("R5.5")
class TestSeveralProcesses:
    async def test_the_engine_dies_with_its_owner_killed(self, parent: Parents) -> None:
        process, pid = await parent()
        assert is_running(pid)
        process.kill()
        process.wait()
        wait_until(lambda: not is_running(pid), within_s=2.0, what="the engine's end")

    async def test_the_next_process_takes_over_when_the_owner_is_killed(
        self, started: Engines, parent: Parents
    ) -> None:
        process, pid = await parent()
        engine = await started()
        await ready(engine)
        assert not engine.status.owner
        assert await serves(engine)
        process.kill()
        process.wait()
        async with asyncio.timeout(5.0):  # what callers may be without it (R5.5)
            await until(lambda: engine.status.owner and engine.status.ready)
        assert not is_running(pid)
        assert await serves(engine)

    async def test_the_next_process_takes_over_when_the_owner_closes(
        self, started: Engines, parent: Parents, place: EnginePlace
    ) -> None:
        first = await started()
        await ready(first)
        former = first.status.pid
        process, follows = await parent()
        assert follows == 0
        await first.close()
        await until(lambda: ChildLock(place.child_lock).read_pid() not in (None, former))
        second = await started()
        await ready(second)
        assert not second.status.owner
        assert await serves(second)
        await asyncio.to_thread(process.communicate, "end\n", 20)
        await until(lambda: second.status.owner and second.status.ready)

    async def test_a_follower_is_ready_again_after_the_owner_restarted_the_engine(
        self, started: Engines, parent: Parents
    ) -> None:
        _, pid = await parent()
        calls = 0

        async def on_started() -> None:
            nonlocal calls
            calls += 1

        engine = await started(on_started)
        await ready(engine)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: calls == 2 and engine.status.ready)
        assert not engine.status.owner


class TestProbe:
    async def test_an_engine_that_is_busy_with_one_call_is_not_lost_but_stalled_in_the_end(self) -> None:
        async with ScriptedMilvus() as milvus:
            uri = milvus.uri.removeprefix("http://")
            async with EngineProbe(uri, timeout_s=1.0) as probe:
                await probe.answered()
                assert await probe.works(1.0)
                milvus.before["ShowCollections"] = [asyncio.Event().wait]
                lost = asyncio.create_task(probe.lost(after_s=0.05, interval_s=0.01))
                async with asyncio.timeout(5.0):
                    await probe.stalled(after_s=0.2, interval_s=0.01)
                assert not lost.done()
                lost.cancel()

    async def test_an_engine_that_is_gone_is_lost_and_not_stalled(self) -> None:
        async with EngineProbe("127.0.0.1:1", timeout_s=1.0) as probe:
            assert not await probe.answers()
            stalled = asyncio.create_task(probe.stalled(after_s=0.05, interval_s=0.01))
            async with asyncio.timeout(5.0):
                await probe.lost(after_s=0.2, interval_s=0.01)
            assert not stalled.done()
            stalled.cancel()


class TestPlaces:
    @pytest.mark.parametrize("name", ["with space", "per%20cent", "hash#q?", "ünï 猫", "quote'\"$(x)"])
    async def test_the_data_folder_may_have_any_name(self, tmp_path: Path, name: str) -> None:
        engine = EmbeddedMilvus(tmp_path / name, limits=_QUICK)
        await engine.start()
        try:
            await ready(engine)
            assert await serves(engine)
        finally:
            await engine.close()

    async def test_a_deep_data_folder_gets_a_socket_elsewhere(self, tmp_path: Path) -> None:
        deep = tmp_path / ("x" * 100)
        with TemporaryDirectory(prefix="s") as short:  # tmp_path itself may be too long for a socket
            engine = EmbeddedMilvus(deep, limits=_QUICK, temp_dir=Path(short))
            assert engine.uri == EmbeddedMilvus(deep, temp_dir=Path(short)).uri
            await engine.start()
            try:
                await ready(engine)
                assert await serves(engine)
            finally:
                await engine.close()


def test_all_of_it_runs_on_uvloop(tmp_path: Path) -> None:
    async def main() -> None:
        engine = EmbeddedMilvus(tmp_path, limits=_QUICK)
        await engine.start()
        try:
            await restarted(engine, lambda pid: os.kill(pid, signal.SIGKILL))
            assert await serves(engine)
        finally:
            await engine.close()

    uvloop.run(main())
