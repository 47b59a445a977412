"""`/v1/documents`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel
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
