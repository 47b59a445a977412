"""A port that stops the world at a chosen step: how the crash points of reliability 6.3 are reached (R12.3)."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any


class CrashError(Exception):
    """Stands for the death of the process: nothing of ours catches it."""


def crash() -> None:
    """Die as an exception does: whoever would have cleaned up does not."""
    raise CrashError


def kill9() -> None:
    """Die at once."""
    os.kill(os.getpid(), signal.SIGKILL)


class CrashAt:
    """A port; `action` is called before or after the `nth` call of `method`, or in the middle of its batch."""

    def __init__(
        self,
        inner: Any,
        method: str,
        when: str = "before",
        *,
        nth: int = 1,
        action: Callable[[], None] = crash,
    ) -> None:
        self._inner = inner
        self._method = method
        self._when = when
        self._left = nth
        self._action = action

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._crashing(found) if name == self._method else found

    def _crashing(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def crashing(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left:
                return await method(*args, **kwargs)
            match self._when:
                case "before":
                    self._action()
                    return await method(*args, **kwargs)
                case "during":  # half of the batch has arrived
                    batch, *others = args
                    await method(batch[: len(batch) // 2], *others, **kwargs)
                    self._action()
                    return await method(*args, **kwargs)
                case _:
                    result = await method(*args, **kwargs)
                    self._action()
                    return result

        return crashing
