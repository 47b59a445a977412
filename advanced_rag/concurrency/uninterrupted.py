"""Work that must have ended before its caller goes on, even a caller that is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, or raises; a cancellation meanwhile is passed on once the work has ended.

    For work in threads, which runs on when its awaiter is cancelled: whoever clears up after it must come second. The
    work must end by itself.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():  # the work itself was
                raise
            cancelled = error
        except Exception:
            if cancelled is None:
                raise
    if cancelled is not None:
        raise cancelled
    return task.result()
