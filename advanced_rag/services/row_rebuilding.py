"""Index rows made anew from the database's texts: what an index has lost can be given back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from advanced_rag.domain.documents import IndexRow, Tenant, Vector
from advanced_rag.exceptions import SchemaMismatch
from advanced_rag.ports.documents import StagedVersion
from advanced_rag.ports.models import Encoder
from advanced_rag.services.batch_encoding import encoded_in_batches
from advanced_rag.services.indexing import Workers
from advanced_rag.services.preparation import Preparation

_NO_VECTOR: Vector = np.zeros(0, dtype=np.float32)


class Rebuilding(Protocol):
    """Makes one lane's rows."""

    async def rows(self, lane: str, versions: Sequence[tuple[Tenant, StagedVersion]]) -> list[IndexRow]:
        """A row for each chunk of these versions. Raises what the encoder raises; SchemaMismatch: another model's."""
        ...


@dataclass(frozen=True, slots=True)
class LaneEncoder:
    """What made a lane's vectors. `encoder` None: the lane has none; `digest`: the model that its collection names."""

    encoder: Encoder | None
    digest: str


@dataclass(frozen=True, slots=True)
class RowRebuilding:
    """Encodes and analyses again, exactly as when the documents were taken in."""

    preparation: Preparation
    workers: Workers
    lanes: Mapping[str, LaneEncoder]
    encode_batch: int

    async def rows(self, lane: str, versions: Sequence[tuple[Tenant, StagedVersion]]) -> list[IndexRow]:
        """See `Rebuilding`."""
        prepared = await self.workers.run(lambda: [self.preparation.analysed(version) for _, version in versions])
        vectors = await self._vectors(lane, [text for version in prepared for text in version.texts])
        rows: list[IndexRow] = []
        for (tenant, _), version in zip(versions, prepared, strict=True):
            rows.extend(version.rows(tenant, vectors[len(rows) : len(rows) + len(version.texts)]))
        return rows

    async def _vectors(self, lane: str, texts: Sequence[str]) -> Sequence[Vector]:
        encoder, digest = self.lanes[lane].encoder, self.lanes[lane].digest
        if encoder is None:
            return [_NO_VECTOR] * len(texts)
        if encoder.model.digest != digest:
            raise SchemaMismatch(
                f"milvus.{lane}", f"the collection of lane {lane} holds vectors of another model", transient=False
            )
        return list(await encoded_in_batches(encoder, texts, self.encode_batch))
