"""What became of each document of an ingest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from advanced_rag.domain.documents import DocumentId


class IngestStatus(StrEnum):
    """`indexed` is new, `replaced` has a new version, `superseded` lost against a newer write of the same id."""

    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IngestError:
    """Why a document failed. `code` is a problem name or a field error's code; `loc` names the field, if it is one."""

    code: str
    message: str
    loc: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """One document's line in the answer, in the order of the request. `version` is None where none was made."""

    id: DocumentId
    status: IngestStatus
    version: int | None = None
    chunks: int = 0
    error: IngestError | None = None
