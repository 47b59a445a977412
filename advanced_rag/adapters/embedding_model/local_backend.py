"""The model that serves on this machine: converted and measured if it can be, the original otherwise."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from advanced_rag.adapters.embedding_model.backend_choice import Measurement, passing
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.cpu_features import cpu_features
from advanced_rag.adapters.embedding_model.local_model import LocalModel
from advanced_rag.adapters.embedding_model.model_files import ModelFiles
from advanced_rag.adapters.embedding_model.openvino_conversion import convert_in_child, converted
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.exceptions import EmbeddingGenerationError

logger = logging.getLogger(__name__)

LocalBackend = Literal["auto", "openvino", "torch"]


@dataclass(frozen=True, slots=True)
class LocalBackendValues:
    """Which backend, in which precision (None: the fastest that passes), and its share of the machine."""

    models_dir: Path
    backend: LocalBackend = "auto"
    precision: Precision | None = None
    concurrency: int = 2
    threads: int = 2
    batch_tokens: int = 2_048
    torch_batch: int = 32
    conversion_limit_s: float = 600.0


async def open_local_model(files: ModelFiles, values: LocalBackendValues, loading: AsyncExecutor) -> LocalModel:
    """The loaded model, warm. Loading runs in `loading`; a conversion that is due runs in a child process.

    Raises:
        EmbeddingGenerationError: it cannot be loaded; with `openvino`, also when the conversion failed or no precision,
            or not the one asked for, is good enough.
    """
    if values.backend == "torch":
        return await loading.run(partial(_torch_model, files, values))
    try:
        measurements = await _measurements(files, values, loading)
        precision = _chosen(measurements, values.precision)
        return await loading.run(partial(_openvino_model, files, values, precision))
    except EmbeddingGenerationError as error:
        if values.backend == "openvino":
            raise
        logger.warning("%s: the original serves, several times slower", error)
        return await loading.run(partial(_torch_model, files, values))


async def _measurements(
    files: ModelFiles, values: LocalBackendValues, loading: AsyncExecutor
) -> Mapping[Precision, Measurement]:
    found = await loading.run(partial(converted, files, values.models_dir))
    if found is None:
        await convert_in_child(files, values.models_dir, threads=values.threads, limit_s=values.conversion_limit_s)
        found = await loading.run(partial(converted, files, values.models_dir))
    if found is None:
        raise EmbeddingGenerationError("embedding", "the converted model cannot be read", transient=False)
    return found


def _chosen(measurements: Mapping[Precision, Measurement], wanted: Precision | None) -> Precision:
    able = [precision for precision in passing(measurements) if wanted in {None, precision}]
    cpu = cpu_features()
    for precision, measured in measurements.items():
        logger.info(
            "%s on %s: cosine to the original %.5f at worst, %.0f queries/s, %.0f passages/s%s",
            precision.value,
            cpu.name,
            measured.min_cosine,
            measured.queries_per_s,
            measured.passages_per_s,
            ", serves" if precision in able[:1] else "",
        )
    if not able:
        raise EmbeddingGenerationError(
            "embedding", "no converted model is close enough to the original", transient=False
        )
    return able[0]


def _openvino_model(files: ModelFiles, values: LocalBackendValues, precision: Precision) -> LocalModel:
    from advanced_rag.adapters.embedding_model.openvino_model import OpenVinoModel, TokenIds  # noqa: PLC0415  # 0.2 s

    try:
        model = OpenVinoModel(
            ConvertedFiles.of(values.models_dir, files.model.digest).graph(precision),
            TokenIds(files.folder, max_tokens=files.model.max_tokens, pad_id=files.pad_token_id),
            dimensions=files.model.dimensions,
            precision=precision,
            concurrency=values.concurrency,
            threads=values.threads,
            batch_tokens=values.batch_tokens,
        )
        model.warm_up()
    except RuntimeError as error:
        raise EmbeddingGenerationError("embedding", "the converted model cannot be loaded", transient=False) from error
    return model


def _torch_model(files: ModelFiles, values: LocalBackendValues) -> LocalModel:
    from advanced_rag.adapters.embedding_model.torch_model import TorchModel  # noqa: PLC0415  # seconds, with torch

    return TorchModel(files.folder, batch_size=values.torch_batch)
