"""`PATCH /v1/documents/{id}`."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel
from advanced_rag.api.schemas.ingestion import MetadataObject
from advanced_rag.constants import MAX_TITLE_CHARS
from advanced_rag.services.amending import Amendment
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus


class AmendRequest(RequestModel):
    """What is to change; at least one member."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Keys", "metadata": {"year": 2026}}]})

    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS, description="null: none.")
    domain: Identifier | None = Field(default=None, description="null: none.")
    metadata: MetadataObject | None = Field(
        default=None, description="A JSON merge patch (RFC 7396) of the metadata; null: none."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> AmendRequest:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "It must name something to change.")
        return self

    def amendment(self) -> Amendment:
        """What the service is given: a null that was sent empties its field."""
        sent = self.model_fields_set
        return Amendment(
            title=(self.title or "") if "title" in sent else None,
            domain=(self.domain or "") if "domain" in sent else None,
            metadata=self.metadata,
            clears_metadata="metadata" in sent and self.metadata is None,
        )


class AmendedAnswer(AnswerModel):
    """What became of an amendment: `replaced` by a new version, or `unchanged`."""

    id: str
    version: int | None
    status: IngestStatus
    chunks: int
    request_id: str

    @classmethod
    def of(cls, outcome: IngestOutcome, *, request_id: str) -> AmendedAnswer:
        """One outcome."""
        return cls(
            id=outcome.id,
            version=outcome.version,
            status=outcome.status,
            chunks=outcome.chunks,
            request_id=request_id,
        )
