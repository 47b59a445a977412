"""How an ingest gets on, said in the log while it runs: an operator who waits should not have to guess."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus

logger = logging.getLogger(__name__)


class IngestListener(Protocol):
    """Told how far an ingest has got."""

    def encoded(self, chunks: int) -> None:
        """So many more chunks have been embedded."""
        ...

    def finished(self, outcomes: Sequence[IngestOutcome]) -> None:
        """These documents are done."""
        ...


class IngestProgress:
    """Counts, and logs a line at most every `interval_s` while something goes on. Used from one event loop.

    `record` is called with every batch of outcomes, for metrics.
    """

    def __init__(
        self,
        *,
        interval_s: float,
        record: Callable[[Sequence[IngestOutcome]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._record = record
        self._clock = clock
        self._documents: Counter[IngestStatus] = Counter()
        self._chunks = 0
        self._said_at = clock()
        self._chunks_then = 0

    def encoded(self, chunks: int) -> None:
        """Count them, and say so if it is time."""
        self._chunks += chunks
        self._say()

    def finished(self, outcomes: Sequence[IngestOutcome]) -> None:
        """Count them, and say so if it is time."""
        self._documents.update(outcome.status for outcome in outcomes)
        self._record(outcomes)
        self._say()

    def _say(self) -> None:
        now = self._clock()
        passed_s = now - self._said_at
        if passed_s < self._interval_s:
            return
        counts = ", ".join(f"{count} {status.value}" for status, count in sorted(self._documents.items()))
        logger.info(
            "ingesting: %s; %d chunks embedded, %.1f/s",
            counts or "no document done yet",
            self._chunks,
            (self._chunks - self._chunks_then) / passed_s,
        )
        self._said_at, self._chunks_then = now, self._chunks
