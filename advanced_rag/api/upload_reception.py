"""An upload from the connection to a private folder, which is gone when the request is, however that ends."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from starlette.requests import Request

from advanced_rag.api.multipart import FormReceiver, ReceivedForm, boundary_of
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.concurrency.uninterrupted import uninterrupted
from advanced_rag.exceptions import InsufficientStorage, LoadShed, ValidationError

# One hop into a thread for each: small enough to hold in memory for every upload, large enough to be few.
_BLOCK_BYTES: Final = 256 * 1024
_NAME_BYTES: Final = 16
_PRIVATE: Final = 0o700
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@asynccontextmanager
async def received_form(request: Request, *, below: Path, executor: AsyncExecutor) -> AsyncIterator[ReceivedForm]:
    """The form, its files on disk as long as the block runs.

    Args:
        request: its body is read to the end also when the form is refused: a client sees no answer while it sends.
        below: where to make the folder; it exists.
        executor: everything that touches the disk runs there, and has ended before the folder is removed.

    Raises:
        ValidationError: no form, or one beyond a limit.
        ClientDisconnect: the client left before the end.
        LoadShed, InsufficientStorage: no thread, or no room on the disk.
    """
    boundary = boundary_of(request.headers.get("Content-Type", ""))
    folder = below / secrets.token_hex(_NAME_BYTES)
    try:
        await uninterrupted(executor.run(partial(folder.mkdir, mode=_PRIVATE)))
        yield await _received(request, FormReceiver(boundary, folder), executor)
    finally:
        await _remove(folder, executor)


async def _received(request: Request, receiver: FormReceiver, executor: AsyncExecutor) -> ReceivedForm:
    try:
        return await _filled(request, receiver, executor)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InsufficientStorage("The disk is too full to take files in.") from error
    finally:
        with suppress(OSError):
            receiver.close()


async def _filled(request: Request, receiver: FormReceiver, executor: AsyncExecutor) -> ReceivedForm:
    block = bytearray()
    refusal: ValidationError | None = None
    async for chunk in request.stream():
        if refusal is not None:
            continue
        block += chunk
        while len(block) >= _BLOCK_BYTES and refusal is None:
            refusal = await _fed(receiver, bytes(block[:_BLOCK_BYTES]), executor)
            del block[:_BLOCK_BYTES]
    if refusal is None and block:
        refusal = await _fed(receiver, bytes(block), executor)
    if refusal is not None:
        raise refusal
    return receiver.finish()


async def _fed(receiver: FormReceiver, data: bytes, executor: AsyncExecutor) -> ValidationError | None:
    """Why the form is refused, if it is."""
    try:
        await uninterrupted(executor.run(partial(receiver.feed, data)))
    except ValidationError as error:
        return error
    return None


async def _remove(folder: Path, executor: AsyncExecutor) -> None:
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    try:
        with suppress(LoadShed):
            await uninterrupted(executor.run(remove))
    finally:
        remove()  # nothing to do, unless no thread was to be had: rather a short stop than something left
