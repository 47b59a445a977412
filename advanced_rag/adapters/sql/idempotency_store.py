"""Idempotency keys.

While a row is `running`, its `body` is the owner's mark: what tells a claim from the one that took over from it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.column_types import AnyRow, database_now, seconds_from_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import refuse_unstorable
from advanced_rag.adapters.sql.tables import idempotency_keys
from advanced_rag.adapters.sql.upsert import upsert
from advanced_rag.domain.documents import Tenant
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest, KeyRunning, KeyTaken

_RUNNING: Final = "running"
_FINISHED: Final = "finished"
_k = idempotency_keys.c


@dataclass(frozen=True, slots=True)
class SqlIdempotencyStore:
    """`ports.idempotency.IdempotencyStore`. Each method is one transaction."""

    pool: DbPool

    async def claim(
        self, request: KeyedRequest, *, lease_s: float, keep_s: float
    ) -> KeyClaim | KeptAnswer | KeyRunning | KeyTaken:
        """One statement inserts the key, or takes it over where its first request has died or is forgotten."""
        refuse_unstorable(
            identifiers={"/tenant": request.tenant, "/route": request.route}, values={"/key": request.key}
        )
        owner = uuid.uuid4().hex
        fresh = {
            "fingerprint": request.fingerprint,
            "state": _RUNNING,
            "status": None,
            "headers": None,
            "body": owner,
            "lease_until": seconds_from_now(lease_s),
            "created_at": database_now(),
        }
        own = {"tenant": request.tenant, "route": request.route, "key": request.key}
        died = and_(_k.state == _RUNNING, _k.lease_until <= seconds_from_now(0), _k.fingerprint == request.fingerprint)
        forgotten = and_(_k.created_at < seconds_from_now(-keep_s), _k.lease_until <= seconds_from_now(0))
        async with self.pool.write() as connection:
            insertion = upsert(connection, idempotency_keys).values(**own, **fresh)
            claiming = insertion.on_conflict_do_update(
                index_elements=list(own), set_=fresh, where=or_(died, forgotten)
            ).returning(_k.body)
            if (await connection.execute(claiming)).one_or_none() is not None:
                return KeyClaim(request.tenant, request.route, request.key, owner)
            known = select(idempotency_keys).where(*_is_key(request.tenant, request.route, request.key))
            row = (await connection.execute(known)).one_or_none()
        return _answer(request, row)

    async def renew(self, claim: KeyClaim, *, lease_s: float) -> bool:
        """The claim lasts that long from now."""
        statement = update(idempotency_keys).where(_is_ours(claim)).values(lease_until=seconds_from_now(lease_s))
        async with self.pool.write() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def finish(self, answer: KeptAnswer) -> None:
        """Keep the answer."""
        async with self.pool.write() as connection:
            await keep_answer(connection, answer)

    async def release(self, claim: KeyClaim) -> None:
        """Forget the key."""
        async with self.pool.write() as connection:
            await connection.execute(delete(idempotency_keys).where(_is_ours(claim)))

    async def expire(self, *, keep_s: float, limit: int) -> int:
        """Forget old keys, those included whose request died and was never repeated."""
        old = (
            select(_k.tenant, _k.route, _k.key)
            .where(_k.created_at < seconds_from_now(-keep_s), _k.lease_until <= seconds_from_now(0))
            .order_by(_k.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self.pool.write() as connection:
            gone = await connection.execute(
                delete(idempotency_keys).where(tuple_(_k.tenant, _k.route, _k.key).in_(old))
            )
        return gone.rowcount


async def keep_answer(connection: AsyncConnection, answer: KeptAnswer) -> None:
    """Keep an answer within somebody's transaction. It is kept from now on: its age counts from here."""
    statement = (
        update(idempotency_keys)
        .where(_is_ours(answer))
        .values(
            state=_FINISHED,
            status=answer.status,
            headers=dict(answer.headers),
            body=answer.body,
            lease_until=database_now(),
            created_at=database_now(),
        )
    )
    await connection.execute(statement)


def _is_key(tenant: Tenant, route: str, key: str) -> tuple[Any, ...]:
    return (_k.tenant == tenant, _k.route == route, _k.key == key)


def _is_ours(claim: KeyClaim | KeptAnswer) -> Any:
    own = _is_key(claim.tenant, claim.route, claim.key)
    return and_(*own, _k.state == _RUNNING, _k.body == claim.owner)


def _answer(request: KeyedRequest, row: AnyRow | None) -> KeptAnswer | KeyRunning | KeyTaken:
    if row is None:  # released between the two statements: whoever comes back in a moment gets the claim
        return KeyRunning()
    if row.fingerprint != request.fingerprint:
        return KeyTaken()
    if row.state == _RUNNING:
        return KeyRunning()
    return KeptAnswer(request.tenant, request.route, request.key, "", row.status, row.headers or {}, row.body)
