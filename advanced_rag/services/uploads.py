"""Uploads: files read by the parser, then taken in like any other document."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from advanced_rag.concurrency.async_executor import gather_bounded
from advanced_rag.constants import MAX_TITLE_CHARS
from advanced_rag.domain.documents import DocumentId, Metadata, Tenant
from advanced_rag.domain.file_metadata import file_metadata
from advanced_rag.domain.file_names import document_id_of
from advanced_rag.domain.filter_fields import readable_field_values
from advanced_rag.domain.filters import DeclaredFields
from advanced_rag.exceptions import DeadlineExceeded, DependencyError, FileRefused, LoadShed, RAGException
from advanced_rag.ports.parsing import FileParser, ParsedFile
from advanced_rag.ports.storage import StorageRoom, UnlimitedRoom
from advanced_rag.services.ingest_batch import described
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from advanced_rag.services.preparation import GivenDocument

PARSED = "parsed"
BUSY = "busy"


class TakingIn(Protocol):
    """Takes documents in."""

    async def ingest(self, tenant: Tenant, documents: Sequence[GivenDocument]) -> list[IngestOutcome]:
        """One outcome a document, in order; raises where every one failed for the same dependency."""
        ...


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file: where it lies for now, and its name, which is only shown."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Upload:
    """Files with what is said of all of them; an id is one file's. Strings are storable (R8.6)."""

    files: Sequence[UploadedFile]
    id: str | None = None
    domain: str = ""
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadValues:
    """What is configured: files of one upload read at once, and how much text all of them may hold together."""

    files_in_flight: int
    max_text_chars: int


@dataclass(frozen=True, slots=True)
class UploadService:
    """Files lie below `folder` while they are worked on; who puts them there also removes them.

    `observe` is told of every file what became of it (`parsed`, `busy` or the refusal's code) and in how many seconds.
    """

    folder: Path
    parser: FileParser
    indexing: TakingIn
    declared: DeclaredFields
    values: UploadValues
    observe: Callable[[str, float], None]
    room: StorageRoom = field(default_factory=UnlimitedRoom)
    clock: Callable[[], float] = time.monotonic

    async def ingest(self, tenant: Tenant, upload: Upload) -> list[IngestOutcome]:
        """One outcome a file, in order; a file that is refused keeps no other one out.

        Raises:
            LoadShed, DependencyError, DeadlineExceeded: not one file could be taken in, and none by its own fault.
        """
        budget = _TextBudget(self.values.max_text_chars)
        read = await gather_bounded(
            [partial(self._read, file, upload, budget) for file in upload.files], limit=self.values.files_in_flight
        )
        documents = [each for each in read if isinstance(each, GivenDocument)]
        taken = iter(await self._taken_in(tenant, documents, alone=len(documents) == len(read)))
        outcomes = [
            next(taken) if isinstance(each, GivenDocument) else _failed(_id(file, upload), each)
            for file, each in zip(upload.files, read, strict=True)
        ]
        refusals = [each for each in read if isinstance(each, RAGException)]
        if len(refusals) == len(read) and not any(isinstance(refusal, FileRefused) for refusal in refusals):
            raise refusals[0]
        return outcomes

    async def _read(
        self, file: UploadedFile, upload: Upload, budget: _TextBudget
    ) -> GivenDocument | FileRefused | LoadShed:
        started = self.clock()
        try:
            parsed = await self.parser.parse(file.path, file_name=file.name)
            budget.spend(len(parsed.text))
        except (FileRefused, LoadShed) as refusal:
            self.observe(refusal.code if isinstance(refusal, FileRefused) else BUSY, self.clock() - started)
            return refusal
        self.observe(PARSED, self.clock() - started)
        return GivenDocument(
            text=parsed.text,
            id=_id(file, upload),
            title=(parsed.title or file.name)[:MAX_TITLE_CHARS],
            domain=upload.domain,
            metadata=self._metadata(parsed, file, upload.metadata),
        )

    def _metadata(self, parsed: ParsedFile, file: UploadedFile, given: Metadata) -> Mapping[str, Any]:
        # What a file says of itself under the name of a filter field, but not in its type, would refuse the document
        # for something that its sender cannot see.
        fitting = readable_field_values(parsed.metadata, self.declared)
        own = {name: said for name, said in parsed.metadata.items() if name not in self.declared or name in fitting}
        return file_metadata(
            given,
            own,
            file_name=file.name,
            media_type=parsed.media_type,
            pages=[(page.number, page.start) for page in parsed.pages],
            text_chars=len(parsed.text),
        )

    async def _taken_in(
        self, tenant: Tenant, documents: Sequence[GivenDocument], *, alone: bool
    ) -> Sequence[IngestOutcome]:
        """`alone`: there are no other files, so that a failure of all of these is one of the whole upload."""
        if not documents:
            return []
        try:
            return await self.indexing.ingest(tenant, documents)
        except (LoadShed, DependencyError, DeadlineExceeded) as error:
            if alone:
                raise
            return [_failed(document.id or "", error) for document in documents]


class _TextBudget:
    """How much text one upload may still unpack to: twenty small files may hold twenty times what one may."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._left_chars = max_chars

    def spend(self, chars: int) -> None:
        """Raises FileRefused where it does not suffice; a smaller file may still fit."""
        if chars > self._left_chars:
            reason = (
                f"The files of one upload may hold {self._max_chars:,} characters of text: send this one by itself."
            )
            raise FileRefused("payload-too-large", reason)
        self._left_chars -= chars


def _id(file: UploadedFile, upload: Upload) -> str:
    return upload.id or document_id_of(file.name)


def _failed(document_id: str, error: RAGException) -> IngestOutcome:
    return IngestOutcome(DocumentId(document_id), IngestStatus.FAILED, error=described(error))
