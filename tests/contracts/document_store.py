"""What every store of documents of record keeps to: the fake, SQLite and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol, cast

import pytest

from advanced_rag.domain.documents import ChunkSpan, Document, DocumentId, Tenant
from advanced_rag.domain.identity import chunk_id, document_hash
from advanced_rag.exceptions import Conflict, ValidationError
from advanced_rag.ports.documents import (
    ChunkRef,
    DocumentReader,
    DocumentStore,
    Draft,
    RetiredVersion,
    StagedVersion,
    Unchanged,
    VersionSweep,
)

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
LONG_S = 600.0
WORDS_PER_CHUNK = 3


@dataclass(frozen=True, slots=True)
class DocumentPorts:
    """The three ports over one database."""

    store: DocumentStore
    reader: DocumentReader
    sweep: VersionSweep


class LeaseRenewal(Protocol):
    """What an indexing that takes longer than its lease needs beside the port."""

    async def renew(self, tenant: Tenant, staged: Sequence[StagedVersion], *, lease_s: float) -> None:
        """Keep the sweep away for `lease_s` seconds from now."""
        ...


def draft(document_id: str, text: str, *, title: str = "", domain: str = "", metadata: Any = None) -> Draft:
    """A document cut into chunks of a few words."""
    document = Document(DocumentId(document_id), text, title, domain, metadata or {})
    spans, start = [], 0
    for end in [*range(WORDS_PER_CHUNK * 6, len(text), WORDS_PER_CHUNK * 6), len(text)]:
        spans.append(ChunkSpan(start, end, heading="Part > Section", token_count=WORDS_PER_CHUNK))
        start = end
    return Draft(document, document_hash(document), tuple(spans))


def refs(*versions: StagedVersion) -> list[ChunkRef]:
    """The candidates that a search would find of these versions."""
    return [ChunkRef(chunk.id, chunk.document_id, chunk.version) for version in versions for chunk in version.chunks]


async def staged(
    ports: DocumentPorts, document_id: str, text: str, *, tenant: Tenant = ACME, lease_s: float = LONG_S
) -> StagedVersion:
    """One version, stored and invisible."""
    (entry,) = await ports.store.stage(tenant, [draft(document_id, text)], lease_s=lease_s)
    assert isinstance(entry, StagedVersion)
    return entry


async def put(ports: DocumentPorts, document_id: str, text: str, *, tenant: Tenant = ACME) -> StagedVersion:
    """One version, made the active one."""
    entry = await staged(ports, document_id, text, tenant=tenant)
    assert await ports.store.activate(tenant, [entry]) == {entry.document.id}
    return entry


async def shown(
    ports: DocumentPorts, *versions: StagedVersion, tenant: Tenant = ACME, grace_s: float = LONG_S
) -> dict[str, int]:
    """document -> version that a reader sees of these candidates, all of whose chunks must be there."""
    passages = await ports.reader.visible(tenant, refs(*versions), grace_s=grace_s)
    seen = {str(passage.document_id): passage.version for passage in passages.values()}
    for version in versions:
        if seen.get(version.document.id) == version.version:
            assert {chunk.id for chunk in version.chunks} <= set(passages)
    assert all(seen[passage.document_id] == passage.version for passage in passages.values())
    return seen


async def swept(ports: DocumentPorts, *, grace_s: float = LONG_S) -> list[tuple[str, int]]:
    """What the sweep finds, purged."""
    found = await ports.sweep.sweepable(grace_s=grace_s, limit=1_000)
    await ports.sweep.purge(found)
    return [(retired.document_id, retired.version) for retired in found]


class DocumentStoreContract:
    """A subclass gives empty `ports`."""

    async def test_a_staged_version_is_invisible_until_it_is_activated(self, ports: DocumentPorts) -> None:
        first = await staged(ports, "d", "one two three four five six seven")
        assert first.version == 1
        assert not first.replaces
        assert len(first.chunks) > 1
        assert await shown(ports, first) == {}
        assert await ports.reader.document(ACME, first.document.id) is None
        assert await ports.reader.chunks(ACME, first.document.id) is None
        assert (await ports.reader.documents(ACME, limit=10)).items == ()
        assert await ports.store.activate(ACME, [first]) == {first.document.id}
        assert await shown(ports, first) == {"d": 1}

    async def test_what_was_stored_is_read_back_as_it_was(self, ports: DocumentPorts) -> None:
        text = "Spare keys hang in cabinet B, second floor. Ask Ms Čapek 🗝 for the log."
        metadata = {"year": 2026, "tags": ["a", "b"], "ratio": 0.1, "big": 2**60, "none": None, "nested": {"ß": [1.0]}}
        given = draft("keys/2026", text, title="Key register", domain="facilities", metadata=metadata)
        (entry,) = await ports.store.stage(ACME, [given], lease_s=LONG_S)
        assert isinstance(entry, StagedVersion)
        assert [chunk.id for chunk in entry.chunks] == [
            chunk_id(ACME, given.document.id, 1, ordinal) for ordinal in range(len(given.spans))
        ]
        await ports.store.activate(ACME, [entry])

        found = await ports.reader.document(ACME, given.document.id)
        assert found is not None
        record, stored_text = found
        assert stored_text == text
        assert (record.id, record.version, record.title, record.domain) == (
            "keys/2026",
            1,
            "Key register",
            "facilities",
        )
        assert record.metadata == metadata
        assert (record.content_hash, record.chunk_count) == (given.content_hash, len(given.spans))
        assert record.created_at.utcoffset() == record.updated_at.utcoffset()
        assert record.created_at <= record.updated_at
        assert await ports.reader.chunks(ACME, given.document.id) == list(entry.chunks)

        passages = await ports.reader.visible(ACME, refs(entry), grace_s=0)
        for chunk in entry.chunks:
            passage = passages[chunk.id]
            assert (passage.text, passage.start, passage.end) == (chunk.text, chunk.start, chunk.end)
            assert (passage.title, passage.domain, passage.heading) == ("Key register", "facilities", chunk.heading)
            assert passage.metadata == metadata
            assert not passage.stale

    @pytest.mark.req("R6.6")
    async def test_the_same_content_again_is_unchanged(self, ports: DocumentPorts) -> None:
        first = await put(ports, "d", "one two three")
        again = draft("d", "one two three")
        assert await ports.store.stage(ACME, [again], lease_s=LONG_S) == [Unchanged(again.document.id, 1, 1)]
        hashes = {again.document.id: again.content_hash, DocumentId("other"): again.content_hash}
        assert await ports.store.unchanged(ACME, hashes) == {again.document.id: Unchanged(again.document.id, 1, 1)}
        assert await ports.store.unchanged(ACME, {again.document.id: "another hash"}) == {}
        assert await ports.store.unchanged(GLOBEX, hashes) == {}
        assert await ports.store.unchanged(ACME, {}) == {}
        assert await shown(ports, first) == {"d": 1}

    async def test_the_content_of_a_version_that_is_only_staged_is_not_unchanged(self, ports: DocumentPorts) -> None:
        first = await staged(ports, "d", "one")
        second = await staged(ports, "d", "one")
        assert (first.version, second.version) == (1, 2)

    async def test_a_batch_is_answered_in_its_own_order(self, ports: DocumentPorts) -> None:
        await put(ports, "b", "two")
        entries = await ports.store.stage(
            ACME, [draft("c", "three"), draft("b", "two"), draft("a", "one")], lease_s=LONG_S
        )
        kinds = [(type(entry), getattr(entry, "document", None) and entry.document.id) for entry in entries]  # type: ignore[union-attr]
        assert kinds == [(StagedVersion, "c"), (Unchanged, None), (StagedVersion, "a")]
        fresh = [entry for entry in entries if isinstance(entry, StagedVersion)]
        assert await ports.store.activate(ACME, fresh) == {"a", "c"}

    async def test_nothing_is_no_error(self, ports: DocumentPorts) -> None:
        assert await ports.store.stage(ACME, [], lease_s=1) == []
        assert await ports.store.activate(ACME, []) == set()
        await ports.store.abandon(ACME, [])
        assert await ports.reader.visible(ACME, [], grace_s=1) == {}
        await ports.sweep.purge([])

    async def test_a_document_without_chunks_exists(self, ports: DocumentPorts) -> None:
        bare = Document(DocumentId("d"), "   ")
        (entry,) = await ports.store.stage(ACME, [Draft(bare, "hash", ())], lease_s=LONG_S)
        assert isinstance(entry, StagedVersion)
        await ports.store.activate(ACME, [entry])
        assert await ports.reader.chunks(ACME, bare.id) == []

    @pytest.mark.req("R6.8")
    async def test_the_active_version_hides_the_one_it_replaced(self, ports: DocumentPorts) -> None:
        first, second = await put(ports, "d", "one"), await put(ports, "d", "two")
        assert second.replaces
        assert await shown(ports, first, second) == {"d": 2}

    @pytest.mark.req("R6.8")
    async def test_a_reader_that_searched_before_the_flip_still_sees_the_version_it_found(
        self, ports: DocumentPorts
    ) -> None:
        first = await put(ports, "d", "one two three four five six seven")
        await put(ports, "d", "two")
        assert await shown(ports, first) == {"d": 1}
        assert await shown(ports, first, grace_s=0) == {}

    @pytest.mark.req("R6.8")
    async def test_of_several_replaced_versions_the_latest_is_seen(self, ports: DocumentPorts) -> None:
        first, second = await put(ports, "d", "one"), await put(ports, "d", "two")
        await put(ports, "d", "three")
        assert await shown(ports, first, second) == {"d": 2}

    async def test_a_version_that_never_was_active_is_never_seen(self, ports: DocumentPorts) -> None:
        first, never = await put(ports, "d", "one"), await staged(ports, "d", "two")
        await put(ports, "d", "three")
        assert await shown(ports, never) == {}
        assert await shown(ports, first, never) == {"d": 1}

    @pytest.mark.req("R6.7")
    async def test_a_flip_goes_forward_only(self, ports: DocumentPorts) -> None:
        slow, fast = await staged(ports, "d", "one"), await staged(ports, "d", "two")
        assert await ports.store.activate(ACME, [fast]) == {"d"}
        assert await ports.store.activate(ACME, [slow]) == set()
        assert await shown(ports, slow, fast) == {"d": 2}
        assert await swept(ports) == [("d", 1)]

    async def test_activating_again_changes_nothing_and_says_the_same(self, ports: DocumentPorts) -> None:
        first = await put(ports, "d", "one")
        assert await ports.store.activate(ACME, [first]) == {"d"}
        assert await shown(ports, first) == {"d": 1}

    @pytest.mark.req("R6.10")
    async def test_a_deleted_document_is_gone_for_every_reader_at_once(self, ports: DocumentPorts) -> None:
        first, second = await put(ports, "d", "one"), await put(ports, "d", "two")
        assert await ports.store.delete(ACME, second.document.id)
        assert await shown(ports, first, second) == {}
        assert await ports.reader.document(ACME, second.document.id) is None
        assert await ports.reader.chunks(ACME, second.document.id) is None
        assert (await ports.reader.documents(ACME, limit=10)).items == ()
        assert not await ports.store.delete(ACME, second.document.id)
        assert not await ports.store.delete(ACME, DocumentId("never was"))
        assert await swept(ports) == [("d", 1), ("d", 2)]

    @pytest.mark.req("R6.10")
    async def test_after_a_deletion_versions_go_on_counting(self, ports: DocumentPorts) -> None:
        old = await put(ports, "d", "one")
        await ports.store.delete(ACME, old.document.id)
        await swept(ports)
        new = await staged(ports, "d", "one")
        assert (new.version, new.replaces) == (2, False)
        assert await shown(ports, old, new) == {}
        assert await ports.store.activate(ACME, [new]) == {"d"}
        assert await shown(ports, old, new) == {"d": 2}
        assert await shown(ports, old) == {}

    async def test_a_deletion_takes_what_was_staged_before_it_along(self, ports: DocumentPorts) -> None:
        first, second = await put(ports, "d", "one"), await staged(ports, "d", "two")
        await ports.store.delete(ACME, first.document.id)
        assert await ports.store.activate(ACME, [second]) == set()
        assert await ports.reader.document(ACME, first.document.id) is None
        assert await swept(ports) == [("d", 1), ("d", 2)]

    async def test_a_living_lease_keeps_the_sweep_away(self, ports: DocumentPorts) -> None:
        entry = await staged(ports, "d", "one")
        assert await swept(ports, grace_s=0) == []
        assert await ports.store.activate(ACME, [entry]) == {"d"}

    async def test_what_the_sweep_has_taken_can_no_longer_become_active(self, ports: DocumentPorts) -> None:
        first, late = await put(ports, "d", "one"), await staged(ports, "d", "two", lease_s=0)
        assert [retired.version for retired in await ports.sweep.sweepable(grace_s=LONG_S, limit=10)] == [2]
        with pytest.raises(Conflict):
            await ports.store.activate(ACME, [late])
        assert await shown(ports, first, late) == {"d": 1}
        assert await swept(ports) == [("d", 2)]
        with pytest.raises(Conflict):
            await ports.store.activate(ACME, [late])

    async def test_a_lease_that_ended_unnoticed_is_no_obstacle(self, ports: DocumentPorts) -> None:
        late = await staged(ports, "d", "two", lease_s=0)
        assert await ports.store.activate(ACME, [late]) == {"d"}
        assert await swept(ports) == []

    async def test_a_renewed_lease_keeps_the_sweep_away(self, ports: DocumentPorts) -> None:
        renewing = cast("LeaseRenewal", ports.store)
        kept, left = await staged(ports, "kept", "one", lease_s=0), await staged(ports, "left", "two", lease_s=0)
        await renewing.renew(ACME, [kept], lease_s=LONG_S)
        await renewing.renew(ACME, [], lease_s=LONG_S)
        assert await swept(ports) == [("left", 1)]
        await renewing.renew(ACME, [left], lease_s=LONG_S)  # too late
        with pytest.raises(Conflict):
            await ports.store.activate(ACME, [left])
        assert await ports.store.activate(ACME, [kept]) == {"kept"}

    async def test_an_abandoned_version_is_swept(self, ports: DocumentPorts) -> None:
        entry = await staged(ports, "d", "one")
        await ports.store.abandon(ACME, [entry])
        found = await ports.sweep.sweepable(grace_s=LONG_S, limit=10)
        assert found == [RetiredVersion(ACME, DocumentId("d"), 1, tuple(chunk.id for chunk in entry.chunks))]
        assert await ports.sweep.sweepable(grace_s=LONG_S, limit=10) == found  # until it is purged
        await ports.sweep.purge(found)
        await ports.sweep.purge(found)
        assert await ports.sweep.sweepable(grace_s=LONG_S, limit=10) == []

    async def test_abandoning_does_not_touch_what_is_active(self, ports: DocumentPorts) -> None:
        entry = await put(ports, "d", "one")
        await ports.store.abandon(ACME, [entry])
        assert await swept(ports) == []
        assert await shown(ports, entry) == {"d": 1}

    async def test_a_replaced_version_is_swept_after_its_grace(self, ports: DocumentPorts) -> None:
        first = await put(ports, "d", "one")
        second = await put(ports, "d", "two")
        assert await swept(ports) == []
        assert await swept(ports, grace_s=0) == [("d", 1)]
        assert await shown(ports, first, second) == {"d": 2}
        assert await shown(ports, first) == {}

    async def test_purging_touches_nothing_but_what_was_condemned(self, ports: DocumentPorts) -> None:
        first, second = await put(ports, "d", "one"), await staged(ports, "d", "two")
        named = [RetiredVersion(ACME, DocumentId("d"), number, ()) for number in (1, 2, 3)]
        await ports.sweep.purge(named)
        assert await shown(ports, first) == {"d": 1}
        assert await ports.store.activate(ACME, [second]) == {"d"}

    async def test_the_oldest_are_swept_first_and_no_more_than_asked_for(self, ports: DocumentPorts) -> None:
        for name in "cab":
            await ports.store.abandon(ACME, [await staged(ports, name, "one")])
            await asyncio.sleep(0.002)  # SQLite's clock counts milliseconds
        found = await ports.sweep.sweepable(grace_s=LONG_S, limit=2)
        assert [retired.document_id for retired in found] == ["c", "a"]

    async def test_documents_are_paged_in_the_order_of_their_ids(self, ports: DocumentPorts) -> None:
        names = ["Zebra", "a/b", "a", "ab", "zebra", "ä", "🗝", "10", "9"]
        for name in names:
            await put(ports, name, f"text of {name}")
        seen, cursor = [], None
        while True:
            page = await ports.reader.documents(ACME, limit=2, cursor=cursor)
            assert len(page.items) <= 2
            seen += [record.id for record in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == sorted(names)

    async def test_the_last_page_has_no_cursor(self, ports: DocumentPorts) -> None:
        for name in "ab":
            await put(ports, name, "text")
        assert (await ports.reader.documents(ACME, limit=2)).next_cursor is None
        assert (await ports.reader.documents(ACME, limit=1)).next_cursor is not None

    async def test_documents_can_be_listed_by_domain(self, ports: DocumentPorts) -> None:
        drafts = [draft(f"d{number}", "text", domain="law" if number % 2 else "it") for number in range(4)]
        entries = await ports.store.stage(ACME, drafts, lease_s=LONG_S)
        await ports.store.activate(ACME, [entry for entry in entries if isinstance(entry, StagedVersion)])
        page = await ports.reader.documents(ACME, limit=10, domain="law")
        assert [record.id for record in page.items] == ["d1", "d3"]
        assert (await ports.reader.documents(ACME, limit=10, domain="none such")).items == ()

    async def test_a_listing_can_be_filtered_and_still_gives_every_document_once(self, ports: DocumentPorts) -> None:
        for number in range(12):
            await put(ports, f"d{number:02}", f"text {number}")
        for limit in (1, 2, 5, 50):
            seen: list[str] = []
            cursor = None
            while True:
                page = await ports.reader.documents(
                    ACME, limit=limit, cursor=cursor, admits=lambda record: int(record.id[1:]) % 3 == 1
                )
                assert len(page.items) <= limit
                seen += [record.id for record in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == ["d01", "d04", "d07", "d10"]

    async def test_which_documents_there_are_can_be_asked_at_once(self, ports: DocumentPorts) -> None:
        for name in ("a", "b", "c"):
            await put(ports, name, "text")
        await ports.store.delete(ACME, DocumentId("b"))
        asked = list(map(DocumentId, ["a", "b", "c", "d", "\ud800"]))
        assert await ports.reader.existing(ACME, asked) == {"a", "c"}
        assert await ports.reader.existing(GLOBEX, asked) == set()

    async def test_many_documents_are_deleted_at_once(self, ports: DocumentPorts) -> None:
        entries = [await put(ports, name, "text") for name in ("a", "b", "c")]
        await put(ports, "a", "text", tenant=GLOBEX)
        await staged(ports, "b", "other text")
        asked = list(map(DocumentId, ["a", "b", "none", "\0", "a"]))
        assert await ports.store.delete_all(ACME, asked) == {"a", "b"}
        assert await ports.store.delete_all(ACME, asked) == set()
        assert await ports.store.delete_all(ACME, []) == set()
        assert await shown(ports, *entries) == {"c": 1}
        assert await ports.reader.existing(GLOBEX, asked) == {"a"}
        assert {retired.version for retired in await ports.sweep.sweepable(grace_s=LONG_S, limit=10)} == {1, 2}

    async def test_an_amendment_takes_the_place_of_the_version_that_it_was_made_from(
        self, ports: DocumentPorts
    ) -> None:
        await put(ports, "d", "one")
        amendment = replace(await staged(ports, "d", "one amended"), amends=1)
        assert await ports.store.activate(ACME, [amendment]) == {"d"}
        assert await ports.store.activate(ACME, [amendment]) == {"d"}  # its answer was lost

    async def test_an_amendment_of_what_is_no_longer_active_is_lost(self, ports: DocumentPorts) -> None:
        await put(ports, "d", "one")
        second = await staged(ports, "d", "two")
        amendment = replace(await staged(ports, "d", "one amended"), amends=1)
        await ports.store.activate(ACME, [second])
        assert await ports.store.activate(ACME, [amendment]) == set()
        assert await shown(ports, second, amendment) == {"d": 2}
        late = replace(await staged(ports, "d", "two amended"), amends=2)
        await ports.store.delete(ACME, DocumentId("d"))
        assert await ports.store.activate(ACME, [late]) == set()
        assert await ports.reader.existing(ACME, [DocumentId("d")]) == set()

    @pytest.mark.parametrize("cursor", ["", "x", "%%%", "e30", "W10", "bnVsbA", "🗝", "\ud800"])
    async def test_a_cursor_that_is_not_ours_is_refused(self, ports: DocumentPorts, cursor: str) -> None:
        with pytest.raises(ValidationError) as refusal:
            await ports.reader.documents(ACME, limit=2, cursor=cursor)
        assert [error.loc for error in refusal.value.errors] == ["/cursor"]

    @pytest.mark.req("R8.1")
    async def test_another_tenants_document_does_not_exist(self, ports: DocumentPorts) -> None:
        mine, theirs = await put(ports, "d", "one"), await put(ports, "d", "one", tenant=GLOBEX)
        assert {chunk.id for chunk in mine.chunks}.isdisjoint(chunk.id for chunk in theirs.chunks)
        assert await shown(ports, mine, tenant=GLOBEX) == {}
        await put(ports, "only acme's", "two")
        assert await ports.reader.document(GLOBEX, DocumentId("only acme's")) is None
        assert await ports.reader.chunks(GLOBEX, DocumentId("only acme's")) is None
        assert [record.id for record in (await ports.reader.documents(GLOBEX, limit=10)).items] == ["d"]
        assert not await ports.store.delete(GLOBEX, DocumentId("only acme's"))
        assert await ports.store.delete(GLOBEX, DocumentId("d"))
        assert await shown(ports, mine) == {"d": 1}

    @pytest.mark.req("R8.1")
    async def test_a_staged_version_of_another_tenant_can_be_neither_activated_nor_abandoned(
        self, ports: DocumentPorts
    ) -> None:
        mine = await staged(ports, "d", "one")
        await staged(ports, "d", "theirs", tenant=GLOBEX)
        await ports.store.abandon(GLOBEX, [mine])  # names their own version 1
        assert await ports.store.activate(ACME, [mine]) == {"d"}
        assert (await ports.reader.documents(GLOBEX, limit=10)).items == ()

    @pytest.mark.parametrize("odd", ["a\0b", "\ud800", "x\udfff"])
    @pytest.mark.parametrize("place", ["id", "text", "title", "domain", "metadata", "metadata key"])
    @pytest.mark.req("R8.6")
    async def test_what_cannot_be_stored_is_refused_by_name(self, ports: DocumentPorts, place: str, odd: str) -> None:
        metadata: dict[str, Any] = {odd: 1} if place == "metadata key" else {"a": [odd if place == "metadata" else "b"]}
        document = Document(
            DocumentId(odd if place == "id" else "d"),
            odd if place == "text" else "text",
            odd if place == "title" else "title",
            odd if place == "domain" else "domain",
            metadata,
        )
        with pytest.raises(ValidationError) as refusal:
            await ports.store.stage(ACME, [draft("fine", "text"), Draft(document, "hash", ())], lease_s=LONG_S)
        (error,) = refusal.value.errors
        assert error.loc.startswith(f"/{place.split(maxsplit=1)[0]}")
        fine = await staged(ports, "fine", "text")
        assert fine.version == 1  # nothing of the refused batch was stored

    async def test_an_id_that_no_index_could_hold_is_refused(self, ports: DocumentPorts) -> None:
        longest = "🗝" * 128
        await put(ports, longest, "text")
        with pytest.raises(ValidationError):
            await staged(ports, longest + "x", "text")

    @pytest.mark.parametrize("odd", ["a\0b", "\ud800"])
    async def test_an_odd_id_names_nothing(self, ports: DocumentPorts, odd: str) -> None:
        document_id = DocumentId(odd)
        assert await ports.reader.document(ACME, document_id) is None
        assert await ports.reader.chunks(ACME, document_id) is None
        assert not await ports.store.delete(ACME, document_id)
        assert await ports.store.unchanged(ACME, {document_id: "hash"}) == {}

    async def test_two_megabytes_of_text_are_stored_exactly(self, ports: DocumentPorts) -> None:
        text = "Ünïcödé 文字 🗝\r\n\t\u2028\x01" * 60_000
        document = Document(DocumentId("d"), text)
        spans = tuple(ChunkSpan(at, min(at + 1_000, len(text)), "", 1) for at in range(0, len(text), 1_000))
        (entry,) = await ports.store.stage(ACME, [Draft(document, "hash", spans)], lease_s=LONG_S)
        assert isinstance(entry, StagedVersion)
        await ports.store.activate(ACME, [entry])
        found = await ports.reader.document(ACME, document.id)
        chunks = await ports.reader.chunks(ACME, document.id)
        assert found is not None
        assert chunks is not None
        assert found[1] == text
        assert "".join(chunk.text for chunk in chunks) == text

    @pytest.mark.req("R6.7")
    async def test_twenty_writers_of_one_document_leave_the_highest_version_whole(self, ports: DocumentPorts) -> None:
        await writers_and_readers(ports, writers=20, rounds=5, readers=4)

    @pytest.mark.req("R6.8")
    async def test_a_document_that_is_replaced_all_the_time_is_always_seen(self, ports: DocumentPorts) -> None:
        await replaced_under_readers(ports, replacements=60, readers=8)


@dataclass(slots=True)
class _Observed:
    """What an index would hold, and what readers saw."""

    indexed: dict[int, StagedVersion] = field(default_factory=dict)
    seen: list[list[int]] = field(default_factory=list)


async def writers_and_readers(ports: DocumentPorts, *, writers: int, rounds: int, readers: int) -> None:
    """R6.7: versions only ever go forward, and each is seen whole or not at all."""
    state, done = _Observed(), asyncio.Event()
    first = await put(ports, "d", "text number 0 by nobody")
    state.indexed[first.version] = first

    async def write(writer: int) -> list[int]:
        flipped = []
        for number in range(rounds):
            entry = await staged(ports, "d", f"text number {number} by {writer} " * (writer + 1))
            state.indexed[entry.version] = entry
            if await ports.store.activate(ACME, [entry]):
                flipped.append(entry.version)
        return flipped

    async def read() -> None:
        versions: list[int] = []
        state.seen.append(versions)
        while not done.is_set():
            candidates = list(state.indexed.values())[-2 * writers :]
            seen = await shown(ports, *candidates)
            versions.append(seen["d"])
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(read())
        flips = await asyncio.gather(*(write(writer) for writer in range(writers)))
        done.set()

    numbers = sorted(state.indexed)
    assert len(numbers) == writers * rounds + 1
    assert numbers == list(range(1, len(numbers) + 1))  # none twice
    found = await ports.reader.document(ACME, DocumentId("d"))
    assert found is not None
    highest = max(version for of_writer in flips for version in of_writer)
    assert found[0].version == highest == numbers[-1]
    assert found[1] == state.indexed[highest].document.text
    assert await ports.reader.chunks(ACME, DocumentId("d")) == list(state.indexed[highest].chunks)
    for versions in state.seen:
        assert all(earlier <= later for earlier, later in pairwise(versions))


async def replaced_under_readers(ports: DocumentPorts, *, replacements: int, readers: int) -> None:
    """R6.8: who took candidates before a flip and asks after it still sees the document, all of it from one version."""
    current = [await put(ports, "d", "marker 0")]
    finished = asyncio.Event()
    answers = 0

    async def read(pause_s: float) -> None:
        nonlocal answers
        while not finished.is_set():
            candidates = list(current)
            await asyncio.sleep(pause_s)  # here flips may happen, one or several
            assert set(await shown(ports, *candidates)) == {"d"}
            answers += 1

    async with asyncio.TaskGroup() as group:
        for reader in range(readers):
            group.create_task(read(reader * 0.005))
        for number in range(1, replacements + 1):
            entry = await staged(ports, "d", f"marker {number} " * 10)
            current.append(entry)
            await ports.store.activate(ACME, [entry])
            del current[:-1]
            await asyncio.sleep(0)
        finished.set()
    assert answers >= readers
