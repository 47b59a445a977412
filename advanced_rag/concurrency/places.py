"""Places for a caller's many items, given out first come, first served; whoever finds too few waits."""

from __future__ import annotations

import asyncio
from collections import deque

from advanced_rag.exceptions import BulkheadFull, ShuttingDown


class Places:
    """A bounded number of places. Belongs to one event loop; may be cancelled at any moment."""

    def __init__(self, places: int, *, max_waiting: int) -> None:
        self._places = places
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque(maxlen=max_waiting + 1)
        self.taken = 0

    async def enter(self, count: int) -> None:
        """Take `count` places, at most all there are; raises BulkheadFull when too many wait already."""
        if not self._waiting and self.taken + count <= self._places:
            self.taken += count
            return
        if len(self._waiting) >= self._max_waiting:
            raise BulkheadFull("too many long requests are waiting")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.leave(count)
            self._admit_waiting()
            raise

    def leave(self, count: int) -> None:
        """Give places back."""
        self.taken -= count
        self._admit_waiting()

    def close(self) -> None:
        """Refuse everyone who waits."""
        for _, granted in self._waiting:
            if not granted.done():
                granted.set_exception(ShuttingDown("shutting down"))
        self._waiting.clear()

    def _admit_waiting(self) -> None:
        while self._waiting:
            count, granted = self._waiting[0]
            if not granted.done():
                if self.taken + count > self._places:
                    return
                self.taken += count
                granted.set_result(None)
            self._waiting.popleft()
