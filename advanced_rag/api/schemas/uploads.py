"""`POST /v1/ingest/files`: the form's fields, and the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pydantic

from advanced_rag.api.errors import field_errors
from advanced_rag.api.json_gate import parse_json
from advanced_rag.api.json_pointers import pointer
from advanced_rag.api.multipart import FILES, ReceivedForm
from advanced_rag.api.refusals import MalformedJson
from advanced_rag.api.schemas.base import Identifier, RequestModel
from advanced_rag.api.schemas.ingestion import (
    IngestedDocumentAnswer,
    IngestErrorAnswer,
    IngestResponse,
    MetadataObject,
)
from advanced_rag.constants import MAX_METADATA_BYTES, MAX_METADATA_KEYS, MAX_UPLOAD_FILES
from advanced_rag.exceptions import FieldError, FileRefused, ValidationError
from advanced_rag.services.idempotency import fingerprint_of
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from advanced_rag.services.uploads import Upload, UploadedFile

_METADATA: Final = "metadata"
_OWN_PROBLEMS: Final = frozenset({"unsupported-media-type", "payload-too-large"})


class UploadFields(RequestModel):
    """What the form says beside its files."""

    id: Identifier | None = None
    domain: Identifier | None = None
    metadata: MetadataObject | None = None

    @classmethod
    def of(cls, fields: Mapping[str, bytes]) -> UploadFields:
        """A field that is empty is absent, as browsers send it. Raises ValidationError."""
        values: dict[str, Any] = {
            name: _metadata(value) if name == _METADATA else _text(name, value)
            for name, value in fields.items()
            if value
        }
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            raise ValidationError(field_errors(errors)) from None


def upload_of(form: ReceivedForm) -> Upload:
    """What the service is given. Raises ValidationError."""
    fields = UploadFields.of(form.fields)
    if fields.id is not None and len(form.files) != 1:
        raise ValidationError.of("/id", "one-file-only", "An id is one file's: send one file, or no id.")
    return Upload(
        files=[UploadedFile(file.path, file.name) for file in form.files],
        id=fields.id,
        domain=fields.domain or "",
        metadata=fields.metadata or {},
    )


def fingerprint_of_form(form: ReceivedForm) -> str:
    """What two uploads of the same have in common: their files' bytes and names, and the other fields. Blocking."""
    files = [(file.name, _digest(file.path)) for file in form.files]
    fields = {name: value.hex() for name, value in form.fields.items()}
    return fingerprint_of([files, fields])


def upload_answer(outcomes: Sequence[IngestOutcome], *, request_id: str) -> IngestResponse:
    """A line for each file, in the order of the form.

    Raises:
        FileRefused: every file was refused for the same kind of reason, which has a problem of its own.
        ValidationError: every file failed by its own fault.
    """
    lines = [_line(position, outcome) for position, outcome in enumerate(outcomes)]
    errors = [line.error for line in lines if line.status is IngestStatus.FAILED and line.error is not None]
    if len(errors) == len(lines) and not any(error.retryable for error in errors):
        codes = {error.code for error in errors}
        if len(codes) == 1 and codes <= _OWN_PROBLEMS:
            raise FileRefused(codes.pop(), " ".join(dict.fromkeys(error.message for error in errors)))
        raise ValidationError([FieldError(error.loc or "", error.code, error.message) for error in errors])
    return IngestResponse(documents=lines, request_id=request_id)


def form_description() -> dict[str, Any]:
    """The request body for the OpenAPI document: the framework cannot see what the route reads by itself."""
    identifier = {"type": "string", "description": "Letters, digits and `. : @ / - _`, up to 128."}
    schema = {
        "type": "object",
        "required": [FILES],
        "properties": {
            FILES: {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "maxItems": MAX_UPLOAD_FILES,
                "description": "txt, md, html, pdf, docx, pptx, xlsx, csv, json, eml, epub, rtf; told by the content.",
            },
            "id": {**identifier, "description": "Of the only file; else an id is made from the file's name."},
            "domain": identifier,
            _METADATA: {
                "type": "object",
                "description": f"A JSON object of up to {MAX_METADATA_KEYS} members and {MAX_METADATA_BYTES} bytes.",
            },
        },
        "additionalProperties": False,
    }
    encoding = {_METADATA: {"contentType": "application/json"}}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}}


def _line(position: int, outcome: IngestOutcome) -> IngestedDocumentAnswer:
    optional: dict[str, Any] = {}
    if (error := outcome.error) is not None:
        # What the service finds in metadata is the form's; everything else is the file's.
        loc = error.loc if error.loc is not None else pointer((FILES, position))
        optional["error"] = IngestErrorAnswer(
            code=error.code, message=error.message, retryable=error.retryable, loc=loc
        )
    return IngestedDocumentAnswer(
        id=outcome.id, status=outcome.status, version=outcome.version, chunks=outcome.chunks, **optional
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValidationError.of(f"/{name}", "invalid-unicode", "It is not UTF-8.") from None


def _metadata(value: bytes) -> Any:
    try:
        return parse_json(value)
    except MalformedJson:
        raise ValidationError.of(f"/{_METADATA}", "malformed-json", "It is not JSON.") from None
    except ValidationError as error:
        within = [FieldError(f"/{_METADATA}{each.loc}", each.code, each.message) for each in error.errors]
        raise ValidationError(within) from None
