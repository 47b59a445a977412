"""The service's own endpoints, one method each. Answers are the JSON bodies as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

Json = Mapping[str, Any]


class ServiceError(Exception):
    """The service answered with a problem document (RFC 9457), or could not be reached (`status` 0)."""

    def __init__(self, status: int, problem: Json) -> None:
        detail = problem.get("detail") or problem.get("title") or "no reason was given"
        super().__init__(f"{status}: {detail}" if status else str(detail))
        self.status = status
        self.problem = problem


class RagClient:
    """A connection pool to one service. Use it as a context manager; safe in threads."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 300.0) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ingest(self, documents: Sequence[Json]) -> list[dict[str, Any]]:
        """An outcome for each document, in order. Raises ServiceError."""
        outcomes: list[dict[str, Any]] = self._call("POST", "/v1/ingest", {"documents": documents})["documents"]
        return outcomes

    def upload(
        self,
        files: Mapping[str, Path],
        *,
        document_id: str | None = None,
        domain: str | None = None,
        metadata: Json | None = None,
    ) -> list[dict[str, Any]]:
        """An outcome for each file, in order; at most 20, read while they are sent. Raises ServiceError, OSError.

        `files` are paths by the names that they are sent under, of which the ids are made; `document_id` is one file's.
        """
        fields = {"id": document_id, "domain": domain, "metadata": json.dumps(metadata) if metadata else None}
        with ExitStack() as stack:
            parts = [("files", (name, stack.enter_context(path.open("rb")))) for name, path in files.items()]
            data = {name: value for name, value in fields.items() if value}
            outcomes: list[dict[str, Any]] = self._sent("POST", "/v1/ingest/files", files=parts, data=data)["documents"]
        return outcomes

    def retrieve(self, query: str, **options: Any) -> dict[str, Any]:
        """The whole answer of `/v1/retrieve`. Raises ServiceError."""
        return self._call("POST", "/v1/retrieve", {"query": query, **options})

    def chat(self, message: str, **options: Any) -> dict[str, Any]:
        """The whole answer of `/v1/chat`. Raises ServiceError."""
        return self._call("POST", "/v1/chat", {"message": message, **options})

    def document(self, document_id: str) -> dict[str, Any]:
        """One document with its text. Raises ServiceError."""
        return self._call("GET", f"/v1/documents/{quote(document_id, safe='')}")

    def documents(self, *, page: int = 100) -> Iterator[dict[str, Any]]:
        """Every document, page by page. Raises ServiceError."""
        return self._pages("/v1/documents", "documents", page)

    def jobs(self, *, page: int = 100) -> Iterator[dict[str, Any]]:
        """Every ingest job, newest first, page by page. Raises ServiceError."""
        return self._pages("/v1/jobs", "jobs", page)

    def job(self, job_id: str) -> dict[str, Any]:
        """One job with what became of its documents. Raises ServiceError."""
        return self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}")

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Begin nothing more of a job. Raises ServiceError."""
        return self._call("DELETE", f"/v1/jobs/{quote(job_id, safe='')}")

    def delete(self, document_id: str) -> None:
        """Delete one document. Raises ServiceError."""
        self._call("DELETE", f"/v1/documents/{quote(document_id, safe='')}")

    def _pages(self, path: str, member: str, page: int) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            parameters = {"limit": str(page), **({"cursor": cursor} if cursor else {})}
            answer = self._call("GET", path, parameters=parameters)
            yield from answer[member]
            cursor = answer["next_cursor"]
            if cursor is None:
                return

    def _call(
        self, method: str, path: str, body: Json | None = None, *, parameters: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return self._sent(method, path, json=body, params=parameters)

    def _sent(self, method: str, path: str, **content_of_it: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **content_of_it)
        except httpx.HTTPError as error:
            raise ServiceError(0, {"detail": f"the service cannot be reached: {error}"}) from error
        try:
            content: dict[str, Any] = answer.json() if answer.content else {}
        except ValueError:
            content = {"detail": "the answer is not JSON: is this the right address?"}
        if answer.is_error:
            raise ServiceError(answer.status_code, content)
        return content
