"""Having a model converted: once per model, in a child process, at the first start."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

from advanced_rag.adapters.embedding_model.backend_choice import Measurement
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.cpu_features import cpu_features
from advanced_rag.adapters.embedding_model.model_files import ModelFiles
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.exceptions import EmbeddingGenerationError

_CHILD: Final = "advanced_rag.adapters.embedding_model.conversion_child"
_IMPORT_ROOT: Final = Path(__file__).resolve().parents[3]
_LOG_TAIL_CHARS: Final = 2_000

logger = logging.getLogger(__name__)


def converted(files: ModelFiles, models_dir: Path) -> dict[Precision, Measurement] | None:
    """What an earlier conversion of this model is worth on this machine, or None. Blocks for about 0.1 s."""
    place = ConvertedFiles.of(models_dir, files.model.digest)
    return place.measurements(cpu_features()) if place.is_complete() else None


async def convert_in_child(files: ModelFiles, models_dir: Path, *, threads: int, limit_s: float) -> None:
    """Convert and measure, in another process that ends with this one; cancelling this ends it too.

    Raises:
        EmbeddingGenerationError: the conversion failed or took longer than `limit_s`. Not transient; its log is beside
            the models.
    """
    started = time.monotonic()
    log = ConvertedFiles.of(models_dir, files.model.digest).log
    logger.info("converting %s for OpenVINO: once, some seconds", files.model.name)
    process = await _start(files, models_dir, threads, log)
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            status = await _follow(process)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise EmbeddingGenerationError("embedding", "the model's conversion took too long", transient=False) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status != 0:
        tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARS:] if log.is_file() else ""
        logger.error("the conversion of %s ended with status %d: %s", files.model.name, status, tail)
        raise EmbeddingGenerationError("embedding", "the model's conversion failed, see the log", transient=False)
    logger.info("converted %s in %.1f s", files.model.name, time.monotonic() - started)


async def _start(files: ModelFiles, models_dir: Path, threads: int, log: Path) -> Process:
    output = _opened(log)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _CHILD, "--model", files.model.name),
            *("--models-dir", models_dir, "--threads", str(threads)),
            stdin=PIPE,  # held open: it closes when this process ends, however it does, and the child ends then
            stdout=PIPE,
            stderr=output,
            start_new_session=True,
            env=_environment(models_dir),
        )
    finally:
        os.close(output)


def _opened(log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


async def _follow(process: Process) -> int:
    if process.stdout is not None:
        async for line in process.stdout:
            logger.info("conversion: %s", line.decode(errors="replace").strip())
    return await process.wait()


def _environment(home: Path) -> dict[str, str]:
    """What it needs and no more: our own environment holds secrets."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([str(_IMPORT_ROOT), *(entry for entry in sys.path if entry)]),
        "HOME": str(home.absolute()),
        "HF_HUB_OFFLINE": "1",
    }
