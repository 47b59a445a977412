"""The registry of physical collections in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from advanced_rag.domain.documents import Lane
from advanced_rag.ports.collections import CollectionRecord
from tests.fakes.storable import refuse_unstorable


@dataclass(slots=True)
class FakeCollectionRegistry:
    """`ports.collections.CollectionRegistry`."""

    _records: dict[tuple[Lane, str], CollectionRecord] = field(default_factory=dict)

    async def active(self) -> list[CollectionRecord]:
        return [self._records[key] for key in sorted(self._records)]

    async def register(self, lane: Lane, domain: str, *, model_digest: str, dimension: int) -> CollectionRecord:
        refuse_unstorable({"/domain": domain}, {"/model_digest": model_digest})
        nameable = "".join(
            character if character.isascii() and (character.isalnum() or character == "_") else f"_{ord(character):x}"
            for character in domain
        )
        name = f"rag_{lane.value}_{nameable}_v1" if domain else f"rag_{lane.value}_v1"
        return self._records.setdefault(
            (lane, domain), CollectionRecord(lane, domain, name, model_digest, dimension, generation=1)
        )
