"""What waits to be batched: two bounded queues, and the choice of the next batch out of them.

A batch is padded to its longest item, so it costs (items * longest): the cheapest batches are of like lengths.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOKAHEAD_BATCHES: Final = 4  # so many batches' worth are looked through for items of like length


class Priority(Enum):
    """HIGH goes first; LOW waits for room instead of being refused, and always gets its share."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be. `max_cost` bounds items * longest item; a longer single item still goes, alone."""

    max_items: int
    max_cost: int


class Entry(Generic[Item, Result]):
    """One item, who waits for it, and how long it is."""

    __slots__ = ("cost", "item", "queued_at", "result")

    def __init__(self, item: Item, cost: int, result: asyncio.Future[Result], queued_at: float) -> None:
        self.item = item
        self.cost = cost
        self.result = result
        self.queued_at = queued_at

    @property
    def wanted(self) -> bool:
        """Whether the caller is still there."""
        return not self.result.done()


class BatchQueue(Generic[Item, Result]):
    """Entries of one priority in order of arrival. Room is the caller's business: `append` beyond it is a bug."""

    def __init__(self, limits: BatchLimits, *, max_queued: int) -> None:
        self._limits = limits
        self._max_queued = max_queued
        self._entries: deque[Entry[Item, Result]] = deque(maxlen=max_queued)

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry[Item, Result]) -> None:
        """Last in line."""
        if len(self._entries) >= self._max_queued:
            raise RuntimeError("the queue is full")  # a full deque would drop the oldest without a word
        self._entries.append(entry)

    def discard(self, entries: set[Entry[Item, Result]]) -> int:
        """Drop those of `entries` that still wait; how many that were."""
        return self._keep([entry for entry in self._entries if entry not in entries])

    def clear(self) -> list[Entry[Item, Result]]:
        """Drop all."""
        dropped = list(self._entries)
        self._entries.clear()
        return dropped

    def take(self) -> list[Entry[Item, Result]]:
        """The next batch, longest item first: the oldest entry and those nearest to it in length.

        The oldest is in every batch, so nothing waits for ever behind handier lengths. Empty when nothing waits.
        """
        if not self._entries:
            return []
        limits = self._limits
        lookahead = list(islice(self._entries, limits.max_items * _LOOKAHEAD_BATCHES))
        oldest = lookahead[0]
        batch, longest = [oldest], oldest.cost
        for entry in sorted(lookahead[1:], key=lambda entry: abs(entry.cost - oldest.cost)):
            if len(batch) == limits.max_items:
                break
            if max(longest, entry.cost) * (len(batch) + 1) <= limits.max_cost:
                batch.append(entry)
                longest = max(longest, entry.cost)
        taken = set(batch)
        self._keep([entry for entry in self._entries if entry not in taken])
        return sorted(batch, key=lambda entry: -entry.cost)

    def _keep(self, entries: list[Entry[Item, Result]]) -> int:
        dropped = len(self._entries) - len(entries)
        self._entries.clear()
        self._entries.extend(entries)
        return dropped
