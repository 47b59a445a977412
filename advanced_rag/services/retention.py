"""Forgetting conversations that have been silent for longer than they are to be kept."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from advanced_rag.exceptions import DeadlineExceeded, DependencyError, LoadShed
from advanced_rag.ports.conversations import Retention

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionService:
    """Deletes old sessions in batches. Any number of processes may do so at once."""

    retention: Retention
    retention_days: int
    batch: int
    interval_s: float

    async def sweep_once(self) -> int:
        """One batch; how many sessions went. Raises DependencyError or LoadShed."""
        expired = await self.retention.expire(retention_days=self.retention_days, limit=self.batch)
        if expired:
            logger.info("forgot %d sessions, silent for %d days", expired, self.retention_days)
        return expired

    async def run(self) -> None:
        """Until cancelled: a batch whenever there is one, else a look every `interval_s`."""
        while True:
            try:
                expired = await self.sweep_once()
            except (DependencyError, LoadShed, DeadlineExceeded) as error:
                logger.warning("old sessions are kept for now: %s", error)
                expired = 0
            if expired < self.batch:
                await asyncio.sleep(self.interval_s)
