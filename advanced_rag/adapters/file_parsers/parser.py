"""Files are read in child processes, one a file; this is their parent. Nothing here blocks the loop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import advanced_rag
from advanced_rag.adapters.file_parsers import child
from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.exceptions import DependencyTimeout, FileRefused, LoadShed
from advanced_rag.ports.parsing import PageStart, ParsedFile
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.timeout import AttemptTimeout

T = TypeVar("T")

logger = logging.getLogger(__name__)

NAME: Final = "file_parser"
_ROOT: Final = str(Path(advanced_rag.__file__).resolve().parent.parent)
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, {root!r}); from advanced_rag.adapters.file_parsers.child import main; main()"
)
_HEAD_BYTES: Final = 1_000_000  # title, page starts and metadata, far more than they can be
_MAX_FILE_NAME_CHARS: Final = 255
_COULD_NOT_START: Final = 1  # the interpreter's status for an error that nobody caught: not the file's fault
_REFUSAL_CODES: Final = frozenset({"unsupported-media-type", "payload-too-large", "unreadable-file"})
_STRANGE_ANSWER: Final = "The file is damaged: reading it ended without a usable answer."


class ChildProcessFileParser:
    """Implements ports.parsing.FileParser. Belongs to one event loop.

    The bulkhead's permit is held until the child is gone, also when the caller has stopped waiting; a caller that is
    cancelled takes its child with it. A file that kills its child is refused: it would do so again (R6.16).
    """

    def __init__(
        self,
        limits: ParseLimits,
        bulkhead: Bulkhead,
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: all that the children see of it, empty unless the interpreter itself needs something."""
        self._limits = limits
        self._bulkhead = bulkhead
        self._command = (python, "-I", "-c", _PROGRAM.format(root=_ROOT))
        self._environment = dict(environment or {})
        self._timeout = AttemptTimeout(NAME, limits.wall_s)

    async def parse(self, path: Path, *, file_name: str) -> ParsedFile:
        """Read the file at `path`. Its type is told by its content; `file_name` is shown and only breaks ties."""
        return await self._bulkhead.run(partial(self._parse, path, file_name))

    async def _parse(self, path: Path, file_name: str) -> ParsedFile:
        # Neither starting nor ending a child can be left half done: a loop that is interrupted there loses it.
        (transport, process), cancelled = await _uninterrupted(self._start(path, file_name))
        try:
            if cancelled is not None:
                raise cancelled
            await self._timeout.run(process.wait)
        except DependencyTimeout as error:
            raise too_large(f"Reading the file took longer than {self._limits.wall_s:g} s.") from error
        finally:
            _, cancelled = await _uninterrupted(_end(transport, process))
        if cancelled is not None:
            raise cancelled
        return self._file(process, transport.get_returncode())

    async def _start(self, path: Path, file_name: str) -> tuple[asyncio.SubprocessTransport, _Child]:
        loop = asyncio.get_running_loop()
        request = child.request(path, file_name[-_MAX_FILE_NAME_CHARS:], self._limits, os.getpid())
        try:
            return await loop.subprocess_exec(
                partial(_Child, loop, self._limits.text_bytes + _HEAD_BYTES),
                *self._command,
                request,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a group of its own, to be killed as one
                env=self._environment,
            )
        except OSError as error:
            raise LoadShed("no process could be started to read the file") from error

    def _file(self, process: _Child, status: int | None) -> ParsedFile:
        if process.overflowed:
            raise too_large(f"The file holds more than {self._limits.text_bytes:,} bytes of text.")
        if status == _COULD_NOT_START:
            logger.error("no process can be started to read files: see what its command line says by hand")
            raise LoadShed("no process could be started to read the file")
        if status != 0:
            raise _killed(status, self._limits)
        return decoded_answer(bytes(process.received))


class _Child(asyncio.SubprocessProtocol):
    """Collects the answer; a child that says more than it may is killed while it speaks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        self.received = bytearray()
        self.overflowed = False
        self._max_bytes = max_bytes
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = loop.create_future()
        self._closed = loop.create_future()

    async def wait(self) -> None:
        """Until the process has exited and its pipe is read to the end."""
        await asyncio.shield(self._closed)

    async def exited(self) -> None:
        """Until the process has exited and been reaped."""
        await asyncio.shield(self._exited)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.SubprocessTransport):
            self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if fd != 1 or isinstance(data, str) or self.overflowed:
            return
        self.received += data
        if len(self.received) > self._max_bytes and self._transport is not None:
            self.overflowed = True
            self.received.clear()
            _kill_group(self._transport)

    def process_exited(self) -> None:
        if not self._exited.done():
            self._exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        if not self._closed.done():
            self._closed.set_result(None)


async def _end(transport: asyncio.SubprocessTransport, process: _Child) -> None:
    """Nothing of the child is left afterwards: no process, no zombie, no descriptor."""
    _kill_group(transport)
    # Closed before it is reaped, the transport would reap it itself and leave the loop's watcher without its status.
    await process.exited()
    transport.close()
    await process.wait()


def _kill_group(transport: asyncio.SubprocessTransport) -> None:
    if transport.get_returncode() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)


async def _uninterrupted(work: Coroutine[Any, Any, T]) -> tuple[T, asyncio.CancelledError | None]:
    """What the work gives, however often the caller is cancelled meanwhile; and that cancellation, to be passed on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    return task.result(), cancelled


def _killed(status: int | None, limits: ParseLimits) -> FileRefused:
    """What ended a child that did not end by itself."""
    logger.warning("the process that read a file ended with status %s", status)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return too_large(f"Reading the file took more than {limits.cpu_s} s of computing, or too much memory.")
    if status == -signal.SIGALRM:
        return too_large(f"Reading the file took longer than {limits.wall_s:g} s.")
    return unreadable("The file is damaged: reading it failed, or took too much memory.")


def decoded_answer(answer: bytes) -> ParsedFile:
    """Raises FileRefused for a refusal, and for anything that a child in good health would not say."""
    head, _, text = answer.partition(b"\n")
    try:
        said = json.loads(head)
        refusal = _refusal(said) if "reason" in said else None
        file = _parsed_file(said, text.decode()) if refusal is None else None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        logger.warning("the process that read a file gave an answer that makes no sense: %s", type(error).__name__)
        raise unreadable(_STRANGE_ANSWER) from error
    if file is None:
        raise refusal or unreadable(_STRANGE_ANSWER)
    return file


def _refusal(said: dict[str, Any]) -> FileRefused:
    if said.get("cause"):
        logger.info("a file was refused as %s because of %s", said["code"], said["cause"])
    return FileRefused(said["code"] if said["code"] in _REFUSAL_CODES else "unreadable-file", str(said["reason"]))


def _parsed_file(said: dict[str, Any], text: str) -> ParsedFile:
    pages = tuple(PageStart(int(number), int(start)) for number, start in said["pages"])
    if not isinstance(said["metadata"], dict) or any(not 0 <= page.start <= len(text) for page in pages):
        raise ValueError("not about this text")
    return ParsedFile(
        text=text,
        title=str(said["title"]),
        media_type=str(said["media_type"]),
        pages=pages,
        metadata=said["metadata"],
    )
