"""The bundled model, converted: kept between runs, converted by the first test that needs it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from advanced_rag.adapters.embedding_model.backend_choice import MIN_COSINE
from advanced_rag.adapters.embedding_model.conversion_texts import probe_texts
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.local_encoder import LocalEncoder
from advanced_rag.adapters.embedding_model.local_model import LocalModel
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.adapters.embedding_model.openvino_conversion import converted
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.concurrency.async_executor import AsyncExecutor
from tests.contracts.encoder import EncoderContract
from tests.servers.service import MODELS

ROOT = Path(__file__).resolve().parents[2]
FILES = model_files("all-MiniLM-L6-v2")

SERVES = """
import asyncio, os, sys
from pathlib import Path
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.concurrency.async_executor import AsyncExecutor

async def main():
    loading = AsyncExecutor("loading", threads=1, max_waiting=1)
    values = LocalBackendValues(Path(sys.argv[1]), backend="openvino")
    model = await open_local_model(model_files("all-MiniLM-L6-v2"), values, loading)
    assert model.encode(["a text"]).shape == (1, 384)
    await loading.close(grace_s=1.0)

asyncio.run(main())
print(*(name for name in ("torch", "transformers", "sentence_transformers", "nncf", "openvino") if name in sys.modules))
print(sys.modules["openvino_telemetry"], os.listdir(os.environ["HOME"]))
"""


async def opened(values: LocalBackendValues) -> LocalModel:
    loading = AsyncExecutor("loading", threads=1, max_waiting=1)
    try:
        return await open_local_model(FILES, values, loading)
    finally:
        await loading.close(grace_s=1.0)


@pytest.fixture(scope="module")
def serving_model() -> LocalModel:
    return asyncio.run(opened(LocalBackendValues(MODELS, backend="openvino")))


class TestContract(EncoderContract):
    @pytest.fixture
    async def encoder(self, serving_model: LocalModel) -> AsyncIterator[LocalEncoder]:
        encoder = LocalEncoder(FILES.model, serving_model)
        yield encoder
        await encoder.close()


@pytest.mark.usefixtures("serving_model")
async def test_every_precision_that_this_machine_has_is_as_close_as_it_must_be() -> None:
    measured = converted(FILES, MODELS)
    assert measured is not None
    original = np.load(ConvertedFiles.of(MODELS, FILES.model.digest).probe_vectors)
    for precision in measured:
        values = LocalBackendValues(MODELS, backend="openvino", precision=precision, concurrency=1)
        vectors = (await opened(values)).encode(probe_texts())
        assert float((vectors * original).sum(axis=1).min()) > MIN_COSINE[precision]


async def test_a_text_has_one_vector_whatever_it_is_batched_with() -> None:
    model = await opened(LocalBackendValues(MODELS, backend="openvino", precision=Precision.F32, batch_tokens=256))
    texts = [*probe_texts(), "", "x" * 5_000, "的" * 900, "\ud800 lone"[1:], "a\x00b"]
    together = model.encode(texts)
    for text, row in zip(texts, together, strict=True):
        assert float(model.encode([text])[0] @ row) > 0.9999


@pytest.mark.usefixtures("serving_model")  # converted by then
def test_serving_imports_no_torch_and_tells_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVES, str(MODELS)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["openvino", "None []"]
