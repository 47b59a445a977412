"""The embedded engine's process: started so that it cannot outlive its owner, ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final, Self

from advanced_rag.adapters.milvus.engine_locks import ChildLock
from advanced_rag.adapters.milvus.engine_place import EnginePlace

_LOG_LEVEL: Final = "ERROR"
_PROC: Final = Path("/proc")


class EngineChild:
    """A running engine of this process's own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def spawned(cls, program: Path, place: EnginePlace) -> Self | None:
        """A new engine on the place's database; None while a former one still runs there. The owner lock is held."""
        lock = ChildLock(place.child_lock)
        held = lock.try_take()
        if held is None:
            return None
        log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *(place.database, place.uri, _LOG_LEVEL, place.owner_lock),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place.folder,
                env=_environment(program.parent, place.folder),
                start_new_session=True,  # Ctrl-C reaches the service, which ends the engine in its own time
                pass_fds=(held,),
            )
        finally:
            os.close(log)
            os.close(held)  # the child has its own
        lock.write_pid(process.pid)
        return cls(process)

    async def wait(self) -> int:
        """Until it has ended; its exit status, negative for a signal."""
        return await self._process.wait()

    async def end(self, *, term_s: float) -> None:
        """SIGTERM, after `term_s` SIGKILL, reaped when this returns. Repeatable; a cancellation kills at once."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(term_s):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        finally:
            if self._process.returncode is None:
                self._process.kill()

    async def kill(self) -> None:
        """SIGKILL, reaped when this returns."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def kill_former(place: EnginePlace) -> int | None:
    """SIGKILL the engine that was noted last for this place, if it is one; its process id."""
    pid = ChildLock(place.child_lock).read_pid()
    if pid is None or not _is_engine(pid, place):
        return None
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return pid


def bound_log(place: EnginePlace, max_bytes: int) -> None:
    """Empty the engine's log once it is too long; the engine appends, so it goes on from the start."""
    try:
        if place.log.stat().st_size > max_bytes:
            os.truncate(place.log, 0)
    except FileNotFoundError:
        return


def _is_engine(pid: int, place: EnginePlace) -> bool:
    """Process ids are used again: whether this one runs on our database. Without /proc the note is believed."""
    if not _PROC.is_dir():
        return True
    try:
        return os.fsencode(place.database) in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _environment(libraries: Path, home: Path) -> dict[str, str]:
    """What it needs and no more: our own environment holds secrets. Without HOME it crashes.

    Left to itself its logger (glog) leaves a file for every start in the temporary folder, open to other users.
    """
    return {
        "LD_LIBRARY_PATH": os.fspath(libraries),
        "DYLD_LIBRARY_PATH": os.fspath(libraries),
        "HOME": os.fspath(home),
        "TMPDIR": os.fspath(home),
        "GLOG_logtostderr": "1",
        "GLOG_minloglevel": "2",  # errors
    }
