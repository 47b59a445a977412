"""A process that is killed with SIGKILL in the middle of an ingest or a sweep: what the next one finds."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.services.ingest_outcome import IngestStatus
from advanced_rag.services.retrieval_query import Mode
from tests.integration.stack import chunked, clean, embedded_stack

pytestmark = pytest.mark.xdist_group("crashes")

MARKER = "zanzibar"
OLD, NEW = chunked(f"{MARKER} old"), chunked(f"{MARKER} new", 4)
LEASE_S = 1.0

AT_INGEST = [
    pytest.param("store", "stage", "after", id="K3-staged"),
    pytest.param("semantic", "upsert", "during", id="K4-half-a-batch"),
    pytest.param("semantic", "upsert", "after", id="K5-between-the-lanes"),
    pytest.param("store", "activate", "before", id="K6-before-the-flip"),
]


async def killed(folder: Path, steps: list[list[str]], **plan: Any) -> None:
    """Run the steps in a process of its own, which kills itself at `at`."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.crash_child", folder, json.dumps({"steps": steps, **plan})),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == -signal.SIGKILL, output.decode()


@pytest.mark.req("R6.3")
@pytest.mark.parametrize(("part", "method", "when"), AT_INGEST)
async def test_a_process_killed_before_the_flip_leaves_the_old_version_and_nothing_else(
    tmp_path: Path, part: str, method: str, when: str
) -> None:
    at = {"part": part, "method": method, "when": when, "nth": 2}
    await killed(tmp_path, [["put", "d", OLD], ["put", "d", NEW]], at=at, lease_s=LEASE_S, grace_s=60.0)
    async with embedded_stack(tmp_path) as stack:
        for mode in (Mode.HYBRID, Mode.SEMANTIC, Mode.SPARSE):
            assert {result.passage.version for result in await stack.found(MARKER, mode=mode)} == {1}
        async with asyncio.timeout(20):
            while await stack.rows() != (3, 3):
                assert clean(await stack.doctor())
        assert (await stack.put("d", NEW)).status is IngestStatus.REPLACED
        assert len(await stack.found(MARKER)) == 4


@pytest.mark.req("R6.3")
async def test_k7_a_process_killed_after_the_flip_and_before_its_answer_leaves_the_new_version(tmp_path: Path) -> None:
    at = {"part": "store", "method": "activate", "when": "after", "nth": 2}
    await killed(tmp_path, [["put", "d", OLD], ["put", "d", NEW]], at=at, lease_s=LEASE_S, grace_s=0.0)
    async with embedded_stack(tmp_path, grace_s=0.0) as stack:
        assert {result.passage.version for result in await stack.found(MARKER)} == {2}
        assert (await stack.put("d", NEW)).status is IngestStatus.UNCHANGED
        assert clean(await stack.doctor())
        assert await stack.rows() == (4, 4)


@pytest.mark.req("R6.3")
@pytest.mark.parametrize("gone", [False, True], ids=["K9-replaced", "K11-deleted"])
async def test_a_process_killed_in_the_middle_of_a_sweep_has_it_finished_by_the_next(
    tmp_path: Path, gone: bool
) -> None:
    end = ["delete", "d"] if gone else ["put", "d", NEW]
    at = {"part": "semantic", "method": "delete", "when": "after"}
    await killed(tmp_path, [["put", "d", OLD], end, ["sweep"]], at=at, lease_s=300.0, grace_s=0.0)
    async with embedded_stack(tmp_path, grace_s=0.0) as stack:
        assert {result.passage.version for result in await stack.found(MARKER)} == (set() if gone else {2})
        assert clean(await stack.doctor())
        assert await stack.rows() == ((0, 0) if gone else (4, 4))
