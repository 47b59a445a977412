"""`/v1/documents`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from advanced_rag.api.json_gate import parse_json
from advanced_rag.api.refusals import HttpRefusal
from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel
from advanced_rag.constants import MAX_DOCUMENTS_PER_INGEST
from advanced_rag.domain.documents import Chunk
from advanced_rag.exceptions import ValidationError
from advanced_rag.ports.documents import DocumentRecord, Page

_EXAMPLE: dict[str, Any] = {
    "id": "keys-2026",
    "version": 2,
    "title": "Key register",
    "domain": "",
    "metadata": {"lang": "en"},
    "chunks": 3,
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-05-20T16:12:07Z",
}


class DocumentAnswer(AnswerModel):
    """A document as it stands: its active version."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    version: int
    title: str
    domain: str
    metadata: dict[str, Any]
    chunks: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, record: DocumentRecord) -> DocumentAnswer:
        """One record."""
        return cls(**_members(record))


class WholeDocumentAnswer(DocumentAnswer):
    """A document with its text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "text": "…"}]})

    text: str
    request_id: str

    @classmethod
    def whole(cls, record: DocumentRecord, text: str, *, request_id: str) -> WholeDocumentAnswer:
        """One record and its text."""
        return cls(**_members(record), text=text, request_id=request_id)


class DocumentPageAnswer(AnswerModel):
    """A page of documents by id."""

    documents: list[DocumentAnswer]
    next_cursor: str | None = Field(description="Opaque; null at the end.")
    request_id: str

    @classmethod
    def of(cls, page: Page[DocumentRecord], *, request_id: str) -> DocumentPageAnswer:
        """One page."""
        documents = [DocumentAnswer.of(record) for record in page.items]
        return cls(documents=documents, next_cursor=page.next_cursor, request_id=request_id)


class DeletedAnswer(AnswerModel):
    """A document that nobody sees any more."""

    id: str
    status: Literal["deleted"] = "deleted"
    request_id: str


class ChunkAnswer(AnswerModel):
    """A piece of a document's text: `text[start:end]` of it, in code points."""

    id: str
    ordinal: int
    text: str
    start: int
    end: int
    heading: str
    tokens: int


class ChunksAnswer(AnswerModel):
    """Every piece of a document's active version, in order."""

    document_id: str
    version: int | None
    chunks: list[ChunkAnswer]
    request_id: str

    @classmethod
    def of(cls, document_id: str, chunks: Sequence[Chunk], *, request_id: str) -> ChunksAnswer:
        """All of them."""
        return cls(
            document_id=document_id,
            version=chunks[0].version if chunks else None,
            chunks=[
                ChunkAnswer(
                    id=chunk.id,
                    ordinal=chunk.ordinal,
                    text=chunk.text,
                    start=chunk.start,
                    end=chunk.end,
                    heading=chunk.heading,
                    tokens=chunk.token_count,
                )
                for chunk in chunks
            ],
            request_id=request_id,
        )


class DeleteManyRequest(RequestModel):
    """Either `ids` or `filters`; `domain` narrows a filter down."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filters": {"source": "handbook"}, "dry_run": True}]})

    ids: list[Identifier] | None = Field(default=None, min_length=1, max_length=MAX_DOCUMENTS_PER_INGEST)
    filters: dict[str, Any] | None = Field(default=None, description="May not admit every document.")
    domain: Identifier | None = None
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> DeleteManyRequest:
        if (self.ids is None) == (self.filters is None):
            raise PydanticCustomError("missing", "Either ids or filters must be given.")
        if self.ids is not None and self.domain is not None:
            raise PydanticCustomError("unsupported", "A domain goes with filters only.")
        return self


class DeleteManyAnswer(AnswerModel):
    """How many documents were deleted, or would be."""

    count: int
    dry_run: bool
    request_id: str


def parsed_filters(text: str) -> Any:
    """The JSON of a query's `filters`. Raises ValidationError (`/filters`)."""
    try:
        return parse_json(text.encode())
    except ValidationError as error:
        raise ValidationError([replace(one, loc=f"/filters{one.loc}") for one in error.errors]) from None
    except HttpRefusal:
        raise ValidationError.of("/filters", "malformed", "It is not JSON.") from None


def _members(record: DocumentRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "version": record.version,
        "title": record.title,
        "domain": record.domain,
        "metadata": dict(record.metadata),
        "chunks": record.chunk_count,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
