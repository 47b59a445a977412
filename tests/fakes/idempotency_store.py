"""Idempotency keys in memory; passes the contract of the real ones. Its clock stands for the database's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from advanced_rag.domain.documents import Tenant
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest, KeyRunning, KeyTaken
from tests.fakes.storable import refuse_unstorable


@dataclass(slots=True)
class _Row:
    fingerprint: str
    owner: str
    lease_until: float
    created: float
    answer: KeptAnswer | None = None


@dataclass(slots=True)
class FakeIdempotencyStore:
    """`ports.idempotency.IdempotencyStore`."""

    clock: Callable[[], float] = time.monotonic
    rows: dict[tuple[Tenant, str, str], _Row] = field(default_factory=dict)
    _owners: count[int] = field(default_factory=count)

    async def claim(
        self, request: KeyedRequest, *, lease_s: float, keep_s: float
    ) -> KeyClaim | KeptAnswer | KeyRunning | KeyTaken:
        refuse_unstorable({"/tenant": request.tenant, "/route": request.route}, {"/key": request.key})
        place = (request.tenant, request.route, request.key)
        now, row = self.clock(), self.rows.get(place)
        if row is not None and row.lease_until <= now:
            died = row.answer is None and row.fingerprint == request.fingerprint
            if died or row.created < now - keep_s:
                row = None
        if row is None:
            owner = f"o{next(self._owners)}"
            self.rows[place] = _Row(request.fingerprint, owner, now + lease_s, now)
            return KeyClaim(*place, owner)
        if row.fingerprint != request.fingerprint:
            return KeyTaken()
        return row.answer or KeyRunning()

    async def renew(self, claim: KeyClaim, *, lease_s: float) -> bool:
        row = self._ours(claim)
        if row is not None:
            row.lease_until = self.clock() + lease_s
        return row is not None

    async def finish(self, answer: KeptAnswer) -> None:
        self.keep_answer(answer)

    def keep_answer(self, answer: KeptAnswer) -> None:
        """As within somebody's transaction."""
        row = self._ours(answer)
        if row is not None:
            row.answer, row.lease_until, row.created = answer, self.clock(), self.clock()

    async def release(self, claim: KeyClaim) -> None:
        if self._ours(claim) is not None:
            del self.rows[claim.tenant, claim.route, claim.key]

    async def expire(self, *, keep_s: float, limit: int) -> int:
        now = self.clock()
        old = [key for key, row in self.rows.items() if row.created < now - keep_s and row.lease_until <= now][:limit]
        for key in old:
            del self.rows[key]
        return len(old)

    def _ours(self, claim: KeyClaim | KeptAnswer) -> _Row | None:
        row = self.rows.get((claim.tenant, claim.route, claim.key))
        return row if row is not None and row.answer is None and row.owner == claim.owner else None
