"""Which physical collection a lane reads."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.column_types import AnyRow, database_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import refuse_unstorable
from advanced_rag.adapters.sql.tables import ACTIVE, collections
from advanced_rag.adapters.sql.upsert import upsert
from advanced_rag.domain.documents import Lane
from advanced_rag.exceptions import Conflict
from advanced_rag.ports.collections import CollectionRecord

_NOT_NAMEABLE: Final = re.compile(r"[^A-Za-z0-9_]")  # Milvus: letters, digits and underscores
_DIGEST_HEX_DIGITS: Final = 8
_c = collections.c


@dataclass(frozen=True, slots=True)
class SqlCollectionRegistry:
    """`ports.collections.CollectionRegistry`."""

    pool: DbPool

    async def active(self) -> list[CollectionRecord]:
        """The active collection of each lane and domain."""
        statement = select(collections).where(_c.state == ACTIVE).order_by(_c.lane, _c.domain)
        async with self.pool.read() as connection:
            return [_record(row) for row in await connection.execute(statement)]

    async def register(self, lane: Lane, domain: str, *, model_digest: str, dimension: int) -> CollectionRecord:
        """The active record of that lane and domain, made now if there is none."""
        refuse_unstorable(identifiers={"/domain": domain}, values={"/model_digest": model_digest})
        async with self.pool.read() as connection:
            row = await _active_row(connection, lane, domain)
        if row is None:
            async with self.pool.write() as connection:
                row = await _made(connection, lane, domain, {"model_digest": model_digest, "dimension": dimension})
        if row is None:
            raise Conflict(f"the collection of lane {lane.value} cannot be made: its name is taken")
        return _record(row)


def physical_name(lane: Lane, domain: str, generation: int) -> str:
    """`rag_<lane>[_<domain>]_v<generation>`; two domains never share a name, whatever characters they have."""
    parts = ["rag", lane.value]
    if domain:
        nameable = _NOT_NAMEABLE.sub("_", domain)
        if nameable != domain:
            nameable += "_" + hashlib.sha256(domain.encode()).hexdigest()[:_DIGEST_HEX_DIGITS]
        parts.append(nameable)
    return "_".join([*parts, f"v{generation}"])


async def _made(connection: AsyncConnection, lane: Lane, domain: str, values: dict[str, Any]) -> AnyRow | None:
    known = select(func.max(_c.generation)).where(_c.lane == lane.value, _c.domain == domain)
    generation = ((await connection.execute(known)).scalar_one() or 0) + 1
    insertion = upsert(connection, collections).values(
        lane=lane.value,
        domain=domain,
        generation=generation,
        physical_name=physical_name(lane, domain, generation),
        state=ACTIVE,
        created_at=database_now(),
        updated_at=database_now(),
        **values,
    )
    # Of several at once one inserts; the others wait here for its commit, and then find its row.
    await connection.execute(insertion.on_conflict_do_nothing())
    return await _active_row(connection, lane, domain)


async def _active_row(connection: AsyncConnection, lane: Lane, domain: str) -> AnyRow | None:
    statement = select(collections).where(_c.lane == lane.value, _c.domain == domain, _c.state == ACTIVE)
    return (await connection.execute(statement)).one_or_none()


def _record(row: AnyRow) -> CollectionRecord:
    return CollectionRecord(
        lane=Lane(row.lane),
        domain=row.domain,
        physical_name=row.physical_name,
        model_digest=row.model_digest,
        dimension=row.dimension,
        generation=row.generation,
    )
