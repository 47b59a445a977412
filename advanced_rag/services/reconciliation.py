"""Reconciliation: every index holds what the database says it must, and nothing that the database does not know.

Both sides are read in the order of chunk ids, a page at a time, and merged, so memory does not grow with the number of
chunks. Documents come and go meanwhile: what looks wrong is looked at once more, in the order in which a writer goes
about it, before it is called a difference (reliability R6.4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from advanced_rag.domain.documents import ChunkId
from advanced_rag.exceptions import DeadlineExceeded, DependencyError, LoadShed
from advanced_rag.ports.indexes import VectorIndex
from advanced_rag.ports.ledger import ChunkLedger, LedgerEntry
from advanced_rag.services.row_rebuilding import Rebuilding

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
OnDifference = Callable[[str, str, int], object]


@dataclass(frozen=True, slots=True)
class ReconciledLane:
    """An index, and of which domain its documents are (None: of all)."""

    index: VectorIndex
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class ReconciliationValues:
    """What is configured. `pause_s` between pages leaves the dependencies to those who wait for an answer."""

    page: int
    batch: int
    pause_s: float
    interval_s: float


@dataclass(slots=True)
class LaneReport:
    """What was found in one lane's index: `missing` were written again, `extra` deleted."""

    active: int = 0
    stored: int = 0
    missing: int = 0
    extra: int = 0

    @property
    def clean(self) -> bool:
        """Nothing had to be done."""
        return not self.missing and not self.extra


@dataclass(frozen=True, slots=True)
class ReconciliationService:
    """Compares and repairs. Any number of processes may do it at once, beside readers and writers.

    `on_difference` is told the lane, `missing` or `extra`, and how many.
    """

    ledger: ChunkLedger
    lanes: Mapping[str, ReconciledLane]
    rebuilding: Rebuilding
    values: ReconciliationValues
    on_difference: OnDifference = field(default=lambda _lane, _kind, _count: None)

    async def reconcile(self) -> dict[str, LaneReport]:
        """Every lane, one after the other. Raises DependencyError or LoadShed; what was repaired by then stays so."""
        return {name: await self._lane(name, lane) for name, lane in self.lanes.items()}

    async def run(self) -> None:
        """Until cancelled, every `interval_s`."""
        while True:
            await asyncio.sleep(self.values.interval_s)
            try:
                await self.reconcile()
            except (DependencyError, LoadShed, DeadlineExceeded) as error:
                logger.warning("the comparison of the indexes with the database waits: %s", error)

    async def _lane(self, name: str, lane: ReconciledLane) -> LaneReport:
        report = LaneReport()
        stored = _Stream(lambda after: self._unhurried(lane.index.page_of_ids(after, self.values.page)), _itself)
        listed = _Stream(
            lambda after: self._unhurried(self.ledger.page(after, self.values.page, domain=lane.domain)), _id_of
        )
        missing: list[ChunkId] = []
        extra: list[ChunkId] = []
        there, entry = await stored.next(), await listed.next()
        while there is not None or entry is not None:
            if entry is None or (there is not None and there < entry.chunk_id):
                if there is not None:
                    extra.append(there)
                    report.stored += 1
                there = await stored.next()
            elif there is None or entry.chunk_id < there:
                if entry.active:
                    missing.append(entry.chunk_id)
                    report.active += 1
                entry = await listed.next()
            else:
                report.stored += 1
                report.active += entry.active
                there, entry = await stored.next(), await listed.next()
            if len(missing) >= self.values.batch:
                report.missing += await self._restored(name, lane, missing)
                missing.clear()
            if len(extra) >= self.values.batch:
                report.extra += await self._removed(name, lane, extra)
                extra.clear()
        report.missing += await self._restored(name, lane, missing)
        report.extra += await self._removed(name, lane, extra)
        if not report.clean:
            logger.error(
                "the index %s did not agree with the database: %d rows were missing, %d too many; mended",
                *(name, report.missing, report.extra),
            )
        return report

    async def _unhurried(self, page: Awaitable[list[Item]]) -> list[Item]:
        if self.values.pause_s:
            await asyncio.sleep(self.values.pause_s)
        return await page

    async def _restored(self, name: str, lane: ReconciledLane, suspects: Sequence[ChunkId]) -> int:
        """Write what is missing; how many that were.

        A chunk that is not in the index and after that look is still active is missing: it was written before it became
        active, and is deleted only when it no longer is.
        """
        if not suspects:
            return 0
        present = await lane.index.present(suspects)
        absent = [chunk_id for chunk_id in suspects if chunk_id not in present]
        versions = await self.ledger.versions(absent) if absent else []
        if not versions:
            return 0
        rows = await self.rebuilding.rows(name, versions)
        await lane.index.upsert(rows)
        self.on_difference(name, "missing", len(rows))
        return len(rows)

    async def _removed(self, name: str, lane: ReconciledLane, suspects: Sequence[ChunkId]) -> int:
        """Delete what the database does not know; how many that were.

        A chunk is stored before it is written to an index, and its id is never given again: one that is in an index and
        after that look is not known is nobody's.
        """
        if not suspects:
            return 0
        known = await self.ledger.known(suspects, domain=lane.domain)
        ghosts = [chunk_id for chunk_id in suspects if chunk_id not in known]
        if ghosts:
            await lane.index.delete(ghosts)
            self.on_difference(name, "extra", len(ghosts))
        return len(ghosts)


class _Stream(Generic[Item]):
    """One item after the other out of pages in ascending order."""

    def __init__(
        self, page: Callable[[ChunkId | None], Awaitable[list[Item]]], id_of: Callable[[Item], ChunkId]
    ) -> None:
        self._page = page
        self._id_of = id_of
        self._items: list[Item] = []
        self._position = 0
        self._after: ChunkId | None = None
        self._ended = False

    async def next(self) -> Item | None:
        """The next one, None after the last."""
        if self._position == len(self._items):
            if self._ended:
                return None
            self._items, self._position = await self._page(self._after), 0
            if not self._items:
                self._ended = True
                return None
            self._after = self._id_of(self._items[-1])
        self._position += 1
        return self._items[self._position - 1]


def _itself(chunk_id: ChunkId) -> ChunkId:
    return chunk_id


def _id_of(entry: LedgerEntry) -> ChunkId:
    return entry.chunk_id
