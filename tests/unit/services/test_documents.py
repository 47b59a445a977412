"""Listing by a filter, and deleting many documents at once."""

from __future__ import annotations

import pytest

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.exceptions import NotFound, ValidationError
from advanced_rag.services.documents import DocumentsService
from advanced_rag.services.removal import RemovalService
from tests.fakes.services import ACME, FIELDS, FakeServices, given, names

GLOBEX = Tenant("globex")


async def filled() -> FakeServices:
    services = FakeServices()
    for number in range(6):
        metadata = {"lang": "de" if number % 2 else "en", "year": 2020 + number}
        await services.ingest(given(f"text {number}", f"d{number}", domain="law" * (number > 3), metadata=metadata))
    await services.ingest(given("text", "d0", metadata={"lang": "en"}), tenant=GLOBEX)
    return services


def documents_of(services: FakeServices) -> DocumentsService:
    return DocumentsService(services.documents, FIELDS)


def removal_of(services: FakeServices) -> RemovalService:
    return RemovalService(documents_of(services), services.documents, services.versions)


@pytest.mark.parametrize(
    ("filters", "domain", "expected"),
    [
        ({"lang": "de"}, None, ["d1", "d3", "d5"]),
        ({"lang": "de"}, "law", ["d5"]),
        ({"year": {"$lt": 2022}}, None, ["d0", "d1"]),
        ({"document_id": {"$in": ["d2", "d4"]}, "domain": "law"}, None, ["d4"]),
        ({"tags": {"$exists": True}}, None, []),
        ({}, None, ["d0", "d1", "d2", "d3", "d4", "d5"]),
    ],
)
async def test_documents_are_listed_by_a_filter(filters: object, domain: str | None, expected: list[str]) -> None:
    service = documents_of(await filled())
    seen: list[str] = []
    cursor = None
    while True:
        page = await service.documents(ACME, limit=2, cursor=cursor, domain=domain, filters=filters)
        seen += [record.id for record in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == expected


async def test_the_pieces_of_what_there_is_not_are_not_found() -> None:
    service = documents_of(await filled())
    assert [chunk.text for chunk in await service.chunks(ACME, DocumentId("d1"))] == ["text 1"]
    with pytest.raises(NotFound):
        await service.chunks(GLOBEX, DocumentId("d1"))


async def test_a_dry_run_counts_and_deletes_nothing() -> None:
    services = await filled()
    removal = removal_of(services)
    assert await removal.by_ids(ACME, [DocumentId("d1"), DocumentId("none")], dry_run=True) == 1
    assert await removal.by_filter(ACME, {"lang": "de"}, domain=None, dry_run=True) == 3
    assert len((await services.documents.documents(ACME, limit=10)).items) == 6


async def test_by_ids_and_by_filter_they_are_gone_from_every_answer() -> None:
    services = await filled()
    removal = removal_of(services)
    ids = [DocumentId("d0"), DocumentId("d0"), DocumentId("none")]
    assert await removal.by_ids(ACME, ids, dry_run=False) == 1
    assert await removal.by_filter(ACME, {"lang": "de"}, domain="law", dry_run=False) == 1
    assert await removal.by_filter(ACME, {"lang": "de"}, domain=None, dry_run=False) == 2
    assert sorted(names(await services.retrieve("text"))) == ["d2", "d4"]
    assert names(await services.retrieve("text", tenant=GLOBEX)) == ["d0"]


@pytest.mark.parametrize("filters", [{}, {"$and": []}, {"$or": [{}, {"lang": "de"}]}, {"unknown": 1}, None, []])
async def test_a_filter_that_admits_everything_or_is_none_deletes_nothing(filters: object) -> None:
    services = await filled()
    with pytest.raises(ValidationError) as refusal:
        await removal_of(services).by_filter(ACME, filters, domain="law", dry_run=False)
    assert all(error.loc.startswith("/filters") for error in refusal.value.errors)
    assert len((await services.documents.documents(ACME, limit=10)).items) == 6
