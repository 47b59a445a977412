"""Settings: read from file and environment, unknown names refused, secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.config import (
    CONFIG_FILE_VARIABLE,
    ConfigurationError,
    effective_settings,
    known_names,
    load_settings,
    masked_url,
    unknown_names,
)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("")
    monkeypatch.setenv(CONFIG_FILE_VARIABLE, str(path))
    return path


def test_without_anything_everything_is_embedded() -> None:
    settings = load_settings()
    assert settings.database_is_embedded
    assert settings.database_url.startswith("sqlite+aiosqlite:///")
    assert settings.milvus.uri == ""
    assert settings.server.host == "127.0.0.1"


def test_the_environment_rules_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("retrieval: {candidates: 50, fusion: rrf}\n")
    monkeypatch.setenv("RAG__RETRIEVAL__CANDIDATES", "70")
    settings = load_settings()
    assert settings.retrieval.candidates == 70
    assert settings.retrieval.fusion == "rrf"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("RAG__MILVS__URI", "RAG__MILVUS__URI"),
        ("RAG_MILVUS__URI", "RAG__MILVUS__URI"),
        ("RAG__MILVUS__URL", "RAG__MILVUS__URI"),
        ("RAG__DATADIR", "RAG__DATA_DIR"),
        ("rag__log__levl", "RAG__LOG__LEVEL"),
    ],
)
def test_an_unknown_name_stops_the_start_and_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, suggestion: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigurationError, match=f"{name}.*{suggestion}"):
        load_settings()


def test_an_unknown_name_in_the_file_stops_the_start_too(file: Path) -> None:
    file.write_text("milvus: {urii: http://localhost}\n")
    with pytest.raises(ConfigurationError, match=r"RAG__MILVUS__URII.*RAG__MILVUS__URI"):
        load_settings()


def test_every_known_name_is_known_in_any_case() -> None:
    assert unknown_names(known_names()) == []
    assert unknown_names(name.lower() for name in known_names()) == []


def test_names_of_others_are_none_of_our_business() -> None:
    assert unknown_names(["RAGE", "PATH", "RAGTIME__X", "STORAGE__RAG"]) == []


SECRETS = st.sampled_from(["RAG__DATABASE__URL", "RAG__LLM__API_KEY", "RAG__MILVUS__SEARCH_TIMEOUT_S"])


@given(SECRETS, st.text("ab:/@", min_size=1))
def test_a_refused_value_is_not_repeated(name: str, value: str) -> None:
    secret = f"hunter2{value}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(CONFIG_FILE_VARIABLE, "")
        environment.setenv(name, secret)
        try:
            shown = str(effective_settings(load_settings()))
        except ConfigurationError as error:
            shown = str(error)
        assert secret not in shown


def test_a_password_in_a_url_is_masked() -> None:
    assert masked_url("postgresql+asyncpg://rag:s3cret@db:5432/rag") == "postgresql+asyncpg://rag:********@db:5432/rag"
    assert masked_url("postgresql+asyncpg:///rag?host=/run") == "postgresql+asyncpg:///rag?host=/run"


def test_a_plain_postgres_url_gets_the_async_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG__DATABASE__URL", "postgresql://u:p@h/d")
    assert load_settings().database_url == "postgresql+asyncpg://u:p@h/d"


def test_a_deadline_that_holds_no_attempt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG__SERVER__RETRIEVE_DEADLINE_S", "4")
    with pytest.raises(ConfigurationError, match="retrieve_deadline_s must be longer"):
        load_settings()


def test_fields_that_milvus_would_take_for_words_of_its_own_are_refused(file: Path) -> None:
    file.write_text("filters: {fields: {like: string}}\n")
    with pytest.raises(ConfigurationError, match="FILTERS__FIELDS"):
        load_settings()
