"""What every `CitedDocuments` keeps to: the fake, SQLite and Postgres."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from advanced_rag.domain.documents import ChunkSpan, Document, DocumentId, Tenant
from advanced_rag.domain.identity import document_hash
from advanced_rag.ports.conversations import CitedDocuments
from advanced_rag.ports.documents import DocumentStore, Draft, StagedVersion

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
TICK_S = 0.002  # SQLite's clock counts milliseconds


@dataclass(frozen=True, slots=True)
class CitedPorts:
    """The two ports over one database."""

    documents: DocumentStore
    cited: CitedDocuments


async def put(ports: CitedPorts, name: str, text: str = "text", *, tenant: Tenant = ACME, active: bool = True) -> None:
    """Take a document in."""
    document = Document(DocumentId(name), text)
    draft = Draft(document, document_hash(document), (ChunkSpan(0, len(text), "", 1),))
    staged = await ports.documents.stage(tenant, [draft], lease_s=60.0)
    if active:
        await ports.documents.activate(tenant, [entry for entry in staged if isinstance(entry, StagedVersion)])


class CitedDocumentsContract:
    """A subclass gives `ports` over an empty database."""

    async def test_only_what_is_there_for_that_tenant_is_named(self, ports: CitedPorts) -> None:
        await put(ports, "here")
        await put(ports, "elsewhere", tenant=GLOBEX)
        await put(ports, "invisible", active=False)
        await put(ports, "deleted")
        await ports.documents.delete(ACME, DocumentId("deleted"))
        asked = [DocumentId(name) for name in ("here", "elsewhere", "invisible", "deleted", "never")]
        assert set(await ports.cited.created(ACME, asked)) == {"here"}
        assert set(await ports.cited.created(GLOBEX, asked)) == {"elsewhere"}

    async def test_nothing_asked_is_nothing_found(self, ports: CitedPorts) -> None:
        assert await ports.cited.created(ACME, []) == {}

    async def test_a_replaced_document_is_as_old_as_before(self, ports: CitedPorts) -> None:
        name = DocumentId("replaced")
        await put(ports, name)
        before = await ports.cited.created(ACME, [name])
        await asyncio.sleep(TICK_S)
        await put(ports, name, "another text")
        assert await ports.cited.created(ACME, [name]) == before

    async def test_one_that_was_deleted_and_came_back_is_new(self, ports: CitedPorts) -> None:
        name = DocumentId("back")
        await put(ports, name)
        before = await ports.cited.created(ACME, [name])
        await ports.documents.delete(ACME, name)
        await asyncio.sleep(TICK_S)
        await put(ports, name, "another text")
        assert (await ports.cited.created(ACME, [name]))[name] > before[name]

    async def test_any_number_can_be_asked_for_at_once(self, ports: CitedPorts) -> None:
        await put(ports, "here")
        asked = [DocumentId(f"d{number}") for number in range(40_000)]
        assert set(await ports.cited.created(ACME, [*asked, DocumentId("here")])) == {"here"}
