"""`POST /v1/ingest`: the batch is checked as a whole, each document by itself, so that a bad one fails alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import pydantic
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from advanced_rag.api.errors import field_errors
from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel, not_blank
from advanced_rag.constants import (
    MAX_DOCUMENTS_PER_INGEST,
    MAX_METADATA_BYTES,
    MAX_METADATA_KEYS,
    MAX_TEXT_BYTES,
    MAX_TITLE_CHARS,
)
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import FieldError, ValidationError
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from advanced_rag.services.job_items import JobItem
from advanced_rag.services.preparation import GivenDocument

_DOCUMENTS: Final = "documents"


def _short_enough(text: str) -> str:
    # Four bytes a code point at most: only a text that could be too long is encoded to find out.
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise PydanticCustomError("too_large", "It may have {limit} bytes.", {"limit": MAX_TEXT_BYTES})
    return text


def _small_enough(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(metadata) > MAX_METADATA_KEYS:
        raise PydanticCustomError("too_many", "It may have {limit} members.", {"limit": MAX_METADATA_KEYS})
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_METADATA_BYTES:
        raise PydanticCustomError("too_large", "It may have {limit} bytes as JSON.", {"limit": MAX_METADATA_BYTES})
    return metadata


MetadataObject = Annotated[dict[str, Any], AfterValidator(_small_enough)]


class DocumentInput(RequestModel):
    """A document to take in."""

    id: Identifier | None = Field(default=None, description="Replaces the document of that id; made from the content.")
    text: Annotated[str, AfterValidator(not_blank), AfterValidator(_short_enough)] = Field(
        description=f"Up to {MAX_TEXT_BYTES} bytes of UTF-8."
    )
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    domain: Identifier | None = None
    metadata: MetadataObject | None = Field(
        default=None, description=f"A JSON object of up to {MAX_METADATA_KEYS} members and {MAX_METADATA_BYTES} bytes."
    )

    def given(self) -> GivenDocument:
        """What the service is given."""
        return GivenDocument(
            text=self.text,
            id=self.id,
            title=self.title or "",
            domain=self.domain or "",
            metadata=self.metadata or {},
        )


_DOCUMENT: Final = TypeAdapter(DocumentInput)
_IDENTIFIER: Final[TypeAdapter[str]] = TypeAdapter(Identifier)


class IngestRequest(RequestModel):
    """A batch. Its documents are validated one by one, later."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "documents": [
                        {
                            "id": "keys-2026",
                            "title": "Key register",
                            "text": "Spare keys hang in cabinet B, second floor.",
                            "metadata": {"lang": "en", "year": 2026},
                        }
                    ]
                }
            ]
        }
    )

    documents: list[Annotated[Any, WithJsonSchema(DocumentInput.model_json_schema())]] = Field(
        min_length=1, max_length=MAX_DOCUMENTS_PER_INGEST
    )


class IngestErrorAnswer(AnswerModel):
    """Why a document failed; `retryable`: the same document may go in later."""

    code: str
    message: str
    retryable: bool
    loc: str | None = Field(default=None, description="JSON Pointer into the request, where one field is to blame.")


class IngestedDocumentAnswer(AnswerModel):
    """What became of one document. `id` is null where the one given cannot be one."""

    id: str | None
    status: IngestStatus
    version: int | None = None
    chunks: int = 0
    error: IngestErrorAnswer | None = None

    @classmethod
    def of(cls, position: int, outcome: IngestOutcome) -> IngestedDocumentAnswer:
        """What the service said of the document at `position`."""
        error = {} if outcome.error is None else {"error": _described(position, outcome.error)}
        return cls(
            id=outcome.id or None, status=outcome.status, version=outcome.version, chunks=outcome.chunks, **error
        )

    @classmethod
    def refused(cls, document_id: str | None, error: FieldError) -> IngestedDocumentAnswer:
        """A document that never reached the service."""
        described = IngestErrorAnswer(code=error.code, message=error.message, retryable=False, loc=error.loc)
        return cls(id=document_id, status=IngestStatus.FAILED, version=None, chunks=0, error=described)


class IngestResponse(AnswerModel):
    """A line for each document, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "documents": [{"id": "keys-2026", "status": "indexed", "version": 1, "chunks": 1}],
                    "request_id": "req-7f1",
                }
            ]
        }
    )

    documents: list[IngestedDocumentAnswer]
    request_id: str


@dataclass(frozen=True, slots=True)
class RefusedDocument:
    """A document that does not pass, and its id if it has a proper one."""

    document_id: str | None
    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch after each of its documents was checked: those to take in, and by their places those refused."""

    size: int
    given: tuple[GivenDocument, ...]
    refused: Mapping[int, RefusedDocument]

    @classmethod
    def of(cls, documents: Sequence[Any]) -> CheckedBatch:
        """Check each. Pure CPU: a big batch belongs in an executor. Raises ValidationError if not one passes."""
        given: list[GivenDocument] = []
        refused: dict[int, RefusedDocument] = {}
        for position, document in enumerate(documents):
            try:
                given.append(_DOCUMENT.validate_python(document).given())
            except pydantic.ValidationError as error:
                errors = error.errors(include_url=False, include_context=False, include_input=False)
                within = (_DOCUMENTS, position)
                refused[position] = RefusedDocument(_own_id(document), tuple(field_errors(errors, within=within)))
        if not given:
            raise ValidationError([error for document in refused.values() for error in document.errors])
        return cls(len(documents), tuple(given), refused)

    def items(self) -> list[JobItem]:
        """All of them in the order of the request: a refused one has its outcome already."""
        given = iter(self.given)
        return [
            _decided(position, self.refused[position]) if position in self.refused else next(given)
            for position in range(self.size)
        ]

    def answer(self, outcomes: Sequence[IngestOutcome], *, request_id: str) -> IngestResponse:
        """The lines of both in the order of the request. Raises ValidationError if not one document went in."""
        taken = iter(outcomes)
        lines = [
            IngestedDocumentAnswer.refused(self.refused[position].document_id, self.refused[position].errors[0])
            if position in self.refused
            else IngestedDocumentAnswer.of(position, next(taken))
            for position in range(self.size)
        ]
        errors = [line.error for line in lines if line.status is IngestStatus.FAILED and line.error is not None]
        if len(errors) == len(lines) and not any(error.retryable for error in errors):
            raise ValidationError([FieldError(error.loc or "", error.code, error.message) for error in errors])
        return IngestResponse(documents=lines, request_id=request_id)


def _described(position: int, error: IngestError) -> IngestErrorAnswer:
    optional = {} if error.loc is None else {"loc": f"/{_DOCUMENTS}/{position}{error.loc}"}
    return IngestErrorAnswer(code=error.code, message=error.message, retryable=error.retryable, **optional)


def _decided(position: int, refused: RefusedDocument) -> IngestOutcome:
    first = refused.errors[0]
    loc = first.loc.removeprefix(f"/{_DOCUMENTS}/{position}")
    error = IngestError(first.code, first.message, loc)
    return IngestOutcome(DocumentId(refused.document_id or ""), IngestStatus.FAILED, error=error)


def _own_id(document: Any) -> str | None:
    try:
        return _IDENTIFIER.validate_python(document["id"])
    except (pydantic.ValidationError, KeyError, TypeError, IndexError):
        return None
