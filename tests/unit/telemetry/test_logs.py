from __future__ import annotations

import io
import json
import logging
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.telemetry.context import RequestContext, enter_request, leave_request
from advanced_rag.telemetry.log_lines import LogEntry
from advanced_rag.telemetry.logs import BoundedEntries, LogPipeline

logger = logging.getLogger("advanced_rag.tests")

REPOSITORY = Path(__file__).resolve().parents[3]
TALKATIVE = """
import logging
from advanced_rag.telemetry.logs import LogPipeline
pipeline = LogPipeline()
pipeline.start()
for number in range(20_000):
    logging.getLogger("advanced_rag").info("line %d", number)
pipeline.stop()
"""


class Lines:
    """A sink in memory; while `stuck` it takes nothing."""

    def __init__(self) -> None:
        self.written = io.BytesIO()
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def write(self, data: bytes) -> None:
        self.open.wait()
        if self.broken:
            raise BrokenPipeError
        self.written.write(data)

    @property
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]


@contextmanager
def pipeline(**options: Any) -> Iterator[tuple[LogPipeline, Lines]]:
    lines = Lines()
    running = LogPipeline(sink=lines, **options)
    running.start()
    try:
        yield running, lines
    finally:
        lines.open.set()
        running.stop()


def _entry(message: str, level: int) -> LogEntry:
    return LogEntry(0.0, level, logging.getLevelName(level), "x", message, {})


def _until(condition: Callable[[], bool], at_most_s: float = 5.0) -> None:
    deadline = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.req("R10.1")
def test_lines_carry_the_request_of_the_thread_that_logged() -> None:
    with pipeline() as (running, lines):
        token = enter_request(RequestContext("r7", tenant="acme"))
        logger.info("within")
        leave_request(token)
        logger.info("outside")
        assert running.stop()
        within, outside = lines.parsed
    assert (within["request_id"], within["tenant"]) == ("r7", "acme")
    assert "request_id" not in outside


@pytest.mark.req("R10.1")
def test_a_message_is_frozen_when_it_is_said() -> None:
    with pipeline() as (running, lines):
        changing = [1]
        lines.open.clear()
        logger.info("first")
        logger.info("%s", changing)
        changing.append(2)
        lines.open.set()
        running.stop()
        assert [line["message"] for line in lines.parsed] == ["first", "[1]"]


@pytest.mark.req("R10.2")
def test_a_stuck_sink_costs_lines_and_never_time() -> None:
    dropped: Counter[str] = Counter()
    with pipeline(capacity=100, on_drop=lambda level: dropped.update([level])) as (running, lines):
        lines.open.clear()
        started = time.monotonic()
        for number in range(5_000):
            logger.info("line %d", number)
        logger.warning("a warning")
        assert time.monotonic() - started < 2
        lines.open.set()
        running.stop()
        said = [line["message"] for line in lines.parsed]
    assert "a warning" in said
    assert dropped["INFO"] > 4_000
    assert dropped["WARNING"] == 0
    report = lines.parsed[-1]
    assert report["dropped"] == dropped.total()
    assert report["level"] == "WARNING"
    assert len(said) == 5_000 + 1 - dropped.total() + 1


@pytest.mark.req("R10.2")
def test_a_full_queue_gives_up_the_oldest_of_what_matters_less() -> None:
    dropped: list[str] = []
    entries = BoundedEntries(3, dropped.append)
    for message, level in (("w1", 30), ("i1", 20), ("i2", 20), ("i3", 20), ("e1", 40), ("w2", 30), ("w3", 30)):
        entries.put_nowait(_entry(message, level))
    assert [entry.message for entry in entries.take(10, 0)] == ["w1", "e1", "w2"]
    assert dropped == ["INFO", "INFO", "INFO", "WARNING"]  # i3 itself, then i1 and i2, then w3: nothing less is left
    entries.put_nowait(_entry("i4", 20))
    assert [entry.message for entry in entries.take(10, 0)] == ["i4"]


@pytest.mark.req("R10.5")
def test_stopping_writes_what_is_queued_and_gives_up_on_a_stuck_sink() -> None:
    with pipeline() as (running, lines):
        for number in range(3_000):
            logger.info("line %d", number)
        assert running.stop()
        assert len(lines.parsed) == 3_000
    with pipeline() as (running, lines):
        lines.open.clear()
        logger.info("never")
        started = time.monotonic()
        assert not running.stop(timeout_s=0.2)
        assert time.monotonic() - started < 2


@pytest.mark.req("R10.5")
def test_a_reader_that_has_gone_ends_nothing() -> None:
    dropped: Counter[str] = Counter()
    with pipeline(on_drop=lambda level: dropped.update([level])) as (running, lines):
        lines.broken = True
        logger.info("lost")
        _until(lambda: dropped["INFO"] == 1)
        lines.broken = False
        logger.info("found")
        running.stop()
        assert next(line["message"] for line in lines.parsed) == "found"


@pytest.mark.req("R10.6")
def test_loggers_of_others_are_quiet_and_get_their_own_back() -> None:
    theirs = logging.getLogger("pymilvus.milvus_client")
    access = logging.getLogger("uvicorn.access")
    handler = logging.NullHandler()
    access.addHandler(handler)
    before = (theirs.level, logging.getLogger().level)
    with pipeline() as (running, lines):
        theirs.critical("eighty lines of traceback")
        logging.getLogger("pymilvus.decorators").error("again")
        logging.getLogger("httpx").info("request")
        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("some.library").warning("careful")
        assert not access.hasHandlers()  # this is what uvicorn asks before it writes its access log
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        running.stop()
        messages = [line["message"] for line in lines.parsed]
    assert messages[:2] == ["started", "careful"]
    assert "DeprecationWarning: old" in messages[2]
    assert len(messages) == 3
    assert access.handlers == [handler]
    assert (theirs.level, logging.getLogger().level) == before
    access.removeHandler(handler)


def test_the_level_is_that_of_our_own_loggers() -> None:
    with pipeline(level="DEBUG") as (running, lines):
        logger.debug("seen")
        running.stop()
        assert [line["message"] for line in lines.parsed] == ["seen"]
    with pipeline(level="WARNING") as (running, lines):
        logger.info("unseen")
        running.stop()
        assert lines.parsed == []


@pytest.mark.req("R10.5")
def test_it_can_be_started_again() -> None:
    lines = Lines()
    running = LogPipeline(sink=lines)
    for message in ("one", "two"):
        running.start()
        logger.info(message)
        assert running.stop()
    assert [line["message"] for line in lines.parsed] == ["one", "two"]


@pytest.mark.req("R10.4")
def test_a_line_costs_its_caller_microseconds() -> None:
    with pipeline(capacity=1_000) as (_, lines):
        lines.open.clear()  # the worst case: the queue is full after a thousand
        costs = []
        for number in range(20_000):
            started = time.thread_time()  # this thread's own: the machine may be busy with something else
            logger.info("line %d", number, extra={"fields": {"status": 200}})
            costs.append(time.thread_time() - started)
    assert statistics.median(costs) < 100e-6
    assert statistics.quantiles(costs, n=100)[98] < 1e-3


@pytest.mark.req("R10.5")
def test_a_real_pipe_that_nobody_reads_does_not_stop_the_exit() -> None:
    child = subprocess.Popen([sys.executable, "-c", TALKATIVE], stdout=subprocess.PIPE, cwd=REPOSITORY)
    try:
        assert child.wait(timeout=20) == 0  # its output was never read
    finally:
        child.kill()
        assert child.stdout is not None
        child.stdout.close()
        child.wait()
