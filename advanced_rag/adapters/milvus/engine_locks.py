"""Who supervises the embedded engine, and whether one still runs: two locks of two kinds, each for its own reason."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Final

# The kernel drops a process's record locks on a file when *any* descriptor of that file is closed in that process.
# So a process opens each lock file once, and this table says which are open. A forked process inherits the table and
# none of the locks, hence the process id.
_OPEN: Final[dict[Path, int]] = {}
_OPEN_GUARD: Final = threading.Lock()
_TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN})  # lockf(3): either, by system


class OwnerLock:
    """The record lock (`lockf`) that the engine watches: it ends as soon as the holder has let go, however that died.

    Within a process too only one instance holds the lock of a path at a time; the others are told that it is taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this instance holds it."""
        return self._descriptor is not None

    def try_acquire(self) -> bool:
        """Take it if nobody has it; never waits."""
        if self.held:
            return True
        with _OPEN_GUARD:
            if _OPEN.get(self._path) == os.getpid():
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)  # harmless: this process holds no lock on it
                if error.errno in _TAKEN:
                    return False
                raise  # a file system without locks: nobody could own the engine
            _OPEN[self._path] = os.getpid()
            self._descriptor = descriptor
            return True

    def release(self) -> None:
        """Let go. Repeatable."""
        with _OPEN_GUARD:
            if self._descriptor is not None:
                del _OPEN[self._path]
                os.close(self._descriptor)
                self._descriptor = None


class ChildLock:
    """A lock (`flock`) that the engine inherits as an open descriptor, and so holds exactly as long as it lives.

    The owner lock cannot tell: when an owner dies, a new one may get it before the old engine has noticed, and two
    engines on one database would both run (seen in 5 of 20 tries with a waiting process).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def try_take(self) -> int | None:
        """An inheritable descriptor that holds the lock, to be given to a child; None while a child lives."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                return None
            raise
        return descriptor

    def write_pid(self, pid: int) -> None:
        """Note who holds it."""
        self._path.write_text(str(pid), encoding="ascii")

    def read_pid(self) -> int | None:
        """Who was noted last."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
