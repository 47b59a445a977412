"""A real server as a process of the test's own.

A subclass says how to start it (`command`) and how to ask it something real (`answers`); this base owns the folder,
the port, the process and its faults. All of it is synchronous, so a fixture of any scope and any event loop can use it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_POLL_S: Final = 0.02
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on right now; somebody else may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Poll until the condition holds; AssertionError, naming `what`, when it has not after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(_POLL_S)


def process_tree(root: int) -> list[int]:
    """`root` and all its descendants that are alive, parents first; zombies left out."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    alive = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command name is in parentheses and may hold anything, parentheses too: split after the last one.
            state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if state not in {"Z", "X"}:
            children[int(parent)].append(int(entry.name))
            alive.add(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children[pid])
    return [pid for pid in tree if pid in alive]


def is_running(pid: int) -> bool:
    """Whether that process exists and is not a zombie."""
    return process_tree(pid)[:1] == [pid]


def signal_tree(root: int, number: signal.Signals) -> None:
    """Send a signal to a process and all its descendants, parents first; those already gone are passed over."""
    for pid in process_tree(root):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a forked child runs before exec, so that the kernel sends it `number` when the test process ends.

    The kernel goes by the *thread* that forked: start servers from a thread that lives as long as they do.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)

    return before_exec


class ServerProcess(ABC):
    """One server: `start()`, `kill9()`, `stop()`, `cont()`, `restart()`, `close()`; also a context manager.

    `host` and `port` stay the same over restarts, and so does everything below `folder`, which is made here unless
    given, and removed by `close()` if it was made here.
    """

    start_limit_s: float = 30.0
    end_limit_s: float = 10.0
    end_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL  # what it gets when the test process dies

    def __init__(self, folder: Path | None = None, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._made_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.host = host
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask the server something real, briefly; False (never an exception) while it cannot serve."""

    def prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """What must be done before each start; by default nothing. Must be repeatable."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables on top of the test's own."""
        return {}

    @property
    def pid(self) -> int:
        """Process id of the server's root process."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the root process is alive (stopped counts as alive)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """Where the server's own output goes."""
        return self.folder / "output.log"

    def start(self) -> Self:
        """Start it and wait for a real answer; AssertionError with the end of its log if none comes."""
        assert self._process is None or self._process.poll() is not None, "already running"
        self.prepare()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [os.fspath(part) for part in self.command()],
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C ends the tests, which then end the servers in order
                # Python's forked child could deadlock on a lock that another thread held; ours takes none.
                preexec_fn=die_with_parent(self.death_signal),  # noqa: PLW1509
            )
        try:
            wait_until(lambda: not self.running or self.answers(), within_s=self.start_limit_s, what="an answer")
            assert self.running, "it ended"
        except AssertionError as error:
            self.kill9()
            tail = self.log.read_text(errors="replace")[-2_000:]
            raise AssertionError(f"{type(self).__name__} did not start: {error}\n{tail}") from None
        return self

    def kill9(self) -> None:
        """SIGKILL the whole tree and reap it. No error if it is gone already."""
        if self._process is None:
            return
        tree = process_tree(self._process.pid)
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        wait_until(lambda: not any(map(is_running, tree)), within_s=self.end_limit_s, what="the tree's end")

    def stop(self) -> None:
        """SIGSTOP the whole tree: connections stay open, nothing answers."""
        signal_tree(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT the whole tree."""
        signal_tree(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end in order; SIGKILL when it has not after `end_limit_s`."""
        if self._process is None or not self.running:
            self.kill9()
            return
        signal_tree(self.pid, signal.SIGCONT)  # a stopped process does not see a SIGTERM
        self._process.send_signal(self.end_signal)
        try:
            self._process.wait(self.end_limit_s)
        except subprocess.TimeoutExpired:
            self.kill9()

    def restart(self) -> Self:
        """End it if it still runs, then start it again on the same port and data."""
        self.end()
        return self.start()

    def close(self) -> None:
        """End it and remove its folder."""
        self.end()
        if self._made_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
