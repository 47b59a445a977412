"""Writing a version's rows to the indexes, and reading back that they are there (reliability section 6, S5 to S8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

from advanced_rag.domain.documents import IndexRow, Tenant, Vector
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.ports.indexes import VectorIndex
from advanced_rag.services.preparation import PreparedVersion

Result = TypeVar("Result")


async def write_rows(
    tenant: Tenant, prepared: Sequence[PreparedVersion], vectors: Sequence[Vector], indexes: Sequence[VectorIndex]
) -> None:
    """Every chunk's row into each of the indexes; `vectors` in the order of the chunks.

    Raises DependencyError or LoadShed once every call has ended; DependencyInvalid where a row is not there afterwards.
    """
    rows: list[IndexRow] = []
    for version in prepared:
        rows.extend(version.rows(tenant, vectors[len(rows) : len(rows) + len(version.texts)]))
    await _all(index.upsert(rows) for index in indexes)
    chunk_ids = [row.chunk_id for row in rows]
    for stored_ids in await _all(index.present(chunk_ids) for index in indexes):
        if len(stored_ids) != len(chunk_ids):
            raise DependencyInvalid("milvus", "rows that were written could not be read back")


async def _all(calls: Iterable[Awaitable[Result]]) -> list[Result]:
    """All results; the first failure is raised after every call has ended, so that none is left running."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
