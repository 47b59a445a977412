"""Writers of several processes, and more of them than `make test` has time for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from advanced_rag.adapters.sql.migrate import MIGRATIONS
from advanced_rag.domain.documents import DocumentId
from tests.contracts.conversation_store import contents, said
from tests.contracts.document_store import (
    ACME,
    DocumentPorts,
    put,
    replaced_under_readers,
    shown,
    staged,
    writers_and_readers,
)
from tests.integration.databases import migrated_sqlite, opened_pool
from tests.integration.test_sql_conversation_store import ports_on as conversation_ports_on
from tests.integration.test_sql_document_store import ports_on as document_ports_on

PROCESSES, WRITERS, ROUNDS = 2, 5, 4
WRITING_PROCESS = """
import asyncio, json, sys
from tests.integration.test_sql_many_writers import write_from_a_process
print(json.dumps(asyncio.run(write_from_a_process(*sys.argv[1:]))))
"""


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return await migrated_sqlite(tmp_path)
    given: str = request.getfixturevalue("postgres_url")
    return given


@pytest.fixture
async def ports(url: str) -> AsyncIterator[DocumentPorts]:
    async with opened_pool(url) as pool:
        yield document_ports_on(pool)


async def write_from_a_process(url: str, name: str, session_id: str) -> list[int]:
    """What each of the processes does: versions of one document, messages of one session; the versions it got."""
    async with opened_pool(url) as pool:
        documents, conversations = document_ports_on(pool), conversation_ports_on(pool).conversations

        async def write(writer: int) -> list[int]:
            versions = []
            for number in range(ROUNDS):
                entry = await staged(documents, "d", f"{name} {writer} {number} " * (writer + 1))
                versions.append(entry.version)
                await documents.store.activate(ACME, [entry])
                await conversations.append(ACME, session_id, [said(f"{name}-{writer}-{number}")])
            return versions

        of_writers = await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        return [version for versions in of_writers for version in versions]


@pytest.mark.req("R6.7")
async def test_writers_of_two_processes_never_share_a_number_and_the_highest_wins(url: str) -> None:
    async with opened_pool(url) as pool:
        documents, conversations = document_ports_on(pool), conversation_ports_on(pool)
        first = await put(documents, "d", "before anybody")
        session = await conversations.conversations.create(ACME)
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITING_PROCESS, url, f"p{number}", session.id),
                cwd=MIGRATIONS.parent,
                stdout=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        versions: list[int] = []
        while any(process.returncode is None for process in processes):
            seen = await shown(documents, first)
            assert seen == {"d": 1}  # what was found before all of it stays readable for its grace
            await asyncio.sleep(0.02)
        for process in processes:
            output, _ = await process.communicate()
            assert process.returncode == 0
            versions += json.loads(output)
        assert sorted(versions) == list(range(2, PROCESSES * WRITERS * ROUNDS + 2))
        found = await documents.reader.document(ACME, DocumentId("d"))
        assert found is not None
        assert found[0].version == max(versions)
        messages = await contents(conversations, session)
        assert [sequence for sequence, _ in messages] == list(range(1, PROCESSES * WRITERS * ROUNDS + 1))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.req("R6.7")
async def test_twenty_writers_fifty_rounds(ports: DocumentPorts) -> None:
    await writers_and_readers(ports, writers=20, rounds=50, readers=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.req("R6.8")
async def test_five_hundred_replacements_under_eight_readers(ports: DocumentPorts) -> None:
    await replaced_under_readers(ports, replacements=500, readers=8)
