"""What a child process takes from itself before it looks at a file from outside (reliability R8.10, R8.4)."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_CLONE_NEWUSER: Final = 0x10000000  # unshare(2)
_CLONE_NEWNET: Final = 0x40000000
_LOW_PRIORITY: Final = 10
_SPARE_CPU_S: Final = 1
_SPARE_WALL_S: Final = 5.0
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of Python's library. `ctypes` is not among them: PDFium is called through it.
_REACHING_OUT: Final = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.kill",
    "os.link",
    "os.symlink",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "shutil.",
    "urllib.",
    "webbrowser.",
)


def confine(limits: ParseLimits, parent: int) -> None:
    """Die with the parent, leave the network, stand back for the service, and have no more than the limits allow."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that took hold
            os._exit(1)
        _leave_network(libc)
    os.nice(_LOW_PRIORITY)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, limits.written_file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, hard=limits.cpu_s + _SPARE_CPU_S)
    if sys.platform == "linux":  # elsewhere the kernel does not know it, or ignores it
        _limit(resource.RLIMIT_AS, limits.memory_bytes)
    # The parent ends us in time; this is for a parent that was stopped.
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s + _SPARE_WALL_S)
    _stand_nowhere()


def reach_nothing() -> None:
    """From here on Python code opens no file for writing, no socket and no process. Cannot be taken back.

    The network namespace stops native code too, where the kernel grants one; this holds where it does not.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event == "open":
        flags = args[2]
        if isinstance(flags, int) and flags & _WRITING:
            raise PermissionError("a file that is being read may not write one")
    elif event.startswith(_REACHING_OUT):
        raise PermissionError(f"a file that is being read may not use {event}")


def _leave_network(libc: ctypes.CDLL) -> None:
    """A network namespace without an interface; a user namespace around it for whoever is not root. Or neither."""
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _limit(kind: int, soft: int, *, hard: int | None = None) -> None:
    """Never above what holds already."""
    _, allowed = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    if allowed != resource.RLIM_INFINITY:
        wanted = min(wanted, allowed)
    resource.setrlimit(kind, (min(soft, wanted), wanted))


def _stand_nowhere() -> None:
    """In a folder of its own that is gone already: whatever writes to a relative path fails, and nothing is left."""
    try:
        folder = tempfile.mkdtemp()
    except OSError:  # nowhere to write at all is as good
        os.chdir("/")
        return
    os.chdir(folder)
    Path(folder).rmdir()
