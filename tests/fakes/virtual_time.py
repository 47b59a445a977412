"""An event loop whose clock jumps to the next timer instead of waiting for it: hours of timeouts in milliseconds.

Everything else is real: tasks, futures, `asyncio.timeout`, `asyncio.sleep`. Not for work in threads or on sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingLeftError(Exception):
    """Every task waits, and no timer is set: it would hang for ever."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingLeftError
            self.now += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time` is the clock to hand in."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(main: Callable[[Callable[[], float]], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run(main(clock))` in virtual time."""

    async def with_clock() -> T:
        return await main(asyncio.get_running_loop().time)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(with_clock())
