"""What every registry of physical collections keeps to."""

from __future__ import annotations

import asyncio
import re

import pytest

from advanced_rag.domain.documents import Lane
from advanced_rag.exceptions import ValidationError
from advanced_rag.ports.collections import CollectionRecord, CollectionRegistry


class CollectionRegistryContract:
    """A subclass gives an empty `registry`."""

    async def test_a_lane_is_registered_once_and_stays(self, registry: CollectionRegistry) -> None:
        assert await registry.active() == []
        made = await registry.register(Lane.SEMANTIC, "", model_digest="m1", dimension=384)
        assert made == CollectionRecord(Lane.SEMANTIC, "", "rag_semantic_v1", "m1", 384, 1)
        assert await registry.register(Lane.SEMANTIC, "", model_digest="m1", dimension=384) == made
        assert await registry.active() == [made]

    async def test_another_model_does_not_displace_the_active_collection(self, registry: CollectionRegistry) -> None:
        made = await registry.register(Lane.SEMANTIC, "", model_digest="m1", dimension=384)
        assert await registry.register(Lane.SEMANTIC, "", model_digest="m2", dimension=768) == made

    async def test_each_domain_has_a_collection_of_its_own(self, registry: CollectionRegistry) -> None:
        domains = ["legal", "medical", "legal-de", "legal_de", "Rechtsgeschäft", "法律", "a.b", "a-b"]
        names = [
            (await registry.register(Lane.DOMAIN, domain, model_digest="m", dimension=384)).physical_name
            for domain in domains
        ]
        assert names[0] == "rag_domain_legal_v1"
        assert len(set(names)) == len(domains)
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,254}", name) for name in names)

    async def test_all_that_register_at_once_get_the_same(self, registry: CollectionRegistry) -> None:
        records = await asyncio.gather(
            *(registry.register(Lane.SPARSE, "", model_digest=f"m{number}", dimension=1) for number in range(20))
        )
        assert len(set(records)) == 1
        assert await registry.active() == [records[0]]

    async def test_records_come_in_the_order_of_lane_and_domain(self, registry: CollectionRegistry) -> None:
        for lane, domain in ((Lane.SPARSE, ""), (Lane.DOMAIN, "b"), (Lane.SEMANTIC, ""), (Lane.DOMAIN, "a")):
            await registry.register(lane, domain, model_digest="m", dimension=1)
        found = [(record.lane, record.domain) for record in await registry.active()]
        assert found == [(Lane.DOMAIN, "a"), (Lane.DOMAIN, "b"), (Lane.SEMANTIC, ""), (Lane.SPARSE, "")]

    async def test_a_domain_that_cannot_be_stored_is_refused(self, registry: CollectionRegistry) -> None:
        for odd in ("a\0b", "\ud800", "x" * 129):
            with pytest.raises(ValidationError):
                await registry.register(Lane.DOMAIN, odd, model_digest="m", dimension=1)
