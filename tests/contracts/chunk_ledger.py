"""What every `ChunkLedger` does: the fake, SQLite and Postgres."""

from __future__ import annotations

from dataclasses import dataclass, replace

from advanced_rag.domain.documents import ChunkId
from advanced_rag.ports.documents import StagedVersion
from advanced_rag.ports.ledger import ChunkLedger, LedgerEntry
from tests.contracts.document_store import ACME, GLOBEX, LONG_S, DocumentPorts, draft, put, staged


@dataclass(frozen=True, slots=True)
class LedgerPorts(DocumentPorts):
    """The documents' ports and the ledger over one database."""

    ledger: ChunkLedger


def ids_of(*versions: StagedVersion) -> list[ChunkId]:
    return sorted(chunk.id for version in versions for chunk in version.chunks)


class ChunkLedgerContract:
    """A subclass gives `ports` over an empty database."""

    async def test_every_chunk_is_listed_in_order_with_whether_it_is_active(self, ports: LedgerPorts) -> None:
        old = await put(ports, "d", "one two three four five six seven eight nine ten")
        new = await put(ports, "d", "eleven twelve thirteen fourteen fifteen sixteen")
        waiting, other = await staged(ports, "e", "three"), await put(ports, "d", "four", tenant=GLOBEX)
        entries: list[LedgerEntry] = []
        while page := await ports.ledger.page(entries[-1].chunk_id if entries else None, 2):
            assert len(page) <= 2
            entries += page
        assert [entry.chunk_id for entry in entries] == ids_of(old, new, waiting, other)
        assert sorted(entry.chunk_id for entry in entries if entry.active) == ids_of(new, other)

    async def test_a_deleted_document_is_known_until_it_is_swept(self, ports: LedgerPorts) -> None:
        entry = await put(ports, "d", "one")
        await ports.store.delete(ACME, entry.document.id)
        assert [listed.active for listed in await ports.ledger.page(None, 10)] == [False]
        assert await ports.ledger.known(ids_of(entry)) == set(ids_of(entry))
        await ports.sweep.purge(await ports.sweep.sweepable(grace_s=LONG_S, limit=10))
        assert await ports.ledger.page(None, 10) == []
        assert await ports.ledger.known(ids_of(entry)) == set()

    async def test_one_domain_lists_its_own_documents(self, ports: LedgerPorts) -> None:
        await put(ports, "d", "one")
        (legal,) = await ports.store.stage(ACME, [draft("lien", "two", domain="legal")], lease_s=LONG_S)
        assert isinstance(legal, StagedVersion)
        assert [entry.chunk_id for entry in await ports.ledger.page(None, 10, domain="legal")] == ids_of(legal)
        everything = [entry.chunk_id for entry in await ports.ledger.page(None, 10)]
        assert await ports.ledger.known([*everything, ChunkId("c_0")], domain="legal") == set(ids_of(legal))

    async def test_active_versions_come_back_as_they_were_staged_without_the_whole_text(
        self, ports: LedgerPorts
    ) -> None:
        whole = draft("d", "one two three four five six seven", title="T", domain="x", metadata={"a": [1, None]})
        (entry,) = await ports.store.stage(ACME, [whole], lease_s=LONG_S)
        assert isinstance(entry, StagedVersion)
        assert await ports.ledger.versions(ids_of(entry)) == []
        await ports.store.activate(ACME, [entry])
        expected = replace(entry, document=replace(entry.document, text=""))
        assert await ports.ledger.versions([*ids_of(entry), ChunkId("c_0")]) == [(ACME, expected)]
        (part,) = await ports.ledger.versions(ids_of(entry)[:1])
        assert ids_of(part[1]) == ids_of(entry)[:1]

    async def test_nothing_asked_for_is_nothing_found(self, ports: LedgerPorts) -> None:
        await put(ports, "d", "one")
        assert await ports.ledger.known([]) == set()
        assert await ports.ledger.versions([]) == []
