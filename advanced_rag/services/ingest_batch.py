"""The bookkeeping of one ingest request: an outcome for each document, in the order of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from advanced_rag.domain.documents import Document, DocumentId, Tenant
from advanced_rag.exceptions import (
    CallerError,
    DeadlineExceeded,
    DependencyError,
    DependencyTimeout,
    LoadShed,
    RAGException,
    ValidationError,
)
from advanced_rag.ports.documents import StagedVersion, Unchanged
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus


@dataclass(frozen=True, slots=True)
class Item:
    """A document on its way, with its place in the request and its content hash."""

    position: int
    document: Document
    content: str


class IngestBatch:
    """Outcomes as they become known. Used from one task group on one event loop."""

    def __init__(self, tenant: Tenant, size: int) -> None:
        self.tenant = tenant
        self._outcomes: list[IngestOutcome | None] = [None] * size
        self._replaced: dict[int, int] = {}  # position -> that of the later one with its id
        self._copies: dict[int, int] = {}  # position -> that of the first one with its id and content
        self._failures: list[RAGException] = []

    def fail(self, position: int, document_id: DocumentId, error: RAGException) -> None:
        """That document failed."""
        self._failures.append(error)
        self._outcomes[position] = IngestOutcome(document_id, IngestStatus.FAILED, error=described(error))

    def replaced(self, earlier: Item, *, by: int) -> None:
        """The document at `by` has the same id as an earlier one, and takes its place."""
        self._replaced[earlier.position] = by

    def copied(self, first: Item, position: int) -> None:
        """The document at `position` is the same as an earlier one, id and content."""
        self._copies[position] = first.position

    def unchanged(self, items: Sequence[Item], known: Mapping[DocumentId, Unchanged]) -> None:
        """Those of the items that are stored already."""
        for item in items:
            if (entry := known.get(item.document.id)) is not None:
                self._outcomes[item.position] = IngestOutcome(
                    item.document.id, IngestStatus.UNCHANGED, entry.version, entry.chunk_count
                )

    def activated(
        self, items: Sequence[Item], staged: Sequence[StagedVersion], flipped: AbstractSet[DocumentId]
    ) -> None:
        """Those of the items that were staged are visible now, or lost against a newer version."""
        versions = {version.document.id: version for version in staged}
        for item in items:
            if (version := versions.get(item.document.id)) is None:
                continue
            if version.document.id not in flipped:
                status = IngestStatus.SUPERSEDED
            else:
                status = IngestStatus.REPLACED if version.replaces else IngestStatus.INDEXED
            self._outcomes[item.position] = IngestOutcome(
                item.document.id, status, version.version, len(version.chunks)
            )

    def done(self, items: Sequence[Item]) -> list[IngestOutcome]:
        """The outcomes of these items that are known."""
        return [outcome for item in items if (outcome := self._outcomes[item.position]) is not None]

    def outcomes(self) -> list[IngestOutcome]:
        """One for each document, in order; of several with one id, the last content counts."""
        for position, by in sorted(self._replaced.items(), reverse=True):
            later = self._outcomes[by]
            if later is not None:
                self._outcomes[position] = IngestOutcome(later.id, IngestStatus.SUPERSEDED, later.version)
        for position, first in self._copies.items():
            same = self._outcomes[first]
            if same is not None and same.status in (IngestStatus.INDEXED, IngestStatus.REPLACED):
                same = replace(same, status=IngestStatus.UNCHANGED)
            self._outcomes[position] = same
        return [outcome for outcome in self._outcomes if outcome is not None]

    def raise_if_nothing_was_done(self) -> None:
        """Raise the first dependency's failure if every document failed and none of them by its own fault."""
        if self._failures and all(
            outcome is None or outcome.status is IngestStatus.FAILED for outcome in self._outcomes
        ):
            others = [error for error in self._failures if not isinstance(error, CallerError)]
            if len(others) == len(self._failures):
                raise others[0]


def described(error: RAGException) -> IngestError:
    """What a document's line says of the error that it failed with."""
    if isinstance(error, ValidationError):
        first = error.errors[0]
        return IngestError(first.code, first.message, first.loc)
    # `transient` is about repeating one call at once. A whole document may be sent again however a timeout ended.
    late = isinstance(error, LoadShed | DeadlineExceeded | DependencyTimeout)
    retryable = late or (isinstance(error, DependencyError) and error.transient)
    return IngestError(error.code, str(error), retryable=retryable)
