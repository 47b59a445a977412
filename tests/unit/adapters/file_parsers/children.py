"""Which processes this one has, and files that keep one of them busy for as long as a test likes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.parser import NAME, ChildProcessFileParser
from advanced_rag.resilience.bulkhead import Bulkhead, BulkheadValues


def parser(
    limits: ParseLimits | None = None,
    *,
    permits: int = 2,
    max_waiters: int = 4,
    max_wait_s: float = 30.0,
    python: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> ChildProcessFileParser:
    """As the service has it, but for what a test sets."""
    bulkhead = Bulkhead(NAME, BulkheadValues(permits, max_waiters, max_wait_s))
    interpreter = sys.executable if python is None else str(python)
    return ChildProcessFileParser(limits or ParseLimits(), bulkhead, python=interpreter, environment=environment)


def endless(folder: Path, name: str = "endless.txt") -> Path:
    """A file that never ends and never begins: opening it waits."""
    path = folder / name
    os.mkfifo(path)
    return path


def program(folder: Path, script: str) -> Path:
    """A shell script in the place of the interpreter."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


def children() -> set[int]:
    """Processes of this one, zombies too."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and parent_of(int(entry.name)) == os.getpid():
            found.add(int(entry.name))
    return found


def parent_of(pid: int) -> int | None:
    """None for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


def descriptors() -> set[str]:
    """What this process has open."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


async def eventually(condition: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Polls; AssertionError, naming `what`, when it does not become true."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(0.01)
