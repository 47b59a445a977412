"""The embedded engine under supervision: of all processes on one data folder one owns it, the others only connect.

The owner starts the engine, starts it again when it dies or hangs, and ends it. When the owner goes, however it goes,
its lock falls to another process, which starts the engine anew (reliability R5.5).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from advanced_rag.adapters.milvus.engine_child import EngineChild, bound_log, kill_former
from advanced_rag.adapters.milvus.engine_limits import EngineLimits, RestartPolicy
from advanced_rag.adapters.milvus.engine_locks import OwnerLock
from advanced_rag.adapters.milvus.engine_place import EnginePlace, find_engine
from advanced_rag.adapters.milvus.engine_probe import EngineProbe
from advanced_rag.telemetry.fault_log import FaultLog

_LOGGER: Final = logging.getLogger(__name__)
_LET_GO_S: Final = 0.05  # an engine ends within 0.03 s of its owner's lock being free

OnStarted = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How it stands. `pid` only where this process owns the engine and it runs."""

    owner: bool
    ready: bool
    starts: int
    pid: int | None


class EmbeddedMilvus:
    """The engine below a data folder, for one event loop. `uri` is known before anything is started."""

    def __init__(
        self,
        data_dir: Path,
        *,
        limits: EngineLimits | None = None,
        program: Path | None = None,
        temp_dir: Path | None = None,
    ) -> None:
        self._place = EnginePlace.below(data_dir, temp_dir=temp_dir)
        self._limits = limits or EngineLimits()
        self._program = program
        self._lock = OwnerLock(self._place.owner_lock)
        self._faults = FaultLog(_LOGGER)
        self._ready = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._on_started: OnStarted = _nothing
        self._child: EngineChild | None = None
        self._starts = 0

    @property
    def uri(self) -> str:
        """What a client connects to."""
        return self._place.uri

    @property
    def status(self) -> EngineStatus:
        """As of now; asks nobody."""
        return EngineStatus(
            owner=self._lock.held,
            ready=self._ready.is_set(),
            starts=self._starts,
            pid=self._child.pid if self._child is not None else None,
        )

    async def start(self, on_started: OnStarted | None = None) -> None:
        """Begin to supervise or to follow, and return at once; `wait_ready` waits.

        Args:
            on_started: awaited after every (re)start of the engine, by whichever process it was started, and repeated
                until it succeeds; only then is the engine ready. Loads the collections and searches each once.

        Raises:
            MilvusConnectionError: there is no engine for this platform.
            OSError: the folder cannot be made, or is not private.
        """
        if self._supervisor is not None:
            return
        program = self._program or find_engine()
        self._place.make_folders()
        self._on_started = on_started or _nothing
        self._supervisor = asyncio.create_task(self._supervise(program), name="milvus-engine")

    async def wait_ready(self) -> None:
        """Until the engine answers and `on_started` has succeeded. Has no limit of its own."""
        await self._ready.wait()

    async def close(self) -> None:
        """Stop supervising; an engine of our own is ended, its socket removed and the lock given up. Repeatable."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        await _ended(supervisor)

    async def _supervise(self, program: Path) -> None:
        try:
            while True:
                try:
                    if not self._lock.try_acquire():
                        await self._follow()
                    await self._own(program)
                except Exception:
                    # A full disk, no process left, or a defect of ours: none of them may end the supervision.
                    _LOGGER.exception("supervising the embedded Milvus failed; trying again")
                    await asyncio.sleep(self._limits.max_backoff_s)
        finally:
            self._lock.release()

    async def _follow(self) -> None:
        """Use the engine of another owner; returns when that one has gone and the lock is ours."""
        attending = asyncio.create_task(self._attend())
        try:
            while True:
                await asyncio.sleep(self._limits.lock_poll_s)
                if self._lock.try_acquire():
                    break
        finally:
            self._ready.clear()  # before anything is awaited: nobody may see an owner that seems ready
            await _ended(attending)
            self._ready.clear()
        _LOGGER.info("the owner of the embedded Milvus has gone; this process takes over")

    async def _attend(self) -> None:
        async with EngineProbe(self.uri, timeout_s=self._limits.probe_timeout_s) as probe:
            while True:
                await self._warm(probe)
                await probe.lost(after_s=0.0, interval_s=self._limits.probe_interval_s)
                self._ready.clear()

    async def _own(self, program: Path) -> None:
        """Keep one engine running; returns when the lock has gone to somebody else."""
        policy = RestartPolicy(self._limits)
        try:
            while (child := await self._spawned(program)) is not None:
                why = await self._serve(child)
                delay_s, paused = policy.ended()
                level = logging.CRITICAL if paused else logging.WARNING
                _LOGGER.log(level, "the embedded Milvus %s; starting it again in %.1f s", why, delay_s)
                await asyncio.sleep(delay_s)
        finally:
            if self._lock.held:  # else the socket is the next owner's
                self._place.socket.unlink(missing_ok=True)
                self._lock.release()

    async def _spawned(self, program: Path) -> EngineChild | None:
        """A new engine, once no former one is left on the database; None when the lock has gone to somebody else.

        A former engine waits for the owner lock in order to end: it is let through. One that hangs is killed.
        """
        evict_at = time.monotonic() + self._limits.eviction_s
        while (child := await EngineChild.spawned(program, self._place)) is None:
            self._lock.release()
            await asyncio.sleep(_LET_GO_S)
            if not self._lock.try_acquire():
                return None
            if time.monotonic() >= evict_at:
                killed = kill_former(self._place)
                self._faults.report("milvus", f"a former engine has not ended by itself; killed: {killed}")
        self._starts += 1
        return child

    async def _serve(self, child: EngineChild) -> str:
        """Watch over an engine until it has died or was killed for hanging; says which."""
        limits = self._limits
        self._child = child
        async with EngineProbe(self.uri, timeout_s=limits.probe_timeout_s) as probe:
            died = asyncio.create_task(child.wait())
            lost = asyncio.create_task(probe.lost(after_s=limits.silent_s, interval_s=limits.probe_interval_s))
            stalled = asyncio.create_task(probe.stalled(after_s=limits.stalled_s, interval_s=limits.probe_interval_s))
            others = [asyncio.create_task(self._warm(probe)), asyncio.create_task(self._keep_log_bounded())]
            try:
                await asyncio.wait({died, lost, stalled}, return_when=asyncio.FIRST_COMPLETED)
                if died.done():
                    return f"ended with status {died.result()}"
                await child.kill()
                return f"did not answer for {limits.silent_s if lost.done() else limits.stalled_s:g} s and was killed"
            finally:
                self._ready.clear()
                self._child = None
                await _ended(died, lost, stalled, *others)
                await child.end(term_s=limits.term_s)

    async def _warm(self, probe: EngineProbe) -> None:
        """Wait for the first answer, then have the caller make it ready, again and again until that succeeds."""
        await probe.answered()
        while True:
            try:
                await self._on_started()
            except Exception as error:  # noqa: BLE001 - the caller's, whatever it is: not ready until it succeeds
                self._faults.report("milvus", f"not ready after its start: {error!r:.300}")
                await asyncio.sleep(self._limits.warm_retry_s)
            else:
                self._ready.set()
                return

    async def _keep_log_bounded(self) -> None:
        while True:
            bound_log(self._place, self._limits.max_log_bytes)
            await asyncio.sleep(self._limits.probe_interval_s)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    """No collection has to be loaded."""
