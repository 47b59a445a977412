"""A request with a key is executed once; whoever repeats it gets the first one's answer (reliability R6.5).

Source: draft-ietf-httpapi-idempotency-key-header; the scope of a key is (tenant, route, key).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from advanced_rag.exceptions import (
    DeadlineExceeded,
    DependencyError,
    KeyInProgress,
    KeyMismatch,
    LoadShed,
)
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import IdempotencyStore, KeyClaim, KeyedRequest, KeyRunning, KeyTaken
from advanced_rag.resilience.deadline import without_deadline

logger = logging.getLogger(__name__)

_RELEASE_LIMIT_S: Final = 0.1  # a request that is over must not wait for a database that hangs
_NO_ANSWER: Final = (DependencyError, LoadShed, DeadlineExceeded)


def fingerprint_of(value: Any) -> str:
    """SHA-256 in hex of a JSON value in canonical form: the order of members and white space do not matter.

    Pure CPU: a big value belongs in an executor.
    """
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class IdempotencyService:
    """Keys of all routes."""

    store: IdempotencyStore
    lease_s: float
    renew_s: float
    keep_s: float

    async def once(
        self, request: KeyedRequest, execute: Callable[[KeyClaim], Awaitable[KeptAnswer]]
    ) -> tuple[KeptAnswer, bool]:
        """The answer, and whether it is the repeated one of an earlier request.

        What `execute` returns is kept, unless it has committed it itself. What it raises is not: a later request with
        the key is executed.

        Raises:
            KeyInProgress: the first request with this key is still running.
            KeyMismatch: the key came with another request before.
        """
        claim = await self.store.claim(request, lease_s=self.lease_s, keep_s=self.keep_s)
        match claim:
            case KeptAnswer():
                return claim, True
            case KeyRunning():
                raise KeyInProgress(request.key)
            case KeyTaken():
                raise KeyMismatch(request.key)
        try:
            async with self._renewing(claim):
                answer = await execute(claim)
        except BaseException:
            await self._release(claim)
            raise
        await self._finish(answer)
        return answer, False

    async def _finish(self, answer: KeptAnswer) -> None:
        """The work is done and acknowledged, whether the answer can be kept or not."""
        try:
            await self.store.finish(answer)
        except _NO_ANSWER as error:
            logger.warning("the answer under an idempotency key was not kept: %s", error)

    async def _release(self, claim: KeyClaim) -> None:
        """Best effort: otherwise the claim's lease ends by itself."""
        limit = asyncio.timeout(_RELEASE_LIMIT_S)
        try:
            with without_deadline():
                async with limit:
                    await self.store.release(claim)
        except (TimeoutError, *_NO_ANSWER) as error:
            logger.warning("an idempotency key was not released: %s", error or "no answer")

    @asynccontextmanager
    async def _renewing(self, claim: KeyClaim) -> AsyncIterator[None]:
        renewal = asyncio.create_task(self._renew(claim), name="renew-idempotency-key")
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self, claim: KeyClaim) -> None:
        ours = True
        while ours:
            await asyncio.sleep(self.renew_s)
            try:
                ours = await self.store.renew(claim, lease_s=self.lease_s)
            except _NO_ANSWER as error:
                logger.warning("an idempotency key was not renewed: %s", error)
