"""What every store of jobs keeps to: the fake, SQLite and Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.domain.identity import document_hash
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import Conflict, LeaseLost, ValidationError
from advanced_rag.ports.commits import JobNote, KeptAnswer
from advanced_rag.ports.documents import DocumentStore, StagedVersion
from advanced_rag.ports.idempotency import IdempotencyStore, KeyClaim, KeyedRequest
from advanced_rag.ports.jobs import Job, JobLease, JobQueue, JobStore
from tests.contracts.document_store import draft

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
LONG_S = 600.0
OVER_S = -1.0  # a lease that has ended when it begins


@dataclass(frozen=True, slots=True)
class JobPorts:
    """The ports over one database."""

    store: JobStore
    queue: JobQueue
    documents: DocumentStore
    keys: IdempotencyStore


async def queued(ports: JobPorts, job_id: str, *, tenant: Tenant = ACME, total: int = 2) -> Job:
    """A new job."""
    documents = json.dumps([{"id": f"{job_id}-{number}", "text": "Ä 🗝 \"'\\ \n"} for number in range(total)])
    return await ports.store.enqueue(tenant, job_id, documents=documents, total=total)


async def claimed(ports: JobPorts, *, lease_s: float = LONG_S) -> JobLease:
    """The next job."""
    lease = await ports.queue.claim(lease_s=lease_s)
    assert lease is not None
    return lease


def note(
    lease: JobLease, results: Sequence[dict[str, Any]], *, state: JobState = JobState.RUNNING, failed: int = 0
) -> JobNote:
    """Progress under that lease."""
    return JobNote(lease.tenant, lease.job_id, lease.token, results, failed, state)


class JobStoreContract:
    """A subclass gives empty `ports`."""

    async def test_a_job_comes_out_as_it_went_in(self, ports: JobPorts) -> None:
        assert await ports.queue.claim(lease_s=LONG_S) is None
        made = await queued(ports, "j1")
        assert (made.id, made.state, made.total, made.done, made.failed) == ("j1", JobState.QUEUED, 2, 0, 0)
        assert await ports.store.job(ACME, "j1") == made
        lease = await claimed(ports)
        assert (lease.tenant, lease.job_id, lease.attempts, list(lease.results)) == (ACME, "j1", 1, [])
        assert [item["text"] for item in json.loads(lease.input)] == ["Ä 🗝 \"'\\ \n"] * 2
        assert await ports.queue.claim(lease_s=LONG_S) is None

    async def test_an_id_is_given_once(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        with pytest.raises(Conflict):
            await queued(ports, "j1")

    @pytest.mark.req("R8.1")
    async def test_another_tenants_job_does_not_exist(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        assert await ports.store.job(GLOBEX, "j1") is None
        assert await ports.store.cancel(GLOBEX, "j1") is None
        assert (await ports.store.jobs(GLOBEX, limit=10)).items == ()
        assert await ports.store.job(ACME, "j\0") is None

    async def test_jobs_are_taken_oldest_first(self, ports: JobPorts) -> None:
        for name in ("a", "b", "c"):
            await queued(ports, name)
        assert [(await claimed(ports)).job_id for _ in range(3)] == ["a", "b", "c"]

    @pytest.mark.req("R6.15")
    async def test_of_many_that_ask_at_once_each_job_has_one_taker(self, ports: JobPorts) -> None:
        for number in range(5):
            await queued(ports, f"j{number}")
        leases = await asyncio.gather(*(ports.queue.claim(lease_s=LONG_S) for _ in range(12)))
        rest = []
        while (lease := await ports.queue.claim(lease_s=LONG_S)) is not None:
            rest.append(lease)  # those that everybody passed over because somebody else was just looking at them
        taken = [lease.job_id for lease in (*leases, *rest) if lease is not None]
        assert sorted(taken) == [f"j{number}" for number in range(5)]

    @pytest.mark.req("R6.15")
    async def test_a_lease_that_ended_is_taken_over_under_a_larger_token(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        stopped = await claimed(ports, lease_s=OVER_S)
        fresh = await claimed(ports)
        assert fresh.token > stopped.token
        assert fresh.attempts == 2
        assert not await ports.queue.heartbeat(stopped, lease_s=LONG_S)
        with pytest.raises(LeaseLost):
            await ports.queue.record(note(stopped, [{"n": 1}]), lease_s=LONG_S)
        await ports.queue.defer(stopped, delay_s=0, reason="stopped", counted=True)
        assert await ports.queue.heartbeat(fresh, lease_s=LONG_S)
        assert await ports.queue.record(note(fresh, [{"n": 2}]), lease_s=LONG_S) is JobState.RUNNING
        job = await ports.store.job(ACME, "j1")
        assert job is not None
        assert (job.state, job.done, list(job.results), job.error) == (JobState.RUNNING, 1, [{"n": 2}], None)

    @pytest.mark.req("R6.15")
    async def test_a_heartbeat_keeps_a_lease(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        lease = await claimed(ports, lease_s=OVER_S)
        assert await ports.queue.heartbeat(lease, lease_s=LONG_S)
        assert await ports.queue.claim(lease_s=LONG_S) is None

    @pytest.mark.req("R6.14")
    async def test_progress_is_kept_and_never_goes_back(self, ports: JobPorts) -> None:
        await queued(ports, "j1", total=3)
        lease = await claimed(ports)
        await ports.queue.record(note(lease, [{"n": 1}, {"n": 2}], failed=1), lease_s=OVER_S)
        with pytest.raises(LeaseLost):
            await ports.queue.record(note(lease, [{"n": 1}]), lease_s=LONG_S)
        again = await claimed(ports)
        assert list(again.results) == [{"n": 1}, {"n": 2}]
        assert again.attempts == 2  # the lease that made progress was the first since then
        ended = note(again, [{"n": 1}, {"n": 2}, {"n": 3}], state=JobState.SUCCEEDED, failed=1)
        for _ in range(2):  # the answer of the first was lost
            assert await ports.queue.record(ended, lease_s=LONG_S) is JobState.SUCCEEDED
        job = await ports.store.job(ACME, "j1")
        assert job is not None
        assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 3, 1)
        assert await ports.queue.claim(lease_s=LONG_S) is None
        with pytest.raises(LeaseLost):
            await ports.queue.record(note(again, [{}, {}, {}]), lease_s=LONG_S)

    async def test_a_deferred_job_waits_and_says_why(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        await ports.queue.defer(await claimed(ports), delay_s=LONG_S, reason="milvus is away", counted=False)
        assert await ports.queue.claim(lease_s=LONG_S) is None
        job = await ports.store.job(ACME, "j1")
        assert job is not None
        assert (job.state, job.error) == (JobState.QUEUED, "milvus is away")

    @pytest.mark.req("R6.16")
    async def test_only_a_counted_lease_was_an_attempt(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        attempts = []
        for counted in (False, True, True, False):
            lease = await claimed(ports)
            attempts.append(lease.attempts)
            await ports.queue.defer(lease, delay_s=0, reason=None, counted=counted)
        assert attempts == [1, 1, 2, 3]

    async def test_a_job_that_waits_is_cancelled_for_good(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        job = await ports.store.cancel(ACME, "j1")
        assert job is not None
        assert job.state is JobState.CANCELLED
        assert await ports.queue.claim(lease_s=LONG_S) is None
        again = await ports.store.cancel(ACME, "j1")
        assert again is not None
        assert again.state is JobState.CANCELLED

    async def test_a_running_job_that_is_cancelled_still_records_what_was_under_way(self, ports: JobPorts) -> None:
        await queued(ports, "j1")
        lease = await claimed(ports)
        await ports.store.cancel(ACME, "j1")
        assert not await ports.queue.heartbeat(lease, lease_s=LONG_S)
        assert await ports.queue.record(note(lease, [{"n": 1}]), lease_s=LONG_S) is JobState.CANCELLED
        job = await ports.store.job(ACME, "j1")
        assert job is not None
        assert (job.state, job.done) == (JobState.CANCELLED, 1)
        assert await ports.queue.claim(lease_s=LONG_S) is None

    async def test_a_finished_job_is_not_cancelled(self, ports: JobPorts) -> None:
        await queued(ports, "j1", total=1)
        await ports.queue.record(note(await claimed(ports), [{}], state=JobState.SUCCEEDED), lease_s=LONG_S)
        job = await ports.store.cancel(ACME, "j1")
        assert job is not None
        assert job.state is JobState.SUCCEEDED

    async def test_pages_come_newest_first_and_end(self, ports: JobPorts) -> None:
        for number in range(5):
            await queued(ports, f"j{number}")
        pages, cursor = [], None
        while True:
            page = await ports.store.jobs(ACME, limit=2, cursor=cursor)
            pages.append([job.id for job in page.items])
            cursor = page.next_cursor
            if cursor is None:
                break
        assert pages == [["j4", "j3"], ["j2", "j1"], ["j0"]]
        with pytest.raises(ValidationError):
            await ports.store.jobs(ACME, limit=2, cursor="ours?")

    async def test_finished_jobs_are_forgotten_after_a_while(self, ports: JobPorts) -> None:
        for name in ("done", "cancelled", "waiting"):
            await queued(ports, name, total=1)
        await ports.queue.record(note(await claimed(ports), [{}], state=JobState.FAILED, failed=1), lease_s=LONG_S)
        await ports.store.cancel(ACME, "cancelled")
        assert await ports.queue.expire(retention_s=LONG_S, limit=10) == 0
        assert await ports.queue.expire(retention_s=OVER_S, limit=1) == 1
        assert await ports.queue.expire(retention_s=OVER_S, limit=10) == 1
        assert [job.id for job in (await ports.store.jobs(ACME, limit=10)).items] == ["waiting"]

    @pytest.mark.req("R6.5")
    async def test_a_job_is_stored_with_the_answer_under_its_key(self, ports: JobPorts) -> None:
        request = KeyedRequest(ACME, "/v1/ingest", "k", "f")
        claim = await ports.keys.claim(request, lease_s=LONG_S, keep_s=LONG_S)
        assert isinstance(claim, KeyClaim)
        answer = claim.kept(202, {"Location": "/v1/jobs/j1"}, "{}")
        await ports.store.enqueue(ACME, "j1", documents="[]", total=0, answer=answer)
        kept = await ports.keys.claim(request, lease_s=LONG_S, keep_s=LONG_S)
        assert isinstance(kept, KeptAnswer)
        assert (kept.status, dict(kept.headers), kept.body) == (202, {"Location": "/v1/jobs/j1"}, "{}")

    @pytest.mark.req("R6.15")
    async def test_a_runner_that_lost_its_lease_flips_nothing(self, ports: JobPorts) -> None:
        await queued(ports, "j1", total=1)
        stopped = await claimed(ports, lease_s=OVER_S)
        (staged,) = await ports.documents.stage(ACME, [draft("d", "from the stopped one")], lease_s=LONG_S)
        assert isinstance(staged, StagedVersion)
        fresh = await claimed(ports)
        done = [{"id": "d"}]
        with pytest.raises(LeaseLost):
            await ports.documents.activate(ACME, [staged], also=lambda _: note(stopped, done))
        hashes = {DocumentId("d"): document_hash(staged.document)}
        assert await ports.documents.unchanged(ACME, hashes) == {}
        ended = note(fresh, done, state=JobState.SUCCEEDED)
        for _ in range(2):  # the answer of the first was lost
            assert await ports.documents.activate(ACME, [staged], also=lambda _: ended) == {"d"}
        job = await ports.store.job(ACME, "j1")
        assert job is not None
        assert (job.state, list(job.results)) == (JobState.SUCCEEDED, done)
