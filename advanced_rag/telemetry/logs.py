"""Logging that never makes a request wait: a bounded queue, one writing thread, JSON lines (reliability section 10).

A sink that takes nothing (a pipe nobody reads) fills the queue and then costs lines, never time: DEBUG and INFO are
dropped and counted, WARNING and above take the place of the oldest line that matters less. The thread starts with
`start`, so in the worker and after any fork.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from logging.handlers import QueueHandler
from typing import Any, Final, Protocol

from advanced_rag.telemetry.context import current_request
from advanced_rag.telemetry.log_lines import LogEntry, line_of

OWN_LOGGER: Final = "advanced_rag"
STDOUT_DESCRIPTOR: Final = 1
DEFAULT_CAPACITY: Final = 10_000
FLUSH_LIMIT_S: Final = 2.0
DROP_REPORT_INTERVAL_S: Final = 10.0
_LINES_PER_WRITE: Final = 200
_IDLE_WAIT_S: Final = 0.5
_SILENT: Final = logging.CRITICAL + 1
# Loggers that bring handlers of their own: uvicorn's would write past us, pymilvus logs 80 lines a failed call (M4).
_FOREIGN_LEVELS: Final = {
    "uvicorn": logging.INFO,
    "uvicorn.error": logging.INFO,
    "uvicorn.access": _SILENT,
    "uvicorn.asgi": logging.WARNING,
    "pymilvus": _SILENT,
    "pymilvus.milvus_client": _SILENT,
    "pymilvus.bulk_writer": _SILENT,
}

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where lines go. May block and may raise OSError; only the writing thread calls it."""

    def write(self, data: bytes) -> None:
        """Write all of it."""
        ...


class DescriptorSink:
    """A file descriptor, unbuffered: what a stuck reader leaves unwritten must not stop the interpreter's exit."""

    def __init__(self, descriptor: int = STDOUT_DESCRIPTOR) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write all of it, in as many calls as the pipe needs."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class BoundedEntries:
    """A bounded FIFO of log entries whose `put_nowait` neither waits nor raises."""

    def __init__(self, capacity: int, on_drop: Callable[[str], None]) -> None:
        self._capacity = capacity
        self._on_drop = on_drop
        self._entries: deque[LogEntry] = deque(maxlen=capacity)
        self._dispensable = 0  # entries below WARNING in the queue
        self._changed = threading.Condition()

    def put_nowait(self, entry: LogEntry) -> None:
        """Append; when full drop it, or, for WARNING and above, drop the oldest entry below WARNING."""
        dropped: LogEntry | None = None
        with self._changed:
            if len(self._entries) >= self._capacity:
                dropped = self._evicted_for(entry)
            if dropped is not entry:
                self._entries.append(entry)
                self._dispensable += entry.level < logging.WARNING
                self._changed.notify()
        if dropped is not None:
            self._on_drop(dropped.level_name)

    def _evicted_for(self, entry: LogEntry) -> LogEntry:
        if entry.level < logging.WARNING or not self._dispensable:
            return entry
        index = next(i for i, queued in enumerate(self._entries) if queued.level < logging.WARNING)
        evicted = self._entries[index]
        del self._entries[index]
        self._dispensable -= 1
        return evicted

    def take(self, limit: int, wait_s: float) -> list[LogEntry]:
        """Up to `limit` entries, oldest first; waits up to `wait_s` seconds for the first."""
        with self._changed:
            if not self._entries:
                self._changed.wait(wait_s)
            taken = [self._entries.popleft() for _ in range(min(limit, len(self._entries)))]
            self._dispensable -= sum(entry.level < logging.WARNING for entry in taken)
            return taken

    def wake(self) -> None:
        """Let a waiting `take` return now."""
        with self._changed:
            self._changed.notify_all()


class FreezingHandler(QueueHandler):
    """Queues what was said and for whom; formatting is left to the writing thread."""

    def __init__(self, entries: BoundedEntries) -> None:
        super().__init__(entries)  # type: ignore[arg-type]  # typed for the library's queues; only put_nowait is used

    def prepare(self, record: logging.LogRecord) -> Any:
        """Freeze the message and the request's identity."""
        return LogEntry.of(record, current_request())


class LogPipeline:
    """Everything that is logged, as JSON lines on one sink, while it is started.

    `on_drop` is called with the level's name for each dropped line, from any thread.
    """

    def __init__(
        self,
        *,
        level: str = "INFO",
        capacity: int = DEFAULT_CAPACITY,
        sink: Sink | None = None,
        on_drop: Callable[[str], None] | None = None,
    ) -> None:
        self._level = level
        self._sink = sink if sink is not None else DescriptorSink()
        self._report_drop = on_drop
        self._drops: Counter[str] = Counter()
        self._drops_lock = threading.Lock()
        self._entries = BoundedEntries(capacity, self._count_drop)
        self._handler = FreezingHandler(self._entries)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        """Take over the root logger and start writing. Again after a stop, or in a forked child, is fine."""
        self._stopping.clear()
        self._adopt(logging.getLogger(), logging.WARNING, [self._handler])
        self._adopt(logging.getLogger(OWN_LOGGER), logging.getLevelNamesMapping()[self._level], None)
        for name, level in _FOREIGN_LEVELS.items():
            self._adopt(logging.getLogger(name), level, [])
        logging.captureWarnings(True)
        self._thread = threading.Thread(target=self._write_until_stopped, name="log-writer", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = FLUSH_LIMIT_S) -> bool:
        """Give the loggers back and write what is queued, for `timeout_s` seconds at most; whether all of it was."""
        logging.captureWarnings(False)
        while self._undo:
            self._undo.pop()()
        self._stopping.set()
        self._entries.wake()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _adopt(self, target: logging.Logger, level: int, handlers: list[logging.Handler] | None) -> None:
        before = (target.level, target.handlers[:], target.propagate)

        def restore() -> None:
            target.setLevel(before[0])
            target.handlers[:], target.propagate = before[1], before[2]

        self._undo.append(restore)
        target.setLevel(level)
        if handlers is not None:
            target.handlers[:] = handlers
        # uvicorn asks `hasHandlers` to decide whether to write its access log: it must not see ours.
        target.propagate = level < _SILENT

    def _count_drop(self, level_name: str) -> None:
        with self._drops_lock:
            self._drops[level_name] += 1
        if self._report_drop is not None:
            self._report_drop(level_name)

    def _write_until_stopped(self) -> None:
        report_at = time.monotonic() + DROP_REPORT_INTERVAL_S
        while True:
            entries = self._entries.take(_LINES_PER_WRITE, _IDLE_WAIT_S)
            if entries:
                self._write(entries)
            elif self._stopping.is_set():
                self._write(self._drop_report())
                return
            if time.monotonic() >= report_at:
                self._write(self._drop_report())
                report_at = time.monotonic() + DROP_REPORT_INTERVAL_S

    def _drop_report(self) -> list[LogEntry]:
        with self._drops_lock:
            drops, self._drops = self._drops, Counter()
        if not drops:
            return []
        fields = {"dropped": drops.total(), **{f"dropped_{name.lower()}": count for name, count in drops.items()}}
        message = f"dropped {drops.total()} log lines: the sink is too slow"
        return [LogEntry(time.time(), logging.WARNING, "WARNING", __name__, message, fields)]

    def _write(self, entries: list[LogEntry]) -> None:
        if not entries:
            return
        try:
            self._sink.write(b"".join(line_of(entry) for entry in entries))
        except OSError:  # the reader is gone: nobody is left to tell but the counter
            for entry in entries:
                self._count_drop(entry.level_name)
