"""The running service while its Postgres is slow, hangs, is killed and comes back.

One service and one Postgres for all of it: what a test leaves behind, the next one meets.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import httpx
import pytest

from tests.e2e.conftest import handbook, questions
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.service import ServiceProcess

pytestmark = pytest.mark.xdist_group("e2e-database-faults")

POOL_SIZE: Final = 2
POOL_TIMEOUT_S: Final = 1.0
STATEMENT_TIMEOUT_S: Final = 2.0
OUTAGE_S: Final = 2.0
RECOVERY_S: Final = 5.0  # issue: at most that long after the database is back
UNAVAILABLE_S: Final = 0.3  # reliability, section 5: a retrieve while the database refuses …
TIMEOUT_S: Final = 1.0  # … and while it hangs
SLACK_S: Final = 1.0  # two cores shared with whatever else runs
QUESTION: Final = questions()[0]["text"]


@dataclass
class Stack:
    """A service on its own Postgres, and a session that it knows."""

    postgres: PostgresServer
    service: ServiceProcess
    database: str
    session_id: str = ""
    message_id: str = ""

    def metric(self, name: str) -> float:
        """One series of `/metrics`."""
        text = httpx.get(f"{self.service.url}/metrics", timeout=10.0).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, name
        return float(found.group(1))

    def pool(self, state: str) -> float:
        """A gauge of the pool."""
        return self.metric(f'rag_db_pool_connections{{state="{state}"}}')

    def connections(self) -> int:
        """How many connections of the service the server knows."""
        counting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'advanced-rag'"
        return int(self.postgres.run_sql(counting))

    def failures(self) -> list[str]:
        """Every series that counts an answer of 500."""
        text = httpx.get(f"{self.service.url}/metrics", timeout=10.0).text
        return re.findall(r'^rag_requests_total\{[^}]*status="500"[^}]*\} .*$', text, re.MULTILINE)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with PostgresServer() as postgres:
        url = postgres.create_database("faults")
        settings = {
            "RAG__DATABASE__URL": url,
            "RAG__DATABASE__POOL_SIZE": str(POOL_SIZE),
            "RAG__DATABASE__POOL_TIMEOUT_S": str(POOL_TIMEOUT_S),
            "RAG__DATABASE__STATEMENT_TIMEOUT_S": str(STATEMENT_TIMEOUT_S),
            "RAG__INGEST__SWEEP_INTERVAL_S": "600",  # it would take one of the two connections
            "RAG__SESSIONS__RETENTION_DAYS": "30",
            "RAG__SESSIONS__RETENTION_INTERVAL_S": "2",
        }
        with ServiceProcess(settings) as service:
            running = Stack(postgres, service, url.rpartition("/")[2])
            with httpx.Client(base_url=service.url, timeout=120.0) as client:
                client.post("/v1/ingest", json={"documents": handbook()[:20]}).raise_for_status()
                answer = client.post("/v1/chat", json={"message": QUESTION}).raise_for_status().json()
            running.session_id, running.message_id = answer["session_id"], answer["message_id"]
            yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.service.url, timeout=30.0) as client:
        await recovered(stack, client, within_s=30.0)
        yield client


@pytest.fixture(autouse=True)
def never_a_bug(stack: Stack) -> Iterator[None]:
    """Whatever the database does, no answer is a 500, and the service is the same process."""
    pid = stack.service.pid
    yield
    assert stack.failures() == []
    assert stack.service.running
    assert stack.service.pid == pid


@asynccontextmanager
async def locked(stack: Stack, table: str = "documents") -> AsyncIterator[None]:
    """Every statement on that table waits until the block ends."""
    connection = await asyncpg.connect(
        host=stack.postgres.host, port=stack.postgres.port, user="postgres", database=stack.database
    )
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@dataclass(frozen=True)
class Answer:
    """One answer, when it was asked for and how long it took. `kind` is the request's."""

    kind: str
    asked_at: float
    took_s: float
    response: httpx.Response

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.response.json()
        return body

    def __repr__(self) -> str:
        return f"{self.kind}: {self.status} after {self.took_s:.2f} s"


async def ask(client: httpx.AsyncClient, kind: str, stack: Stack, **headers: str) -> Answer:
    """One request of a kind."""
    method, path, body = request_of(kind, stack)
    asked_at = time.monotonic()
    response = await client.request(method, path, json=body, headers=headers)
    return Answer(kind, asked_at, time.monotonic() - asked_at, response)


def request_of(kind: str, stack: Stack) -> tuple[str, str, dict[str, Any] | None]:
    unique = uuid.uuid4().hex
    return {
        "retrieve": ("POST", "/v1/retrieve", {"query": QUESTION}),
        "chat": ("POST", "/v1/chat", {"message": QUESTION}),
        "chat in a session": ("POST", "/v1/chat", {"message": QUESTION, "session_id": stack.session_id}),
        "ingest": ("POST", "/v1/ingest", {"documents": [{"id": unique, "text": f"Note {unique}."}]}),
        "documents": ("GET", "/v1/documents?limit=5", None),
        "document": ("GET", f"/v1/documents/{handbook()[0]['id']}", None),
        "delete": ("DELETE", f"/v1/documents/{unique}", None),
        "sessions": ("GET", "/v1/chat/sessions?limit=5", None),
        "messages": ("GET", f"/v1/chat/sessions/{stack.session_id}/messages?limit=5", None),
        "delete session": ("DELETE", f"/v1/chat/sessions/{unique}", None),
        "feedback": ("POST", "/v1/feedback", {"message_id": stack.message_id, "vote": "up"}),
    }[kind]


NEED_THE_DATABASE: Final = (
    "chat in a session",
    "ingest",
    "documents",
    "document",
    "delete",
    "sessions",
    "messages",
    "delete session",
    "feedback",
)
EVERY_KIND: Final = ("retrieve", "chat", *NEED_THE_DATABASE)
WHOLE: Final = {"delete": 404, "delete session": 404}  # what they delete has never been there


def is_whole(answer: Answer) -> bool:
    """An answer as if nothing had ever been wrong."""
    if answer.status != WHOLE.get(answer.kind, 200):
        return False
    return answer.kind not in {"retrieve", "chat", "chat in a session"} or answer.body["degraded"] == []


async def recovered(stack: Stack, client: httpx.AsyncClient, *, within_s: float = RECOVERY_S) -> float:
    """How long it takes until every kind of request is answered as if nothing had been."""
    started = time.monotonic()
    wanting: list[Answer] = []
    while time.monotonic() - started < within_s:
        wanting = [answer for kind in EVERY_KIND if not is_whole(answer := await ask(client, kind, stack))]
        if not wanting:
            return time.monotonic() - started
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {within_s:g} s: {wanting}")


async def healthy(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.service.url, timeout=30.0) as client:
        await recovered(stack, client, within_s=30.0)


async def until(condition: Callable[[], bool], what: str, within_s: float = 10.0) -> None:
    started = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - started < within_s, what
        await asyncio.sleep(0.02)


async def test_what_does_not_fit_into_the_pool_is_refused_in_time_and_the_pool_is_whole_afterwards(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    async with locked(stack):
        asked = [asyncio.create_task(ask(client, "documents", stack)) for _ in range(20)]
        await until(lambda: stack.pool("waiting") > 0, "callers that wait")
        assert stack.pool("in_use") == stack.pool("size") == POOL_SIZE
        await until(lambda: sum(task.done() for task in asked) >= len(asked) - POOL_SIZE, "the refusals")
    answers = [await task for task in asked]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == len(answers) - POOL_SIZE
    for answer in refused:
        assert (answer.status, answer.body["type"]) == (503, "/problems/overloaded"), answer
        assert int(answer.response.headers["Retry-After"]) >= 1
        assert answer.took_s < POOL_TIMEOUT_S + SLACK_S, answer
    await until(lambda: stack.pool("in_use") == stack.pool("waiting") == 0, "an idle pool")
    assert stack.connections() <= POOL_SIZE
    async with locked(stack):
        again = [asyncio.create_task(ask(client, "documents", stack)) for _ in range(POOL_SIZE)]
        await until(lambda: stack.pool("in_use") == POOL_SIZE, "every connection in use")
    assert [(await task).status for task in again] == [200] * POOL_SIZE


async def test_a_conversation_that_has_been_silent_for_too_long_is_forgotten(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    session_id = (await ask(client, "chat", stack)).body["session_id"]
    aging = f"UPDATE sessions SET updated_at = now() - interval '31 days' WHERE id = '{session_id}'"
    stack.postgres.run_sql(aging, database=stack.database)
    url = f"{stack.service.url}/v1/chat/sessions/{session_id}/messages"
    await until(lambda: httpx.get(url).status_code == httpx.codes.NOT_FOUND, "its end")
    assert (await ask(client, "messages", stack)).status == 200


async def test_a_statement_that_takes_too_long_is_ended_and_is_503(stack: Stack, client: httpx.AsyncClient) -> None:
    async with locked(stack):
        answers = await asyncio.gather(*(ask(client, kind, stack) for kind in ("documents", "document")))
    for answer in answers:
        assert (answer.status, answer.body["type"]) == (503, "/problems/database-unavailable"), answer
        assert int(answer.response.headers["Retry-After"]) >= 1
        assert answer.took_s < STATEMENT_TIMEOUT_S + SLACK_S, answer
    await until(lambda: stack.pool("in_use") == 0, "an idle pool")


@pytest.mark.req("R5.1")
async def test_a_retrieve_does_not_wait_for_a_slow_database(stack: Stack, client: httpx.AsyncClient) -> None:
    async with locked(stack):
        answer = await ask(client, "retrieve", stack)
    assert (answer.status, answer.body["degraded"]) == (200, ["database:timeout"])
    assert answer.body["results"]
    assert answer.took_s < TIMEOUT_S


@pytest.mark.req("R5.1")
@pytest.mark.req("R5.6")
async def test_while_the_database_is_gone_each_endpoint_says_what_it_can(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    whole = (await ask(client, "retrieve", stack)).body["results"]
    answered = (await ask(client, "chat", stack)).body
    stack.postgres.kill9()
    try:
        retrieves = [await ask(client, "retrieve", stack) for _ in range(5)]
        for answer in retrieves:
            assert (answer.status, answer.body["degraded"]) == (200, ["database:unavailable"])
            found = [(result["chunk_id"], result["text"]) for result in answer.body["results"]]
            assert found == [(result["chunk_id"], result["text"]) for result in whole]
        assert statistics.median(answer.took_s for answer in retrieves) < UNAVAILABLE_S, retrieves
        for answer in [await ask(client, kind, stack) for kind in NEED_THE_DATABASE]:
            assert (answer.status, answer.body["type"]) == (503, "/problems/database-unavailable"), answer
            assert 1 <= int(answer.response.headers["Retry-After"]) <= 30
            assert answer.took_s < SLACK_S
        chat = (await ask(client, "chat", stack)).body
        assert (chat["session_id"], chat["persisted"]) == (None, False)
        assert (chat["answer"], chat["citations"]) == (answered["answer"], answered["citations"])
        assert chat["degraded"] == ["database:unavailable"]
        assert (await client.get("/healthz/live")).status_code == 200
        assert (await client.get("/healthz/ready")).status_code == 200
    finally:
        stack.postgres.start()
    assert await recovered(stack, client) < RECOVERY_S


@dataclass
class Load:
    """A few callers who ask for everything in turn, each after his last answer; in a thread of their own.

    So the test's own thread can start the server, which ends with the thread that started it.
    """

    stack: Stack
    callers: int = 4
    answers: list[Answer] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[list[Answer]]:
        with ThreadPoolExecutor(1) as thread:
            calling = thread.submit(asyncio.run, self._call())
            try:
                yield self.answers
            finally:
                self.ended.set()
            calling.result()

    async def _call(self) -> None:
        async with httpx.AsyncClient(base_url=self.stack.service.url, timeout=30.0) as client:
            await asyncio.gather(*(self._caller(client, number) for number in range(self.callers)))

    async def _caller(self, client: httpx.AsyncClient, number: int) -> None:
        for kind in itertools.islice(itertools.cycle(EVERY_KIND), number * 3, None):
            if self.ended.is_set():
                return
            self.answers.append(await ask(client, kind, self.stack))
            await asyncio.sleep(0.02)


def test_killed_and_restarted_under_load_there_are_only_503s_and_all_is_well_within_seconds(stack: Stack) -> None:
    asyncio.run(healthy(stack))
    with Load(stack).running() as answers:
        wait_until(lambda: len(answers) >= 2 * len(EVERY_KIND), within_s=30.0, what="some load")
        killed_at = time.monotonic()
        stack.postgres.kill9()
        wait_until(lambda: time.monotonic() > killed_at + OUTAGE_S, within_s=60.0, what="the outage's end")
        stack.postgres.start()
        back_at = time.monotonic()
        wait_until(lambda: time.monotonic() > back_at + RECOVERY_S + 2.0, within_s=60.0, what="the load to go on")
    before = [answer for answer in answers if answer.asked_at + answer.took_s < killed_at]
    assert [answer for answer in before if not is_whole(answer)] == []
    during = [answer for answer in answers if killed_at < answer.asked_at < back_at]
    assert any(answer.status == 503 for answer in during)
    for answer in answers:
        if answer.kind in {"retrieve", "chat"}:
            assert answer.status == 200, answer
        elif answer.status != WHOLE.get(answer.kind, 200):
            assert answer.status == 503, answer
            assert int(answer.response.headers["Retry-After"]) >= 1
    after = [answer for answer in answers if answer.asked_at > back_at + RECOVERY_S]
    assert {answer.kind for answer in after} == set(EVERY_KIND)
    assert [answer for answer in after if not is_whole(answer)] == []
    with httpx.Client(base_url=stack.service.url, timeout=30.0) as client:
        for answer in answers:
            if answer.kind == "ingest" and answer.status == 200:
                (outcome,) = answer.body["documents"]
                assert client.get(f"/v1/documents/{outcome['id']}").status_code == 200
    assert stack.connections() <= POOL_SIZE


async def test_a_database_that_hangs_costs_nobody_more_than_the_deadline(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    stack.postgres.stop()
    try:
        first = await ask(client, "retrieve", stack)
        # What an ingest left behind that died before its flip is known to nobody now, and shown as such.
        assert first.status == 200
        assert {"database:timeout"} <= set(first.body["degraded"]) <= {"database:timeout", "database:stale"}
        assert first.took_s < TIMEOUT_S
        hurried = await ask(client, "documents", stack, **{"X-Request-Timeout-Ms": "700"})
        assert hurried.status in {503, 504}  # the pool's own wait may be over before the deadline is
        assert hurried.took_s < 0.7 + SLACK_S
        answers = await asyncio.gather(*(ask(client, kind, stack) for kind in EVERY_KIND))
        # A permit's wait, then a whole statement; a chat has a retrieve before it.
        limit_s = POOL_TIMEOUT_S + STATEMENT_TIMEOUT_S + TIMEOUT_S + SLACK_S
        for answer in answers:
            assert answer.took_s < limit_s, answers
            if answer.kind in {"retrieve", "chat"}:
                assert answer.status == 200, answer
                assert all(entry.startswith("database:") for entry in answer.body["degraded"])
            else:
                assert answer.status == 503, answer
        chat = next(answer.body for answer in answers if answer.kind == "chat")
        assert (chat["session_id"], chat["persisted"]) == (None, False)
        live = await client.get("/healthz/live")
        assert live.status_code == 200
    finally:
        stack.postgres.cont()
    assert await recovered(stack, client) < RECOVERY_S
    await until(lambda: stack.pool("in_use") == stack.pool("waiting") == 0, "an idle pool")
