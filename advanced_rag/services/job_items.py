"""A job's input and results as JSON: what is stored of it, and read back by whichever version runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from advanced_rag.domain.documents import DocumentId
from advanced_rag.ports.commits import Json
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from advanced_rag.services.preparation import GivenDocument

# A document that could not be read has its outcome already: it keeps its place among the others.
JobItem = GivenDocument | IngestOutcome
_DECIDED: Final = "decided"


def items_to_json(items: Sequence[JobItem]) -> str:
    """The input of a job. Pure CPU: a big one belongs in an executor."""
    listed = [
        _given_json(item) if isinstance(item, GivenDocument) else {_DECIDED: outcome_to_json(item)} for item in items
    ]
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":"))


def items_of_json(text: str) -> list[JobItem]:
    """The reverse of `items_to_json`."""
    return [outcome_of_json(item[_DECIDED]) if _DECIDED in item else _given(item) for item in json.loads(text)]


def outcome_to_json(outcome: IngestOutcome) -> dict[str, Any]:
    """One document's line of the results."""
    line: dict[str, Any] = {
        "id": outcome.id,
        "status": outcome.status.value,
        "version": outcome.version,
        "chunks": outcome.chunks,
    }
    if (error := outcome.error) is not None:
        line["error"] = {
            "code": error.code,
            "message": error.message,
            "loc": error.loc,
            "retryable": error.retryable,
        }
    return line


def outcome_of_json(line: Json) -> IngestOutcome:
    """The reverse of `outcome_to_json`."""
    error = line.get("error")
    return IngestOutcome(
        id=DocumentId(line["id"]),
        status=IngestStatus(line["status"]),
        version=line["version"],
        chunks=line["chunks"],
        error=None if error is None else IngestError(**error),
    )


def _given_json(document: GivenDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "text": document.text,
        "title": document.title,
        "domain": document.domain,
        "metadata": dict(document.metadata),
    }


def _given(item: Mapping[str, Any]) -> GivenDocument:
    return GivenDocument(
        text=item["text"], id=item["id"], title=item["title"], domain=item["domain"], metadata=item["metadata"]
    )
