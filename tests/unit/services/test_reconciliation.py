"""Every index holds what the database says it must, and nothing that the database does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as given_values
from hypothesis import settings
from hypothesis import strategies as st

from advanced_rag.domain.documents import ChunkId, DocumentId, IndexRow
from advanced_rag.exceptions import MilvusConnectionError, SchemaMismatch
from advanced_rag.services.reconciliation import (
    LaneReport,
    ReconciledLane,
    ReconciliationService,
    ReconciliationValues,
)
from advanced_rag.services.row_rebuilding import LaneEncoder, RowRebuilding
from tests.fakes.chunk_ledger import FakeChunkLedger
from tests.fakes.services import ACME, FakeServices, InlineWorkers, given, names
from tests.fakes.vector_index import FakeVectorIndex

KEYS = DocumentId("keys")
CLEAN = (0, 0)


class Reconciled(FakeServices):
    """The services, and what compares their indexes with their documents."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger = FakeChunkLedger(self.documents)
        self.told: list[tuple[str, str, int]] = []
        self.rebuilding = RowRebuilding(
            preparation=self.preparation,
            workers=InlineWorkers(),
            lanes={
                "semantic": LaneEncoder(self.encoder, "hash"),
                "sparse": LaneEncoder(None, "hash"),
                "domain.legal": LaneEncoder(self.legal_encoder, "legal"),
            },
            encode_batch=2,
        )
        self.reconciliation = ReconciliationService(
            ledger=self.ledger,
            lanes={
                "semantic": ReconciledLane(self.semantic),
                "sparse": ReconciledLane(self.sparse),
                "domain.legal": ReconciledLane(self.legal, "legal"),
            },
            rebuilding=self.rebuilding,
            values=ReconciliationValues(page=3, batch=2, pause_s=0.0, interval_s=0.01),
            on_difference=lambda *told: self.told.append(told),
        )

    async def found(self) -> dict[str, tuple[int, int]]:
        """lane -> (missing, extra)."""
        reports = await self.reconciliation.reconcile()
        return {name: (report.missing, report.extra) for name, report in reports.items()}


async def filled() -> Reconciled:
    services = Reconciled()
    await services.ingest(
        *(given(f"Key number {number} hangs in cabinet {number}.", f"d{number}") for number in range(7))
    )
    await services.ingest(given("A lien is a right.", "lien", domain="legal"))
    return services


@pytest.mark.req("R6.4")
async def test_untouched_indexes_agree_and_nothing_is_embedded() -> None:
    services = await filled()
    encoded = services.encoder.encoded
    reports = await services.reconciliation.reconcile()
    assert reports == {
        "semantic": LaneReport(active=8, stored=8),
        "sparse": LaneReport(active=8, stored=8),
        "domain.legal": LaneReport(active=1, stored=1),
    }
    assert services.encoder.encoded == encoded
    assert services.told == []


@pytest.mark.req("R6.4")
async def test_rows_that_were_lost_are_written_again_just_as_they_were() -> None:
    services = await filled()
    before = {index: dict(index.rows) for index in (services.semantic, services.sparse, services.legal)}
    for index in before:
        index.rows.clear()
    assert await services.found() == {"semantic": (8, 0), "sparse": (8, 0), "domain.legal": (1, 0)}
    assert sum(count for _, kind, count in services.told if kind == "missing") == 17
    for index, rows in before.items():
        assert index.rows.keys() == rows.keys()
        for chunk_id, row in rows.items():
            again = index.rows[chunk_id]
            assert replace(again, vector=row.vector) == row
            if index is not services.sparse:
                assert np.array_equal(again.vector, row.vector)
    assert set((await services.found()).values()) == {CLEAN}
    assert names(await services.retrieve("key number 3"))[0] == "d3"


@pytest.mark.req("R6.4")
async def test_rows_that_the_database_does_not_know_are_deleted() -> None:
    services = await filled()
    some = next(iter(services.semantic.rows.values()))
    for number in range(5):
        ghost = replace(some, chunk_id=ChunkId(f"c_{number}"))
        services.semantic.rows[ghost.chunk_id] = ghost
    assert (await services.found())["semantic"] == (0, 5)
    assert set((await services.found()).values()) == {CLEAN}
    assert len(services.semantic.rows) == 8


@given_values(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_differs_is_mended_at_once(data: st.DataObject) -> None:
    async def scenario() -> None:
        services = await filled()
        some = next(iter(services.semantic.rows.values()))
        lost = data.draw(st.lists(st.sampled_from(sorted(services.semantic.rows)), unique=True))
        ghosts = data.draw(st.lists(st.text("0123456789abcdef", min_size=1, max_size=3), unique=True))
        for chunk_id in lost:
            del services.semantic.rows[chunk_id]
        for ghost in ghosts:
            services.semantic.rows[ChunkId(f"c_{ghost}")] = replace(some, chunk_id=ChunkId(f"c_{ghost}"))
        assert (await services.found())["semantic"] == (len(lost), len(ghosts))
        assert (await services.found())["semantic"] == CLEAN
        assert len(services.semantic.rows) == 8

    asyncio.run(scenario())


@pytest.mark.req("R6.4")
async def test_what_is_staged_in_its_grace_or_about_to_be_swept_is_no_difference() -> None:
    services = await filled()
    await services.ingest(given("Another text.", "d1"))  # version 1 is in its grace
    await services.indexing.delete(ACME, DocumentId("d2"))  # its rows follow with the sweep
    services.sparse.error = MilvusConnectionError("milvus")
    with pytest.raises(MilvusConnectionError):
        await services.ingest(given("Never seen.", "d3"))  # its semantic rows are there, its sparse ones are not
    services.sparse.error = None
    assert set((await services.found()).values()) == {CLEAN}
    services.clock.advance(61)
    while await services.sweeping.sweep_once():
        pass
    assert set((await services.found()).values()) == {CLEAN}
    assert len(services.semantic.rows) == len(services.sparse.rows) == 7


@pytest.mark.req("R6.4")
async def test_a_document_that_moved_to_another_domain_leaves_its_lane() -> None:
    services = await filled()
    await services.ingest(given("A lien is a right.", "lien"))
    services.clock.advance(61)
    await services.sweeping.sweep_once()
    assert set((await services.found()).values()) == {CLEAN}
    assert services.legal.rows == {}


class Late(FakeVectorIndex):
    """Between a page and what follows it somebody else writes."""

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        page = await super().page_of_ids(after, limit)
        if after is None:
            await self.meanwhile()
        return page

    async def meanwhile(self) -> None:
        raise NotImplementedError


async def test_a_document_that_comes_while_the_pages_are_read_is_no_difference() -> None:
    services = await filled()

    class Coming(Late):
        async def meanwhile(self) -> None:
            await services.ingest(*(given(f"New {number}.", f"new{number}") for number in range(9)))

    coming = Coming()
    coming.rows = services.semantic.rows
    lanes = {"semantic": ReconciledLane(coming)}
    (report,) = (await replace(services.reconciliation, lanes=lanes).reconcile()).values()
    assert report.clean


async def test_a_document_that_goes_while_the_pages_are_read_is_no_difference() -> None:
    services = await filled()
    for number in range(7):
        del services.semantic.rows[await _chunk_of(services, f"d{number}")]

    class Going(FakeVectorIndex):
        async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
            for number in range(7):
                await services.indexing.delete(ACME, DocumentId(f"d{number}"))
            return await super().present(chunk_ids)

    going = Going()
    going.rows = services.semantic.rows
    lanes = {"semantic": ReconciledLane(going)}
    (report,) = (await replace(services.reconciliation, lanes=lanes).reconcile()).values()
    assert report.clean
    assert {row.document_id for row in going.rows.values()} == {"lien"}


async def _chunk_of(services: Reconciled, name: str) -> ChunkId:
    chunks = await services.documents.chunks(ACME, DocumentId(name))
    assert chunks
    return chunks[0].id


async def test_vectors_of_another_model_are_never_mixed_in() -> None:
    services = await filled()
    services.semantic.rows.clear()
    lanes = {**services.rebuilding.lanes, "semantic": LaneEncoder(services.encoder, "another")}
    service = replace(services.reconciliation, rebuilding=replace(services.rebuilding, lanes=lanes))
    with pytest.raises(SchemaMismatch):
        await service.reconcile()
    assert services.semantic.rows == {}


async def test_memory_is_bounded_by_the_page_and_the_batch() -> None:
    services = await filled()
    services.semantic.rows.clear()
    sizes: list[int] = []

    class Watching(FakeVectorIndex):
        async def upsert(self, rows: Sequence[IndexRow]) -> None:
            sizes.append(len(rows))
            await super().upsert(rows)

    lanes = {"semantic": ReconciledLane(Watching())}
    await replace(services.reconciliation, lanes=lanes).reconcile()
    assert sizes == [2, 2, 2, 2]


async def test_it_goes_on_by_itself_and_survives_an_outage() -> None:
    services = await filled()
    outages = 0

    class Flaky(FakeVectorIndex):
        async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
            nonlocal outages
            outages += 1
            if outages <= 2:
                raise MilvusConnectionError("milvus")
            return await super().page_of_ids(after, limit)

    flaky = Flaky()
    service = replace(services.reconciliation, lanes={"semantic": ReconciledLane(flaky)})
    running = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(5):
            while len(flaky.rows) < 8:
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert outages > 2
