"""The fakes of jobs and idempotency keys keep to their ports' contracts."""

from __future__ import annotations

import pytest

from advanced_rag.ports.commits import CommitNote, JobNote
from advanced_rag.ports.idempotency import IdempotencyStore
from tests.contracts.idempotency_store import IdempotencyStoreContract
from tests.contracts.job_store import JobPorts, JobStoreContract
from tests.fakes.document_store import FakeDocumentStore
from tests.fakes.idempotency_store import FakeIdempotencyStore
from tests.fakes.job_store import FakeJobStore


class TestFakeJobStore(JobStoreContract):
    @pytest.fixture
    def ports(self) -> JobPorts:
        keys = FakeIdempotencyStore()
        jobs = FakeJobStore(keep_answer=keys.keep_answer)

        def write(note: CommitNote) -> None:
            if isinstance(note, JobNote):
                jobs.write_note(note)
            else:
                keys.keep_answer(note)

        return JobPorts(jobs, jobs, FakeDocumentStore(write_note=write), keys)


class TestFakeIdempotencyStore(IdempotencyStoreContract):
    @pytest.fixture
    def store(self) -> IdempotencyStore:
        return FakeIdempotencyStore()
