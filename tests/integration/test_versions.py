"""Versions on the real Milvus and database: a reader sees one whole version of a document, whatever writers do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from advanced_rag.adapters.milvus.client import MilvusConnection
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import DependencyError
from advanced_rag.services.ingest_outcome import IngestStatus
from advanced_rag.services.retrieval_query import Mode
from tests.integration.crash_at import CrashAt, CrashError
from tests.integration.stack import ACME, Stack, chunked, clean, given, stack_on
from tests.servers.milvus import MilvusServer

pytestmark = pytest.mark.xdist_group("versions")

OpenStack = Callable[..., AbstractAsyncContextManager[Stack]]
MARKER = "zanzibar"
CHUNKS = 3


@pytest.fixture(scope="module")
def server() -> Iterator[MilvusServer]:
    with MilvusServer() as running:
        yield running


@pytest.fixture
async def open_stack(server: MilvusServer, tmp_path: Path) -> AsyncIterator[OpenStack]:
    connection = MilvusConnection(server.uri, embedded=True)
    prefix = f"t{uuid4().hex[:8]}"

    def opened(**options: Any) -> AbstractAsyncContextManager[Stack]:
        return stack_on(connection, tmp_path / "rag.sqlite3", prefix=prefix, **options)

    yield opened
    await connection.close()


async def watch(stack: Stack, seen: list[int], stop: asyncio.Event) -> None:
    """Read until told to stop: never nothing, never a mixture, never backwards."""
    while not stop.is_set():
        results = await stack.found(MARKER)
        versions = {result.passage.version for result in results}
        assert len(versions) == 1, f"a mixture, or nothing: {sorted(versions)}"
        assert len({result.passage.text.split(" part")[0] for result in results}) == 1
        seen.append(versions.pop())
        assert seen[-2:] == sorted(seen[-2:]), "an older version after a newer one"


async def beside_readers(stack: Stack, readers: int, write: Any) -> list[list[int]]:
    """Do `write()` while so many read; what each of them saw."""
    stop = asyncio.Event()
    seen: list[list[int]] = [[] for _ in range(readers)]
    async with asyncio.TaskGroup() as group:
        for versions in seen:
            group.create_task(watch(stack, versions, stop))
        await write()
        stop.set()
    return seen


@pytest.mark.req("R6.8")
@pytest.mark.parametrize("replacements", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_a_document_that_is_replaced_all_the_time_is_always_seen_and_whole(
    open_stack: OpenStack, replacements: int
) -> None:
    async with open_stack(grace_s=10.0) as stack:  # longer than any read takes, short enough for sweeps beside them
        await stack.put("d", chunked(f"{MARKER} first", CHUNKS))

        async def write() -> None:
            for number in range(replacements):
                outcome = await stack.put("d", chunked(f"{MARKER} edition{number}", CHUNKS))
                assert outcome.status is IngestStatus.REPLACED
                if number % 10 == 0:
                    await stack.sweeping.sweep_once()

        seen = await beside_readers(stack, 8, write)
        assert all(seen)
        assert max(map(max, seen)) > 1
        assert {result.passage.version for result in await stack.found(MARKER)} == {replacements + 1}
        assert len(await stack.found(MARKER)) == CHUNKS
        assert clean(await stack.doctor(grace_s=0))
        assert await stack.rows() == (CHUNKS, CHUNKS)


@pytest.mark.req("R6.7")
@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_twenty_writers_of_one_document_leave_the_highest_version_whole(
    open_stack: OpenStack, rounds: int
) -> None:
    async with open_stack(grace_s=10.0) as stack:
        await stack.put("d", chunked(f"{MARKER} first", CHUNKS))
        outcomes = []

        async def one(writer: int) -> None:
            for number in range(rounds):
                outcome = await stack.put("d", chunked(f"{MARKER} writer{writer} round{number}", CHUNKS))
                outcomes.append(outcome)
                if writer == 0:
                    await stack.sweeping.sweep_once()

        async def write() -> None:
            await asyncio.gather(*map(one, range(20)))

        await beside_readers(stack, 2, write)
        assert {outcome.status for outcome in outcomes} <= {IngestStatus.REPLACED, IngestStatus.SUPERSEDED}
        versions = [outcome.version for outcome in outcomes]
        assert len(set(versions)) == len(versions) == 20 * rounds
        winners = [outcome.version for outcome in outcomes if outcome.status is IngestStatus.REPLACED]
        assert await stack.version("d") == max(winners)  # type: ignore[type-var]  # a replaced document has a version
        results = await stack.found(MARKER)
        assert {result.passage.version for result in results} == {max(winners)}  # type: ignore[type-var]
        assert len(results) == CHUNKS
        assert clean(await stack.doctor(grace_s=0))
        assert await stack.rows() == (CHUNKS, CHUNKS)


@pytest.mark.req("R6.7")
async def test_two_processes_that_write_one_document_leave_one_whole_version(
    open_stack: OpenStack, server: MilvusServer, tmp_path: Path
) -> None:
    async with open_stack() as stack:
        await stack.put("d", chunked(f"{MARKER} first", CHUNKS))
        plan = {
            "uri": server.uri,
            "database": str(tmp_path / "rag.sqlite3"),
            "prefix": stack.semantic.collection.removesuffix("_semantic"),
        }

        async def write() -> None:
            children = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.integration.writer_child", json.dumps({**plan, "name": name})),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                for name in ("one", "two")
            ]
            try:
                async with asyncio.timeout(120):
                    outputs = [(await child.communicate())[0].decode() for child in children]
            finally:
                for child in children:
                    if child.returncode is None:
                        child.kill()
                        await child.wait()
            assert [child.returncode for child in children] == [0, 0], outputs

        await beside_readers(stack, 1, write)
        assert (await stack.version("d") or 0) > 1
        assert len(await stack.found(MARKER)) == CHUNKS
        assert clean(await stack.doctor(grace_s=0))
        assert await stack.rows() == (CHUNKS, CHUNKS)


@pytest.mark.req("R6.9")
async def test_fifty_replacements_that_nobody_has_swept_take_no_places(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.indexing.ingest(
            ACME, [given(f"d{number}", f"{MARKER} topic{number % 4} only{number}.") for number in range(40)]
        )
        queries = [f"{MARKER} topic{number}" for number in range(4)]
        before = [[result.passage.document_id for result in await stack.found(query, top_k=10)] for query in queries]
        for number in range(50):
            await stack.put("d0", f"{MARKER} topic0 only0 edition{number}.")
        await stack.put("d0", f"{MARKER} topic0 only0.")
        after = [[result.passage.document_id for result in await stack.found(query, top_k=10)] for query in queries]
        assert [set(names) for names in after] == [set(names) for names in before]
        assert all(len(names) == 10 for names in after)


@pytest.mark.req("R6.10")
async def test_two_hundred_deleted_documents_leave_no_ghosts(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        documents = [given(f"d{number}", f"{MARKER} number{number}.") for number in range(200)]
        await stack.indexing.ingest(ACME, documents)
        for number in range(200):
            assert await stack.indexing.delete(ACME, DocumentId(f"d{number}"))
            gone = await stack.found(f"number{number}", top_k=5)
            assert f"d{number}" not in {result.passage.document_id for result in gone}
        assert await stack.found(MARKER) == ()
        assert await stack.version("d7") is None
        assert clean(await stack.doctor())  # a deleted document has no grace
        assert await stack.rows() == (0, 0)
        outcome = await stack.put("d7", f"{MARKER} again.")
        assert (outcome.status, outcome.version) == (IngestStatus.INDEXED, 2)
        assert [result.passage.version for result in await stack.found(MARKER)] == [2]


@pytest.mark.req("R6.12")
async def test_two_hundred_documents_are_read_at_once_after_they_were_written(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        for number in range(200):
            await stack.put(f"d{number}", f"{MARKER} unique{number}.")
            mode = (Mode.HYBRID, Mode.SEMANTIC, Mode.SPARSE)[number % 3]
            found = await stack.found(f"unique{number}", top_k=10, mode=mode)
            assert f"d{number}" in {result.passage.document_id for result in found}, (number, mode)


CRASHES = [
    pytest.param("store", "stage", "after", id="K3-staged"),
    pytest.param("semantic", "upsert", "during", id="K4-half-a-batch"),
    pytest.param("semantic", "upsert", "after", id="K5-between-the-lanes"),
    pytest.param("sparse", "upsert", "before", id="K5-before-the-sparse-lane"),
    pytest.param("sparse", "present", "after", id="K6-read-back"),
    pytest.param("store", "activate", "before", id="K6-before-the-flip"),
]


@pytest.mark.req("R6.3")
@pytest.mark.parametrize(("part", "method", "when"), CRASHES)
async def test_what_stopped_before_the_flip_was_never_seen_and_leaves_nothing(
    open_stack: OpenStack, part: str, method: str, when: str
) -> None:
    def wrap(name: str, inner: Any) -> Any:
        return CrashAt(inner, method, when, nth=2) if name == part else inner

    async with open_stack(wrap=wrap, lease_s=0.2) as stack:
        await stack.put("d", chunked(f"{MARKER} old", CHUNKS))
        with pytest.raises(ExceptionGroup) as caught:
            await stack.put("d", chunked(f"{MARKER} new", CHUNKS + 1))
        assert caught.group_contains(CrashError)
        for mode in (Mode.HYBRID, Mode.SEMANTIC, Mode.SPARSE):
            assert {result.passage.version for result in await stack.found(MARKER, mode=mode)} == {1}
        assert clean(await stack.doctor())  # whether the lease lives or not
        async with asyncio.timeout(10):
            while await stack.rows() != (CHUNKS, CHUNKS):
                assert clean(await stack.doctor())
        outcome = await stack.put("d", chunked(f"{MARKER} new", CHUNKS + 1))
        assert outcome.status is IngestStatus.REPLACED
        assert len(await stack.found(MARKER)) == CHUNKS + 1


@pytest.mark.req("R6.3")
async def test_k8_what_was_flipped_and_not_answered_is_there_and_unchanged_when_sent_again(
    open_stack: OpenStack,
) -> None:
    def wrap(name: str, inner: Any) -> Any:
        return CrashAt(inner, "activate", "after", nth=2) if name == "store" else inner

    async with open_stack(wrap=wrap) as stack:
        await stack.put("d", chunked(f"{MARKER} old", CHUNKS))
        with pytest.raises(ExceptionGroup):
            await stack.put("d", chunked(f"{MARKER} new", CHUNKS))
        assert {result.passage.version for result in await stack.found(MARKER)} == {2}
        assert (await stack.put("d", chunked(f"{MARKER} new", CHUNKS))).status is IngestStatus.UNCHANGED
        assert clean(await stack.doctor(grace_s=0))


SWEEP_CRASHES = [
    pytest.param("sweep", "sweepable", "after", id="condemned"),
    pytest.param("semantic", "delete", "during", id="half-a-lane"),
    pytest.param("semantic", "delete", "after", id="between-the-lanes"),
    pytest.param("sparse", "delete", "after", id="before-the-purge"),
    pytest.param("sweep", "purge", "after", id="after-the-purge"),
]


@pytest.mark.req("R6.3")
@pytest.mark.parametrize(("part", "method", "when"), SWEEP_CRASHES)
@pytest.mark.parametrize("deleted", [False, True], ids=["K9-replaced", "K11-deleted"])
async def test_a_sweep_that_was_stopped_twice_is_finished_by_the_next_one(
    open_stack: OpenStack, part: str, method: str, when: str, deleted: bool
) -> None:
    def wrap(name: str, inner: Any) -> Any:
        return CrashAt(CrashAt(inner, method, when), method, when, nth=2) if name == part else inner

    async with open_stack(wrap=wrap, grace_s=0) as stack:
        await stack.put("d", chunked(f"{MARKER} old", CHUNKS))
        await stack.put("other", chunked("unguja", 1))
        if deleted:
            assert await stack.indexing.delete(ACME, DocumentId("d"))
        else:
            await stack.put("d", chunked(f"{MARKER} new", CHUNKS))
        expected = set() if deleted else {2}
        for _ in range(2):  # K10: a sweep that was stopped is stopped again
            await stack.put("extra", chunked("pemba", 1))  # something to sweep, whatever the first one got done
            await stack.indexing.delete(ACME, DocumentId("extra"))
            with pytest.raises(CrashError):
                await stack.sweeping.sweep_once()
            assert {r.passage.version for r in await stack.found(MARKER) if r.passage.document_id == "d"} == expected
        while await stack.sweeping.sweep_once():
            pass
        assert clean(await stack.doctor())
        rows = 1 + (0 if deleted else CHUNKS)
        assert await stack.rows() == (rows, rows)


@pytest.mark.req("R6.3")
async def test_k13_a_milvus_that_is_killed_under_an_ingest_costs_the_request_and_nothing_else(
    open_stack: OpenStack, server: MilvusServer
) -> None:
    def wrap(name: str, inner: Any) -> Any:
        return CrashAt(inner, "upsert", "before", nth=2, action=server.kill9) if name == "semantic" else inner

    async with open_stack(wrap=wrap) as stack:
        await stack.put("d", chunked(f"{MARKER} old", CHUNKS))
        try:
            with pytest.raises(DependencyError):
                await stack.put("d", chunked(f"{MARKER} new", CHUNKS))
        finally:
            server.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert {result.passage.version for result in await stack.found(MARKER)} == {1}
                    break
                except DependencyError:
                    await asyncio.sleep(0.1)
        assert clean(await stack.doctor())
        assert await stack.rows() == (CHUNKS, CHUNKS)
