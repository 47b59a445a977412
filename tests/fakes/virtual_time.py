"""An event loop whose clock jumps to the next timer instead of waiting for it: hours of timeouts in milliseconds.

Everything else is real: tasks, futures, `asyncio.timeout`, `asyncio.sleep`. Not for work in threads or on sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class NothingLeftError(Exception):
    """Every task waits, and no timer is set: it would hang for ever."""


class TooMuchTimeError(Exception):
    """Something goes on and on."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, at_most_s: float) -> None:
        super().__init__()
        self.now = 0.0
        self.at_most_s = at_most_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingLeftError
            self.now += max(0.0, timeout)
            if self.now > self.at_most_s:
                raise TooMuchTimeError
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time` is the clock to hand in."""

    def __init__(self, at_most_s: float) -> None:
        self._jumping = _JumpingSelector(at_most_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(main: Callable[[Callable[[], float]], Coroutine[Any, Any, T]], *, at_most_s: float = 10_000.0) -> T:
    """`asyncio.run(main(clock))` in virtual time, of which there is `at_most_s`."""

    async def with_clock() -> T:
        return await main(asyncio.get_running_loop().time)

    with asyncio.Runner(loop_factory=partial(VirtualTimeLoop, at_most_s)) as runner:
        return runner.run(with_clock())
