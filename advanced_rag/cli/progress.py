"""One line on standard error that says how far something is; nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO

_BAR_CHARS: Final = 30
_EVERY_S: Final = 0.1


class ProgressLine:
    """Use it as long as the work runs; `end` takes the line away again. For one thread."""

    def __init__(self, unit: str, *, stream: TextIO | None = None) -> None:
        self._unit = unit
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._last_s = float("-inf")
        self._width = 0

    def show(self, done: int, total: int, note: str = "") -> None:
        """So many of so many; at most ten times a second, and always the last."""
        now = time.monotonic()
        if not self._shown or (now - self._last_s < _EVERY_S and done < total):
            return
        self._last_s = now
        filled = _BAR_CHARS * done // max(total, 1)
        self._write(f"[{'#' * filled}{'.' * (_BAR_CHARS - filled)}] {done}/{total} {self._unit}{note}")

    def end(self) -> None:
        """Leave an empty line for whatever is written next."""
        if self._shown and self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
