"""The sweep: what no reader may see any more leaves first every index, then the database (reliability R6.8, R6.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from advanced_rag.exceptions import DeadlineExceeded, DependencyError, LoadShed
from advanced_rag.ports.documents import VersionSweep
from advanced_rag.ports.indexes import VectorIndex

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepingService:
    """Removes superseded, abandoned, replaced and deleted versions. Any number of processes may sweep at once."""

    versions: VersionSweep
    indexes: Mapping[str, VectorIndex]
    grace_s: float
    batch: int
    interval_s: float

    async def sweep_once(self) -> int:
        """One batch; how many versions went. Repeatable: killed in the middle, the next one finishes it.

        Raises DependencyError or LoadShed; then nothing of the batch has left the database.
        """
        retired = await self.versions.sweepable(grace_s=self.grace_s, limit=self.batch)
        if not retired:
            return 0
        chunk_ids = [chunk_id for version in retired for chunk_id in version.chunk_ids]
        if chunk_ids:
            for index in self.indexes.values():
                await index.delete(chunk_ids)
        await self.versions.purge(retired)
        logger.info("swept %d versions with %d chunks", len(retired), len(chunk_ids))
        return len(retired)

    async def run(self) -> None:
        """Until cancelled: a batch whenever there is one, else a look every `interval_s`."""
        while True:
            try:
                swept = await self.sweep_once()
            except (DependencyError, LoadShed, DeadlineExceeded) as error:
                logger.warning("the sweep waits: %s", error)
                swept = 0
            if swept < self.batch:
                await asyncio.sleep(self.interval_s)
