from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.telemetry.redaction import MAX_VALUE_CHARS, redacted, shortened

SECRET = "Zx81KqP0aaB4mN7rT2vW9yC3"


@pytest.mark.req("R8.13")
@pytest.mark.parametrize(
    "text",
    [
        f"key rag_0a1B2c3D_{SECRET} refused",
        f"Authorization: Bearer {SECRET}",
        f"authorization=Basic {SECRET}==",
        f"'x-api-key': '{SECRET}'",
        f'{{"api_key": "{SECRET}", "a": 1}}',
        f"postgresql+asyncpg://rag:{SECRET}@db.example.org:5432/rag",
        f"redis://:{SECRET}@cache/0",
        f"sk-{SECRET} hf_{SECRET}",
        f"password={SECRET}&x=1",
        f"X-API-Key:{SECRET}",
        f"RAG__LLM__API_KEY={SECRET}",
        f"db_password: {SECRET}",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    assert SECRET not in redacted(text)
    assert "[redacted]" in redacted(text)


@pytest.mark.req("R8.13")
@pytest.mark.parametrize(
    "text",
    [
        "usage: prompt_tokens: 4120, completion_tokens=77",
        "GET /v1/documents/keys-2026 200",
        "http://localhost:8000/docs",
        "the token bucket is empty",
        "milvus.semantic did not answer within 5 s",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    assert redacted(text) == text


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


def test_long_values_are_cut_with_a_mark() -> None:
    assert shortened("x" * MAX_VALUE_CHARS) == "x" * MAX_VALUE_CHARS
    assert shortened("x" * 10_000).startswith("x" * MAX_VALUE_CHARS + "…")
