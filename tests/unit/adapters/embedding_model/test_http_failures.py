from __future__ import annotations

import email.utils
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.embedding_model.http_failures import (
    connection_failure,
    error_text,
    is_too_many_texts,
    refusal,
    retry_after_s,
)
from advanced_rag.exceptions import (
    BulkheadFull,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    RAGException,
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "nested", "type": "t"}}', "nested"),
        (b'{"error": "flat", "error_type": "Validation"}', "flat"),
        (b'{"message": "plain", "code": 422}', "plain"),
        (b'{"detail": "fastapi"}', "fastapi"),
        (b'{"error": {"code": 1}, "detail": [1]}', '{"error": {"code": 1}, "detail": [1]}'),
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b"", ""),
    ],
)
def test_error_texts_are_found_where_servers_put_them(body: bytes, text: str) -> None:
    assert error_text(body) == text


@given(st.binary(max_size=500))
def test_any_bytes_have_an_error_text(body: bytes) -> None:
    assert isinstance(error_text(body), str)


@pytest.mark.req("R3.7")
@pytest.mark.parametrize("status", [408, 424, 425, 429, 500, 502, 503, 504])
def test_statuses_that_may_pass_are_transient(status: int) -> None:
    error = refusal(status, {})
    assert isinstance(error, DependencyUnavailable)
    assert error.transient


@pytest.mark.req("R3.7")
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422, 501])
def test_other_statuses_are_final(status: int) -> None:
    error = refusal(status, {"retry-after": "1"})
    assert isinstance(error, EmbeddingGenerationError)
    assert not error.transient


def test_too_many_texts_is_told_by_413_or_by_the_words() -> None:
    assert is_too_many_texts(413, "")
    assert is_too_many_texts(422, "batch size 64 > maximum allowed batch size 32")
    assert not is_too_many_texts(422, "tokenizer error")
    assert not is_too_many_texts(500, "batch size")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": email.utils.formatdate(0)}, 0.0),
    ],
)
def test_waits_are_read_in_their_three_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_is_as_far_away_as_it_is() -> None:
    wait_s = retry_after_s({"retry-after": email.utils.formatdate(time.time() + 60, usegmt=True)})
    assert wait_s is not None
    assert 50 < wait_s <= 60


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.PoolTimeout(""), BulkheadFull),
        (httpx.ConnectTimeout(""), DependencyUnavailable),
        (httpx.ConnectError(""), DependencyUnavailable),
        (httpx.ReadTimeout(""), DependencyTimeout),
        (httpx.ReadError(""), DependencyUnavailable),
        (httpx.RemoteProtocolError(""), DependencyUnavailable),
        (httpx.UnsupportedProtocol(""), EmbeddingGenerationError),
        (httpx.InvalidURL(""), EmbeddingGenerationError),
    ],
)
def test_failures_of_the_connection_have_our_names(error: httpx.HTTPError, kind: type[RAGException]) -> None:
    assert type(connection_failure(error, read_timeout_s=1.0)) is kind
