"""The same fault at most once a second: an outage must not fill the disk with one sentence (reliability R10.6)."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

DEFAULT_INTERVAL_S: Final = 1.0
_MAX_NAMES: Final = 1_000


class FaultLog:
    """Writes a fault the first time, then once an interval a name with how often it was seen in between.

    Safe from any thread. Beyond a thousand names the one not seen for longest is forgotten.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()  # name -> when last written, since then unsaid

    def report(self, name: str, message: str, *, level: int = logging.WARNING, **fields: object) -> bool:
        """Write `name: message`, or only count it where the name was written less than an interval ago.

        `fields` become members of the JSON line. Returns whether a line was written.
        """
        now = self._clock()
        with self._lock:
            written_at, unsaid = self._seen.get(name, (float("-inf"), 0))
            due = now - written_at >= self._interval_s
            self._seen[name] = (now, 0) if due else (written_at, unsaid + 1)
            self._seen.move_to_end(name)
            if len(self._seen) > _MAX_NAMES:
                self._seen.popitem(last=False)
        if due:
            repeats = {"repeated": unsaid} if unsaid else {}
            self._logger.log(level, "%s: %s", name, message, extra={"fields": {"fault": name, **repeats, **fields}})
        return due
