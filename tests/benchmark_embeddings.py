"""Run with `pytest tests/benchmark_embeddings.py --benchmark-only`; not part of `make test`.

Rates of each backend by pytest-benchmark, and the ratios that the project promises, measured interleaved by
`scripts/benchmark_embeddings.py`. Wants a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.local_model import LocalModel
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.concurrency.async_executor import AsyncExecutor
from scripts.benchmark_embeddings import ENCODER, MODEL, Workload, workload
from tests.servers.service import MODELS

pytestmark = [pytest.mark.benchmark_suite, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).resolve().parents[1]
AT_LEAST: Final = {
    "openvino bf16": {"single": 5.0, "concurrent": 2.0, "chunks": 2.2},
    "openvino int8": {"single": 5.0, "concurrent": 3.0, "chunks": 3.5},
}
BACKENDS: Final = ("torch", *(f"openvino {precision.value}" for precision in Precision))


@pytest.fixture(scope="module")
def work() -> Workload:
    return workload(None)


@pytest.fixture(scope="module", params=BACKENDS)
def model(request: pytest.FixtureRequest) -> LocalModel:
    backend, _, precision = request.param.partition(" ")

    async def opened() -> LocalModel:
        values = LocalBackendValues(
            MODELS,
            backend="torch" if backend == "torch" else "openvino",
            precision=Precision(precision) if precision else None,
        )
        return await open_local_model(model_files(MODEL), values, AsyncExecutor("loading", threads=1, max_waiting=1))

    return asyncio.run(opened())


def test_one_query(benchmark: BenchmarkFixture, model: LocalModel, work: Workload) -> None:
    benchmark(model.encode, work.queries[:1])


def test_thirty_two_queries(benchmark: BenchmarkFixture, model: LocalModel, work: Workload) -> None:
    benchmark(model.encode, work.queries[:32])


def test_sixteen_chunks(benchmark: BenchmarkFixture, model: LocalModel, work: Workload) -> None:
    benchmark(model.encode, work.chunks[:16])


def test_the_promised_ratios(benchmark: BenchmarkFixture) -> None:
    def measured() -> dict[str, Any]:
        command = [
            sys.executable,
            str(ROOT / "scripts" / "benchmark_embeddings.py"),
            "--json",
            "--models-dir",
            str(MODELS),
        ]
        ratios: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))["ratios"]
        return ratios

    ratios = benchmark.pedantic(measured, rounds=1)  # type: ignore[no-untyped-call]  # the library's
    for name, promised in AT_LEAST.items():
        for measure, least in promised.items():
            assert ratios[name][measure] >= least, (name, measure, ratios)
    assert ratios[ENCODER]["concurrent"] >= AT_LEAST["openvino bf16"]["concurrent"]
