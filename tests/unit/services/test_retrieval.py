"""Retrieval over fakes: what is found, what is left out, and what is said when a part is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from advanced_rag.domain.documents import ChunkId, DocumentId, Lane, Passage, Tenant
from advanced_rag.exceptions import (
    CircuitOpen,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    MilvusConnectionError,
    RetrievalError,
    ValidationError,
)
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.services.preparation import GivenDocument
from advanced_rag.services.retrieval_query import Mode
from tests.fakes.document_store import FakeDocumentStore
from tests.fakes.services import ACME, FakeServices, given, names

GLOBEX = Tenant("globex")


async def filled(**options: object) -> FakeServices:
    services = FakeServices(**options)  # type: ignore[arg-type]
    await services.ingest(
        given("The spare keys hang in cabinet B.", "keys", metadata={"lang": "en", "year": 2024, "tags": ["office"]}),
        given("The boiler is serviced in May.", "boiler", metadata={"lang": "en", "year": 2020}),
        given("Die Ersatzschlüssel hängen im Schrank.", "schluessel", metadata={"lang": "de"}),
        given("A lien is a right over property.", "lien", domain="legal"),
    )
    return services


async def test_the_right_passage_comes_first_with_a_score_and_its_place() -> None:
    services = await filled()
    answer = await services.retrieve("where are the spare keys", top_k=2)
    assert names(answer)[0] == "keys"
    first, second = answer.results
    assert (first.rank, second.rank) == (1, 2)
    assert 1 >= first.score >= second.score >= 0
    assert answer.degraded == ()
    assert {"embedding", "semantic", "sparse", "lookup", "total"} <= answer.timings_ms.keys()
    assert answer.coverage[Lane.SEMANTIC] > 0


@pytest.mark.req("R8.1")
async def test_another_tenants_documents_are_not_there() -> None:
    services = await filled()
    await services.ingest(given("The spare keys of Globex.", "keys"), tenant=GLOBEX)
    assert {result.passage.text for result in (await services.retrieve("spare keys", tenant=GLOBEX)).results} == {
        "The spare keys of Globex."
    }
    assert all("Globex" not in result.passage.text for result in (await services.retrieve("spare keys")).results)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"lang": "de"}, {"schluessel"}),
        ({"year": {"$gte": 2022}}, {"keys"}),
        ({"year": {"$exists": False}}, {"schluessel", "lien"}),
        ({"tags": "office"}, {"keys"}),
        ({"lang": {"$in": []}}, set()),
        ({"document_id": {"$in": ["keys", "boiler"]}}, {"keys", "boiler"}),
    ],
)
async def test_a_filter_chooses_by_metadata(filters: object, expected: set[str]) -> None:
    services = await filled()
    assert set(names(await services.retrieve("keys boiler Schrank lien", filters=filters))) == expected


async def test_a_filter_that_admits_nothing_searches_nothing() -> None:
    services = await filled()
    before = services.semantic.searches
    assert (await services.retrieve("keys", filters={"lang": {"$in": []}})).results == ()
    assert services.semantic.searches == before


async def test_a_domain_filters_and_asks_its_lane() -> None:
    services = await filled()
    answer = await services.retrieve("lien property", domain="legal")
    assert names(answer) == ["lien"]
    assert set(answer.coverage) == {Lane.SEMANTIC, Lane.SPARSE, Lane.DOMAIN}
    only = await services.retrieve("lien property", domain="legal", mode=Mode.DOMAIN)
    assert set(only.coverage) == {Lane.DOMAIN}


@pytest.mark.parametrize("domain", [None, "medical"])
async def test_a_domain_without_an_encoder_cannot_be_asked_alone(domain: str | None) -> None:
    services = await filled()
    with pytest.raises(ValidationError, match="/domain"):
        await services.retrieve("lien", domain=domain, mode=Mode.DOMAIN)


async def test_a_lane_that_is_switched_off_is_not_called() -> None:
    services = await filled(features=FeatureFlags(enable_sparse_search=False, enable_domain_search=False))
    await services.retrieve("lien property", domain="legal")
    assert (services.sparse.searches, services.legal.searches) == (0, 0)
    with pytest.raises(ValidationError, match="/mode"):
        await services.retrieve("lien", mode=Mode.SPARSE)


async def test_a_threshold_cuts_what_scores_below_it() -> None:
    services = await filled()
    everything = await services.retrieve("spare keys")
    threshold = everything.results[0].score
    assert len((await services.retrieve("spare keys", min_score=threshold)).results) < len(everything.results)


async def test_a_lane_that_is_gone_is_named_and_the_other_answers() -> None:
    services = await filled()
    services.sparse.error = MilvusConnectionError("milvus.sparse")
    answer = await services.retrieve("spare keys")
    assert names(answer)[0] == "keys"
    assert answer.degraded == ("sparse:unavailable",)


async def test_without_embeddings_the_words_still_find_it() -> None:
    services = await filled()
    services.encoder.error = EmbeddingGenerationError("embedding")
    answer = await services.retrieve("spare keys")
    assert names(answer)[0] == "keys"
    assert answer.degraded == ("embedding:unavailable", "semantic:unavailable")


async def test_when_no_lane_answers_the_request_fails_and_says_why() -> None:
    services = await filled()
    services.semantic.error = services.sparse.error = MilvusConnectionError("milvus")
    with pytest.raises(RetrievalError) as failure:
        await services.retrieve("spare keys")
    assert failure.value.reasons == {"semantic": "unavailable", "sparse": "unavailable"}


class GoneReader(FakeDocumentStore):
    """The database's reader while the database is gone."""

    error: Exception = DependencyUnavailable("database")

    async def visible(self, *_: object, **__: object) -> dict[ChunkId, Passage]:
        raise self.error


def without_database(services: FakeServices, error: Exception) -> None:
    gone = GoneReader()
    gone.error = error
    object.__setattr__(services.retrieval, "reader", gone)


@pytest.mark.req("R5.1")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DependencyUnavailable("database"), "unavailable"),
        (DependencyTimeout("database", limit_s=0.5), "timeout"),
        (CircuitOpen("database", retry_after_s=4), "unavailable"),
    ],
)
async def test_without_the_database_the_texts_come_from_the_sparse_collection(error: Exception, reason: str) -> None:
    services = await filled()
    without_database(services, error)
    answer = await services.retrieve("spare keys", top_k=1)
    assert answer.results[0].passage.text == "The spare keys hang in cabinet B."
    assert not answer.results[0].passage.stale  # this process wrote it and knows its version
    assert answer.degraded == (f"database:{reason}",)


@pytest.mark.req("R5.1")
async def test_a_document_this_process_knows_nothing_of_is_shown_as_stale_and_a_deleted_one_not_at_all() -> None:
    services = await filled()
    services.clock.advance(901)  # what this process has seen so far is no longer believed
    services.versions.saw(ACME, DocumentId("keys"), 1)
    services.versions.saw_deleted(ACME, DocumentId("boiler"))
    without_database(services, DependencyUnavailable("database"))
    answer = await services.retrieve("keys boiler Schrank")
    stale = {str(result.passage.document_id): result.passage.stale for result in answer.results}
    assert stale == {"keys": False, "schluessel": True, "lien": True}
    assert "database:stale" in answer.degraded


@pytest.mark.req("R5.1")
async def test_degraded_reads_can_be_denied() -> None:
    services = await filled(allow_degraded_reads=False)
    without_database(services, DependencyUnavailable("database"))
    with pytest.raises(DependencyUnavailable):
        await services.retrieve("spare keys")


@pytest.mark.req("R6.9")
async def test_invisible_rows_do_not_take_the_places_of_visible_ones() -> None:
    services = await filled()
    for number in range(60):  # more retired versions than one search returns
        await services.ingest(given(f"The spare keys are in cabinet number {number}.", "moving"))
    services.clock.advance(61)
    answer = await services.retrieve("spare keys cabinet", top_k=3)
    assert len(answer.results) == 3
    moving = [result.passage for result in answer.results if result.passage.document_id == "moving"]
    assert [passage.text for passage in moving] == ["The spare keys are in cabinet number 59."]


class HeldBack:
    """A store whose next flip waits for the test."""

    def __init__(self, inner: FakeDocumentStore) -> None:
        self.inner = inner
        self.go_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def activate(self, *args: Any, **options: Any) -> set[DocumentId]:
        await self.go_on.wait()
        return await self.inner.activate(*args, **options)


@pytest.mark.req("R6.8")
async def test_a_document_that_is_flipped_between_two_look_ups_is_shown_in_one_version_only() -> None:
    services = FakeServices(max_tokens=16)

    def edition(number: int) -> GivenDocument:
        return given("\n\n".join(f"Keys edition {number} part {part} " + "word " * 10 for part in "ab"), "keys")

    for number in range(7):  # more candidates than one look-up covers
        await services.ingest(edition(number))
    store, written = HeldBack(services.documents), len(services.sparse.rows)
    object.__setattr__(services.indexing, "store", store)
    writing = asyncio.create_task(services.ingest(edition(7)))
    while len(services.sparse.rows) == written:
        await asyncio.sleep(0)

    class Flipping:
        async def visible(self, *args: Any, **options: Any) -> dict[ChunkId, Passage]:
            found = await services.documents.visible(*args, **options)
            store.go_on.set()
            await writing
            return found

    object.__setattr__(services.retrieval, "reader", Flipping())
    results = (await services.retrieve("keys edition", top_k=3)).results
    assert {result.passage.version for result in results} == {7}
