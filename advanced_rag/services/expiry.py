"""Forgetting finished jobs, and the answers kept under idempotency keys, when their time is over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from advanced_rag.exceptions import DeadlineExceeded, DependencyError, LoadShed
from advanced_rag.ports.idempotency import IdempotencyStore
from advanced_rag.ports.jobs import JobQueue

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpiryService:
    """Any number of processes may do this at once."""

    jobs: JobQueue
    keys: IdempotencyStore
    keep_jobs_s: float
    keep_keys_s: float
    batch: int
    interval_s: float

    async def sweep_once(self) -> int:
        """A batch of each; how many of the larger went. Raises DependencyError or LoadShed."""
        jobs = await self.jobs.expire(retention_s=self.keep_jobs_s, limit=self.batch)
        keys = await self.keys.expire(keep_s=self.keep_keys_s, limit=self.batch)
        if jobs or keys:
            logger.info("forgot %d finished jobs and %d idempotency keys", jobs, keys)
        return max(jobs, keys)

    async def run(self) -> None:
        """Until cancelled: a batch whenever there is one, else a look every `interval_s`."""
        while True:
            try:
                gone = await self.sweep_once()
            except (DependencyError, LoadShed, DeadlineExceeded) as error:
                logger.warning("old jobs and keys are kept for now: %s", error)
                gone = 0
            if gone < self.batch:
                await asyncio.sleep(self.interval_s)
