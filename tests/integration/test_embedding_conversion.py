"""Conversion in a child process, over a model so small that only imports take time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from advanced_rag.adapters.embedding_model.conversion_texts import calibration_batches, probe_texts
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.model_files import ModelFiles, model_files
from advanced_rag.adapters.embedding_model.openvino_conversion import convert_in_child, converted
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.exceptions import EmbeddingGenerationError
from tests.integration.tiny_model import POSITIONS, WIDTH, write_tiny_model
from tests.servers.processes import is_running, wait_until

CHILD = "advanced_rag.adapters.embedding_model.conversion_child"
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 150.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return model_files(str(write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")))


@pytest.fixture
def loading() -> AsyncExecutor:
    return AsyncExecutor("loading", threads=1, max_waiting=1)


def child(files: ModelFiles, models_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", CHILD, "--model", files.model.name),
            *("--models-dir", str(models_dir), "--threads", "1"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )


def progress_until(process: subprocess.Popen[str], word: str) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError(f"ended without {word!r}: {lines}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Not `communicate`: that closes the child's input, which ends it."""
    assert process.stdout is not None
    out = process.stdout.read()
    return process.wait(LIMIT_S), out


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_of_two_at_once_one_converts_and_when_it_is_killed_the_other_does(
    files: ModelFiles, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    first = child(files, tmp_path)
    processes.append(first)
    progress_until(first, "loading")
    second = child(files, tmp_path)
    processes.append(second)
    progress_until(first, "tracing")
    assert list(tmp_path.glob("*.tmp-*"))
    os.kill(first.pid, signal.SIGKILL)
    status, progress = ended(second)
    assert status == 0
    assert "loading" in progress
    place = ConvertedFiles.of(tmp_path, files.model.digest)
    assert place.is_complete()
    assert not list(tmp_path.glob("*.tmp-*"))
    measured = converted(files, tmp_path)
    assert measured is not None
    assert measured[Precision.F32].min_cosine > 0.9999

    third = child(files, tmp_path)
    processes.append(third)
    assert ended(third) == (0, "")


def test_a_converter_ends_with_its_parent(
    files: ModelFiles, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    process = child(files, tmp_path)
    processes.append(process)
    progress_until(process, "loading")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LIMIT_S) == 3
    assert not ConvertedFiles.of(tmp_path, files.model.digest).is_complete()


async def test_the_first_start_converts_and_says_so_and_later_ones_do_not(
    tmp_path: Path, loading: AsyncExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = model_files(str(write_tiny_model(tmp_path / "cls", pooling="cls")))
    assert (files.query_prompt, files.model.max_tokens, files.model.dimensions) == ("q ", POSITIONS, WIDTH)
    values = LocalBackendValues(tmp_path / "models", backend="openvino", precision=Precision.F32, threads=1)
    model = await open_local_model(files, values, loading)
    assert "conversion: tracing the graph" in caplog.text
    original = np.load(ConvertedFiles.of(values.models_dir, files.model.digest).probe_vectors)
    assert np.allclose(model.encode(probe_texts()), original, atol=1e-4)

    caplog.clear()
    await open_local_model(files, values, loading)
    assert "conversion:" not in caplog.text
    await loading.close(grace_s=1.0)


async def test_a_conversion_that_fails_is_told_and_auto_falls_back_to_the_original(
    files: ModelFiles, tmp_path: Path, loading: AsyncExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    models_dir = tmp_path / "models"
    place = ConvertedFiles.of(models_dir, files.model.digest)
    (models_dir / f"{place.key}.lock").mkdir(parents=True)  # nobody can take it
    with pytest.raises(EmbeddingGenerationError) as caught:
        await open_local_model(files, LocalBackendValues(models_dir, backend="openvino"), loading)
    assert not caught.value.transient
    assert "ended with status 1" in caplog.text
    model = await open_local_model(files, LocalBackendValues(models_dir, torch_batch=4), loading)
    assert model.backend == "torch"
    vectors = model.encode(["abc", "", "a b c d e f", *"vwxyz"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    await loading.close(grace_s=1.0)


async def test_cancelling_a_conversion_ends_its_process(files: ModelFiles, tmp_path: Path) -> None:
    task = asyncio.create_task(convert_in_child(files, tmp_path, threads=1, limit_s=LIMIT_S))
    place = ConvertedFiles.of(tmp_path, files.model.digest)
    async with asyncio.timeout(LIMIT_S):
        while not list(tmp_path.glob("*.tmp-*")):
            await asyncio.sleep(0.02)
    (pid,) = (int(folder.name.rpartition("-")[2]) for folder in tmp_path.glob("*.tmp-*"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wait_until(lambda: not is_running(pid), within_s=5, what="the child's end")
    assert not place.is_complete()


async def test_a_conversion_that_takes_too_long_is_ended(files: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(EmbeddingGenerationError):
        await convert_in_child(files, tmp_path, threads=1, limit_s=0.05)


def test_calibration_and_probe_share_no_text() -> None:
    calibrated = " ".join(text for batch in calibration_batches(15) for text in batch)
    assert not [text for text in probe_texts() if text in calibrated]
    assert calibration_batches(15) == calibration_batches(15)
