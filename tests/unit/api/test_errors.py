"""Every error has its problem, and every problem its page (reliability section 13)."""

from __future__ import annotations

import inspect

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from advanced_rag import exceptions
from advanced_rag.api import refusals
from advanced_rag.api.errors import is_ours, problem_of
from advanced_rag.api.problem_response import problem_document
from advanced_rag.api.problem_types import PROBLEM_TYPES
from advanced_rag.api.routers.problems import DEFAULT_PAGES
from advanced_rag.exceptions import (
    BulkheadFull,
    CallerError,
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    DependencyError,
    DependencyInvalid,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    FieldError,
    FileRefused,
    InsufficientStorage,
    KeyInProgress,
    KeyMismatch,
    LeaseLost,
    LoadShed,
    MilvusConnectionError,
    NotFound,
    PoolExhausted,
    RAGException,
    RetrievalError,
    SchemaMismatch,
    ShuttingDown,
    Starting,
    ValidationError,
)

TABLE: list[tuple[BaseException, str, int, range | None]] = [
    (ValidationError.of("/a", "empty", "no"), "validation", 422, None),
    (CallerError("no"), "validation", 422, None),
    (NotFound("gone"), "not-found", 404, None),
    (Conflict("no"), "conflict", 409, None),
    (LeaseLost("no"), "conflict", 409, None),
    (KeyInProgress("k"), "idempotency-in-progress", 409, range(1, 2)),
    (KeyMismatch("k"), "idempotency-mismatch", 422, None),
    (LoadShed("busy"), "overloaded", 503, range(1, 4)),
    (BulkheadFull("busy"), "overloaded", 503, range(1, 4)),
    (PoolExhausted("busy"), "overloaded", 503, range(1, 4)),
    (CircuitOpen("milvus.semantic", retry_after_s=3.2), "index-unavailable", 503, range(4, 5)),
    (CircuitOpen("database", retry_after_s=400), "database-unavailable", 503, range(30, 31)),
    (CircuitOpen("llm", retry_after_s=0), "dependency-unavailable", 503, range(1, 2)),
    (ShuttingDown("bye"), "shutting-down", 503, range(5, 6)),
    (Starting("soon"), "starting", 503, range(5, 6)),
    (InsufficientStorage("full"), "insufficient-storage", 507, range(60, 61)),
    (DependencyError("reranker"), "dependency-unavailable", 503, range(1, 31)),
    (DependencyTimeout("database", limit_s=5), "database-unavailable", 503, range(1, 31)),
    (DependencyUnavailable("database"), "database-unavailable", 503, range(1, 31)),
    (MilvusConnectionError("milvus.sparse", retry_after_s=7), "index-unavailable", 503, range(7, 8)),
    (DependencyInvalid("embedding"), "dependency-unavailable", 503, range(1, 31)),
    (EmbeddingGenerationError("embedding"), "dependency-unavailable", 503, range(1, 31)),
    (RetrievalError({"semantic": "timeout", "sparse": "busy"}), "index-unavailable", 503, range(1, 31)),
    (RetrievalError({"semantic": "busy", "sparse": "busy"}), "overloaded", 503, range(1, 2)),
    (SchemaMismatch("database"), "schema-mismatch", 503, range(5, 6)),
    (DeadlineExceeded("search", deadline_s=6), "deadline-exceeded", 504, None),
    (FileRefused("unreadable-file", "damaged"), "validation", 422, None),
    (FileRefused("payload-too-large", "unpacks to too much"), "payload-too-large", 413, None),
    (FileRefused("unsupported-media-type", "no text"), "unsupported-media-type", 415, None),
    (refusals.HttpRefusal("no"), "validation", 422, None),
    (refusals.MalformedJson("no"), "malformed-json", 400, None),
    (refusals.UnsupportedMediaType("no"), "unsupported-media-type", 415, None),
    (refusals.PayloadTooLarge(10, drained=True), "payload-too-large", 413, None),
    (refusals.HeadersTooLarge("no"), "header-too-large", 431, None),
    (refusals.RequestTooSlow("no"), "request-timeout", 408, None),
    (refusals.Unauthorized("no"), "unauthorized", 401, None),
    (refusals.Forbidden("no"), "forbidden", 403, None),
    (refusals.MethodNotAllowed(["GET"]), "method-not-allowed", 405, None),
    (RequestValidationError([{"loc": ("body", "a", 0), "type": "missing", "msg": "m"}]), "validation", 422, None),
    (HTTPException(404), "not-found", 404, None),
    (HTTPException(405, headers={"Allow": "GET"}), "method-not-allowed", 405, None),
    (HTTPException(400), "malformed-json", 400, None),
    (HTTPException(418), "internal", 500, None),
    (ExceptionGroup("tasks", [NotFound("gone")]), "not-found", 404, None),
    (RAGException("bare"), "internal", 500, None),
    (RuntimeError("secret"), "internal", 500, None),
    (OSError("refused"), "internal", 500, None),
    (ExceptionGroup("tasks", [NotFound("a"), RuntimeError("b")]), "internal", 500, None),
]


@pytest.mark.parametrize(
    ("error", "name", "status", "retry_after"), TABLE, ids=[type(row[0]).__name__ for row in TABLE]
)
def test_each_error_is_one_problem(error: BaseException, name: str, status: int, retry_after: range | None) -> None:
    problem = problem_of(error)
    assert (problem.type.name, problem.type.status) == (name, status)
    if retry_after is None:
        assert problem.retry_after_s is None
    else:
        assert problem.retry_after_s in retry_after
        assert problem.members["retry_after"] == problem.retry_after_s


def _raised_on_purpose() -> list[type[BaseException]]:
    modules = (exceptions, refusals)
    classes = [value for module in modules for value in vars(module).values() if inspect.isclass(value)]
    return [kind for kind in classes if issubclass(kind, RAGException) and kind is not RAGException]


def test_every_error_that_we_raise_has_a_row_of_its_own() -> None:
    provoked = {type(error) for error, *_ in TABLE}
    assert [kind.__name__ for kind in _raised_on_purpose() if kind not in provoked] == []
    purposely = [error for error, *_ in TABLE if type(error) in _raised_on_purpose()]
    assert [error for error in purposely if problem_of(error).type.name == "internal"] == []
    assert all(is_ours(error) for error in purposely)


def test_a_bug_says_nothing_of_itself() -> None:
    problem = problem_of(RuntimeError("password=hunter2 at /srv/x.py"))
    assert "hunter2" not in str(problem_document(problem, "req-1"))
    assert not is_ours(RuntimeError())
    assert not is_ours(RAGException())


def test_a_problem_document_has_the_members_of_the_contract() -> None:
    document = problem_document(problem_of(NotFound("There is no such document.")), "req-1")
    assert document == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such document.",
        "instance": "req-1",
        "request_id": "req-1",
    }


def test_extension_members_say_what_the_caller_can_use() -> None:
    assert problem_of(refusals.PayloadTooLarge(1_000, drained=False)).members == {"limit_bytes": 1_000}
    assert problem_of(refusals.PayloadTooLarge(1_000, drained=False)).closes
    retrieval = problem_of(RetrievalError({"semantic": "timeout", "sparse": "open"}, retry_after_s=4.5)).members
    assert retrieval == {"dependency": "milvus", "degraded": ["semantic:timeout", "sparse:open"], "retry_after": 5}
    assert problem_of(DeadlineExceeded("search", deadline_s=6)).members == {"stage": "search", "deadline_ms": 6_000}
    assert problem_of(refusals.Unauthorized("x")).headers == {"WWW-Authenticate": "Bearer"}
    assert problem_of(refusals.MethodNotAllowed(["POST", "GET"])).headers == {"Allow": "GET, POST"}


def test_at_most_twenty_fields_are_listed_and_all_are_counted() -> None:
    problem = problem_of(ValidationError([FieldError(f"/{i}", "empty", "no") for i in range(30)]))
    assert len(problem.members["errors"]) == 20
    assert problem.detail == "30 fields were refused."


def test_every_problem_has_its_page_and_every_page_its_problem() -> None:
    assert {page.stem for page in DEFAULT_PAGES.glob("*.md")} == set(PROBLEM_TYPES)
    for name, kind in PROBLEM_TYPES.items():
        text = (DEFAULT_PAGES / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {kind.title}\n"), name
        assert f"**{kind.status}**" in text, name
