"""Making, checking, warming and compacting the physical collections. All of it may be repeated, by any process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from pymilvus import AsyncMilvusClient

from advanced_rag.adapters.milvus.client import ONE_ATTEMPT, Connected, MilvusConnection
from advanced_rag.adapters.milvus.errors import CollectionMissing, NothingToRank, translated
from advanced_rag.adapters.milvus.schema import (
    VECTOR_FIELD,
    DenseLayout,
    Layout,
    SparseLayout,
    indexed_fields,
    stored_types,
)
from advanced_rag.domain.documents import Lane
from advanced_rag.domain.filters import DeclaredFields
from advanced_rag.exceptions import CallerError, DependencyError, SchemaMismatch
from advanced_rag.ports.collections import CollectionRecord

# A write waits for nobody; `present` asks for strong consistency by itself, and what it has seen a search sees.
_CONSISTENCY: Final = "Bounded"


def layout_of(record: CollectionRecord, fields: DeclaredFields) -> Layout:
    """What the collection of that record looks like."""
    if record.lane is Lane.SPARSE:
        return SparseLayout(fields)
    return DenseLayout(record.dimension, fields)


async def ensure_collection(connection: MilvusConnection, record: CollectionRecord, fields: DeclaredFields) -> None:
    """Make the collection where it is missing, check it where it is not, load it and search it once.

    Raises:
        SchemaMismatch: it has another dimension, or lacks a declared field: it must be built anew.
        DependencyError: Milvus did not answer, or is too old for this lane.
    """
    name = f"milvus.{record.lane}"
    layout = layout_of(record, fields)
    connected = await connection.open()
    if record.lane is Lane.SPARSE and not connected.dialect.bm25:
        raise DependencyError(name, f"{name} needs Milvus 2.5 or later", transient=False)
    described = await _described(connected, record.physical_name, name)
    if described is None:
        described = await _created(connected, record.physical_name, layout, name)
    _check(described, layout, name=name, collection=record.physical_name)
    await _index(connected, record.physical_name, layout, name)
    await warm_collection(connection, record, fields)


async def warm_collection(connection: MilvusConnection, record: CollectionRecord, fields: DeclaredFields) -> None:
    """Load the collection and search it once: the engine reads it into memory at the first use only (R5.5)."""
    name = f"milvus.{record.lane}"
    layout = layout_of(record, fields)
    await connection.load(record.physical_name)
    connected = await connection.open()
    with suppress(NothingToRank), translated(name):
        await connected.client.search(
            record.physical_name,
            layout.warm_probe(),
            anns_field=VECTOR_FIELD,
            search_params={"metric_type": layout.metric},
            limit=1,
            **ONE_ATTEMPT,
        )


async def compact_collection(connection: MilvusConnection, collection: str, *, name: str) -> None:
    """Forget replaced and deleted rows, which stay in memory and are scanned: release and load.

    The embedded engine answers no search of any lane meanwhile: choose a quiet moment, and one collection at a time.
    """
    connected = await connection.open()
    with translated(name):
        await connected.client.release_collection(collection, **ONE_ATTEMPT)
    await connection.load(collection)


async def drop_collection(connection: MilvusConnection, collection: str, *, name: str) -> None:
    """Remove it with all its rows; none of that name is no error."""
    connected = await connection.open()
    with translated(name):
        await connected.client.drop_collection(collection, **ONE_ATTEMPT)


async def _described(connected: Connected, collection: str, name: str) -> Mapping[str, Any] | None:
    with translated(name):
        if not await connected.client.has_collection(collection, **ONE_ATTEMPT):
            return None
        described: Mapping[str, Any] = await connected.client.describe_collection(collection, **ONE_ATTEMPT)
        return described


async def _created(connected: Connected, collection: str, layout: Layout, name: str) -> Mapping[str, Any]:
    """Another process may do the same at the same moment: what is there afterwards counts, whoever made it."""
    try:
        with translated(name):
            await connected.client.create_collection(
                collection, schema=layout.schema(connected.dialect), consistency_level=_CONSISTENCY, **ONE_ATTEMPT
            )
    except (DependencyError, CallerError):
        described = await _described(connected, collection, name)
        if described is None:
            raise
        return described
    described = await _described(connected, collection, name)
    if described is None:
        raise CollectionMissing(name, f"{collection} was made and is gone again")
    return described


def _check(described: Mapping[str, Any], layout: Layout, *, name: str, collection: str) -> None:
    with translated(name):
        stored = {field["name"]: field for field in described["fields"]}
        dimension = stored.get(VECTOR_FIELD, {}).get("params", {}).get("dim")
    if isinstance(layout, DenseLayout) and (dimension is None or int(dimension) != layout.dimension):
        raise SchemaMismatch(
            name,
            f"{collection} holds vectors of {dimension} dimensions, the model makes {layout.dimension}: reindex",
            transient=False,
        )
    for field_name, (kind, element) in stored_types(layout.fields).items():
        found = stored.get(field_name, {})
        if found.get("type") != kind or (element is not None and found.get("element_type") != element):
            raise SchemaMismatch(
                name, f"{collection} has no filter field {field_name!r} of the declared type: reindex", transient=False
            )


async def _index(connected: Connected, collection: str, layout: Layout, name: str) -> None:
    """The missing indexes side by side: pymilvus sleeps half a second on each before it looks whether it is there."""
    with translated(name):
        there = set(await connected.client.list_indexes(collection, **ONE_ATTEMPT))
    wanted: dict[str, Mapping[str, Any]] = {VECTOR_FIELD: layout.vector_index(connected.dialect)}
    wanted |= {scalar: {"index_type": "INVERTED"} for scalar in indexed_fields(layout.fields, connected.dialect)}

    async def create(field_name: str, how: Mapping[str, Any]) -> None:
        params = AsyncMilvusClient.prepare_index_params()
        params.add_index(field_name, index_name=field_name, **how)
        with translated(name):
            await connected.client.create_index(collection, params, **ONE_ATTEMPT)

    missing = (create(field_name, how) for field_name, how in wanted.items() if field_name not in there)
    for outcome in await asyncio.gather(*missing, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
