"""Indexing: cut, store invisibly, embed, write to every index, and flip to the new version in one transaction.

Killed at any arrow, the whole path can run again: chunk ids are deterministic, a version that was not flipped is
invisible and swept, and a document is acknowledged only once it is flipped (reliability section 6).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.exceptions import (
    DeadlineExceeded,
    DependencyError,
    LoadShed,
    RAGException,
    ValidationError,
)
from advanced_rag.ports.commits import CommitNote, NoteOfFlip
from advanced_rag.ports.documents import DocumentStore, StagedVersion, Unchanged
from advanced_rag.ports.indexes import VectorIndex
from advanced_rag.ports.storage import StorageRoom, UnlimitedRoom
from advanced_rag.services.batch_encoding import encoded_in_batches
from advanced_rag.services.ingest_batch import IngestBatch, Item
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.ingest_progress import IngestListener
from advanced_rag.services.lane_search import DenseLane
from advanced_rag.services.preparation import GivenDocument, Preparation, PreparedVersion
from advanced_rag.services.row_writing import write_rows
from advanced_rag.services.version_map import VersionMap

Result = TypeVar("Result")
NoteOfOutcomes = Callable[[Sequence[IngestOutcome]], CommitNote]


class Workers(Protocol):
    """Threads for work that would hold the event loop."""

    async def run(self, work: Callable[[], Result]) -> Result:
        """The work's result, computed in a thread."""
        ...


@dataclass(frozen=True, slots=True)
class IndexingValues:
    """What is configured. A group of documents shares transactions and batches; some groups are under way at once."""

    documents_per_group: int
    groups_in_flight: int
    encode_batch: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class IndexingService:
    """Takes documents in and removes them."""

    store: DocumentStore
    preparation: Preparation
    workers: Workers
    semantic: DenseLane
    sparse: VectorIndex
    domains: Mapping[str, DenseLane]
    versions: VersionMap
    values: IndexingValues
    listener: IngestListener
    room: StorageRoom = field(default_factory=UnlimitedRoom)
    clock: Callable[[], float] = field(default=time.monotonic)

    async def ingest(
        self, tenant: Tenant, documents: Sequence[GivenDocument], *, also: NoteOfOutcomes | None = None
    ) -> list[IngestOutcome]:
        """One outcome a document, in order; a document that fails never fails the others.

        `also` says what to commit in the very transaction that makes the last documents visible. Where the last of them
        need none (they are stored already, or fail), it is not asked, and the caller commits by itself.

        Raises:
            InsufficientStorage: before anything was written, not even looked at.
            LoadShed, DependencyError, DeadlineExceeded: every single document failed for that same kind of reason, so
            the
                request as a whole did.
        """
        batch = IngestBatch(tenant, len(documents))
        identified = await self.workers.run(lambda: self._identified(batch, documents))
        async with asyncio.TaskGroup() as groups:
            permits = asyncio.Semaphore(self.values.groups_in_flight)
            members = _groups(identified, self.values.documents_per_group)
            earlier = tuple(groups.create_task(self._group(permits, batch, group)) for group in members[:-1])
            last = None if also is None else _LastFlip(also, earlier)
            for group in members[-1:]:
                groups.create_task(self._group(permits, batch, group, last))
        batch.raise_if_nothing_was_done()
        return batch.outcomes()

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        """Gone from every answer once this returns; its rows follow with the sweep. False where there is none."""
        deleted = await self.store.delete(tenant, document_id)
        self.versions.saw_deleted(tenant, document_id)
        return deleted

    def _identified(self, batch: IngestBatch, documents: Sequence[GivenDocument]) -> list[Item]:
        """Every document that can be tried. Of several with one id the last one counts."""
        self.room.require()
        items: dict[DocumentId, Item] = {}
        for position, given in enumerate(documents):
            try:
                document, content = self.preparation.identified(batch.tenant, given)
            except ValidationError as error:
                batch.fail(position, DocumentId(given.id or ""), error)
                continue
            earlier = items.get(document.id)
            if earlier is not None and earlier.content == content:
                batch.copied(earlier, position)
                continue
            if earlier is not None:
                batch.replaced(earlier, by=position)
            items[document.id] = Item(position, document, content)
        return list(items.values())

    async def _group(
        self, permits: asyncio.Semaphore, batch: IngestBatch, items: Sequence[Item], last: _LastFlip | None = None
    ) -> None:
        staged: list[StagedVersion] = []
        async with permits:
            try:
                await self._through(batch, items, staged, last)
            except (RAGException, TimeoutError) as error:
                reason = error if isinstance(error, RAGException) else DeadlineExceeded("ingest")
                for item in items:
                    batch.fail(item.position, item.document.id, reason)
                await self._abandon(batch.tenant, staged)
        self.listener.finished(batch.done(items))

    async def _through(
        self, batch: IngestBatch, items: Sequence[Item], staged: list[StagedVersion], last: _LastFlip | None
    ) -> None:
        tenant = batch.tenant
        known = await self.store.unchanged(tenant, {item.document.id: item.content for item in items})
        batch.unchanged(items, known)
        fresh = [item for item in items if item.document.id not in known]
        if not fresh:
            return
        drafts = await self.workers.run(lambda: [self.preparation.draft(item.document) for item in fresh])
        stored = await self.store.stage(tenant, drafts, lease_s=self.values.lease_s)
        batch.unchanged(fresh, {entry.document_id: entry for entry in stored if isinstance(entry, Unchanged)})
        staged.extend(entry for entry in stored if isinstance(entry, StagedVersion))
        prepared = await self.workers.run(lambda: [self.preparation.analysed(version) for version in staged])
        await self._index(tenant, prepared)
        note = None if last is None else await last.note(batch, fresh, staged)
        flipped = await self.store.activate(tenant, staged, also=note)
        for version in staged:
            if version.document.id in flipped:
                self.versions.saw(tenant, version.document.id, version.version)
        batch.activated(fresh, staged, flipped)

    async def _index(self, tenant: Tenant, prepared: Sequence[PreparedVersion]) -> None:
        """Every chunk into every lane that it belongs to, read back before anything is flipped."""
        await self._write(tenant, prepared, self.semantic, also=(self.sparse,))
        for domain, lane in self.domains.items():
            own = [version for version in prepared if version.staged.document.domain == domain]
            if own:
                await self._write(tenant, own, lane)

    async def _write(
        self, tenant: Tenant, prepared: Sequence[PreparedVersion], lane: DenseLane, also: Sequence[VectorIndex] = ()
    ) -> None:
        texts = [text for version in prepared for text in version.texts]
        vectors = await encoded_in_batches(lane.encoder, texts, self.values.encode_batch, self.listener.encoded)
        await write_rows(tenant, prepared, list(vectors), (lane.index, *also))

    async def _abandon(self, tenant: Tenant, staged: Sequence[StagedVersion]) -> None:
        try:
            await self.store.abandon(tenant, staged)
        except (DependencyError, LoadShed, DeadlineExceeded):
            return  # their lease ends by itself, the sweep follows


@dataclass(frozen=True, slots=True)
class _LastFlip:
    """The last group of a request whose outcome is to be committed with it: it flips when the others are through."""

    also: NoteOfOutcomes
    earlier: tuple[asyncio.Task[None], ...]

    async def note(self, batch: IngestBatch, items: Sequence[Item], staged: Sequence[StagedVersion]) -> NoteOfFlip:
        """What to commit, as soon as it is known what is flipped. The earlier groups hold permits: they get through."""
        if self.earlier:
            await asyncio.wait(self.earlier)

        def note(flipped: AbstractSet[DocumentId]) -> CommitNote:
            batch.activated(items, staged, flipped)
            return self.also(batch.outcomes())

        return note


def _groups(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
