"""`jobs` on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, cast

import pytest

from advanced_rag.cli.jobs import jobs_answer
from advanced_rag.client.http_client import RagClient

FAILED = {"id": "b", "status": "failed", "error": {"message": "It must not be empty."}}
JOB: dict[str, Any] = {
    "id": "j_1",
    "state": "queued",
    "progress": {"total": 3, "done": 2, "failed": 1},
    "error": "milvus does not answer",
    "documents": [{"id": "a", "status": "indexed"}, FAILED],
}


class Client:
    def jobs(self) -> Iterator[dict[str, Any]]:
        yield JOB
        yield {**JOB, "id": "j_2", "error": None, "progress": {"total": 1, "done": 1, "failed": 0}}

    def job(self, job_id: str) -> dict[str, Any]:
        return {**JOB, "id": job_id}

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        return {**JOB, "id": job_id, "state": "cancelled", "error": None}


def _lines(action: str, job_id: str | None = None) -> list[str]:
    answers = jobs_answer(cast("RagClient", Client()), argparse.Namespace(action=action, id=job_id))
    return [line for _, lines in answers for line in lines]


def test_each_job_is_a_line_with_its_progress_and_why_it_waits() -> None:
    assert _lines("list") == ["j_1\tqueued\t2/3, 1 failed\tmilvus does not answer", "j_2\tqueued\t1/1"]


def test_a_job_is_shown_with_what_failed() -> None:
    assert _lines("show", "j_9") == ["j_9\tqueued\t2/3, 1 failed\tmilvus does not answer", "  b: It must not be empty."]
    assert _lines("cancel", "j_9")[0] == "j_9\tcancelled\t2/3, 1 failed"


def test_a_job_must_be_named() -> None:
    with pytest.raises(SystemExit, match="name a job's id"):
        _lines("show")
