"""What an embedding server's refusals and a connection's failures mean in our words."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import httpx
from pydantic_core import from_json

from advanced_rag.adapters.embedding_model.vector_checks import DEPENDENCY
from advanced_rag.exceptions import (
    BulkheadFull,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    RAGException,
)

_MS_PER_S: Final = 1_000
_UNREADABLE_SHOWN_BYTES: Final = 200
_TRY_AGAIN: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.FAILED_DEPENDENCY,  # TEI: the inference failed
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_MAYBE_TOO_MANY: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


def error_text(body: bytes) -> str:
    """What the server says went wrong: `error.message`, `error`, `message`, `detail`, else the first bytes."""
    try:
        content = from_json(body)
    except ValueError:
        content = None
    if isinstance(content, Mapping):
        error = content.get("error")
        nested = error.get("message") if isinstance(error, Mapping) else error
        for text in (nested, content.get("message"), content.get("detail")):
            if isinstance(text, str) and text:
                return text
    return body[:_UNREADABLE_SHOWN_BYTES].decode(errors="replace")


def is_too_many_texts(status: int, text: str) -> bool:
    """Whether fewer texts in one request may pass: 413, or TEI's 422 that names the batch size."""
    return status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (status in _MAYBE_TOO_MANY and "batch size" in text.lower())


def refusal(status: int, headers: Mapping[str, str]) -> RAGException:
    """The error of an answer that is not 200. Its text is not repeated: a caller may see ours."""
    if status in _TRY_AGAIN:
        return DependencyUnavailable(
            DEPENDENCY, f"the embedding server answered {status}", retry_after_s=retry_after_s(headers)
        )
    return EmbeddingGenerationError(DEPENDENCY, f"the embedding server refused with {status}", transient=False)


def connection_failure(error: httpx.HTTPError | httpx.InvalidURL, *, read_timeout_s: float) -> RAGException:
    """The error of an exchange that did not come to its end."""
    match error:
        case httpx.PoolTimeout():
            return BulkheadFull("every connection to the embedding server is in use")
        case httpx.ConnectTimeout():
            return DependencyUnavailable(DEPENDENCY, "the embedding server cannot be reached")
        case httpx.TimeoutException():
            return DependencyTimeout(DEPENDENCY, limit_s=read_timeout_s)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return EmbeddingGenerationError(DEPENDENCY, "the embedding server's URL is wrong", transient=False)
        case _:
            return DependencyUnavailable(DEPENDENCY, "the connection to the embedding server failed")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server wants us to wait: `retry-after-ms`, else `Retry-After` as seconds or HTTP-date."""
    if (wait_ms := _non_negative(headers.get("retry-after-ms"))) is not None:
        return wait_ms / _MS_PER_S
    value = headers.get("retry-after")
    if value is None or (seconds := _non_negative(value)) is not None:
        return seconds if value is not None else None
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())  # a date can only be compared with the wall clock


def _non_negative(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
