"""A converted model under OpenVINO: needs neither torch nor transformers, and starts in a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from advanced_rag.adapters.embedding_model.openvino_runtime import openvino
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.adapters.embedding_model.token_batches import batches_by_length
from advanced_rag.domain.documents import Matrix

INPUT_IDS: Final = "input_ids"
ATTENTION_MASK: Final = "attention_mask"
# Kernels kept for shapes seen before, by default 5,000; and nearly every batch has a shape of its own: after 400
# batches of mixed length the process held 1,056 MB and grew on, with 32 it stays at 600 MB and is no slower (2026.4.1).
_KEPT_SHAPES: Final = 32
_DEVICE: Final = "CPU"
# Activations of what int8 leaves open are quantised as they come, in groups of so many values of a row. Measured:
# 128 keeps the cosine of whole rows, larger groups lose it, smaller ones the speed.
_ACTIVATION_GROUP: Final = 128
_WARM_UP_LENGTHS: Final = (4, 8, 12, 16, 20, 24, 32, 48, 64, 128)


def has_bf16() -> bool:
    """Whether this CPU computes bf16 itself (avx512_bf16, AMX and their like)."""
    return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def supported_precisions() -> tuple[Precision, ...]:
    """What this CPU computes without emulation; int8 always, though only VNNI and AMX make it fast."""
    return tuple(Precision) if has_bf16() else (Precision.F32, Precision.INT8)


class TokenIds:
    """The model's tokenizer with its truncation; safe in threads."""

    def __init__(self, folder: Path, *, max_tokens: int, pad_id: int = 0) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._pad_id = pad_id

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Each text's tokens, special ones included, cut at the window."""
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(list(texts))
        return encodings

    def padded(self, encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
        """The model's inputs, (texts, longest), padded on the right."""
        shape = (len(encodings), max(len(encoding) for encoding in encodings))
        ids, mask = np.full(shape, self._pad_id, np.int64), np.zeros(shape, np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        return {INPUT_IDS: ids, ATTENTION_MASK: mask}


class OpenVinoModel:
    """`LocalModel` over a converted graph.

    With `concurrency` 2 a query has the cores for itself as far as the scheduler gives them, while documents are being
    encoded: each call has a compiled graph with `threads` threads of its own. (Two streams of one compiled graph share
    its threads, and a lone call has half of them; measured, ingestion and single queries are slower by that.)

    Args:
        graph: the `.xml`, its `.bin` beside it.
        tokens: the model's tokenizer.
        dimensions: of a vector.
        precision: in which it is computed; int8 needs a graph that was quantised.
        concurrency: calls at once; more wait.
        threads: of one call; no more than there are cores.
        batch_tokens: padded tokens of one inference at most; larger batches are run in parts.
    """

    def __init__(
        self,
        graph: Path,
        tokens: TokenIds,
        *,
        dimensions: int,
        precision: Precision,
        concurrency: int = 1,
        threads: int,
        batch_tokens: int = 2_048,
    ) -> None:
        self.backend = f"openvino-{precision.value}"
        self.concurrency = concurrency
        self._tokens = tokens
        self._dimensions = dimensions
        self._batch_tokens = batch_tokens
        core = openvino.Core()
        self._requests: Queue[Any] = Queue(maxsize=concurrency)
        for _ in range(concurrency):
            compiled = core.compile_model(graph, _DEVICE, _properties(precision, threads))
            self._requests.put(compiled.create_infer_request())

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), in order, rows of unit length, texts cut at the model's window."""
        encodings = self._tokens.encode(texts)
        vectors = np.empty((len(texts), self._dimensions), dtype=np.float32)
        lengths = [len(encoding) for encoding in encodings]
        with self._request() as request:
            for batch in batches_by_length(lengths, max_tokens=self._batch_tokens):
                request.infer(self._tokens.padded([encodings[position] for position in batch]), share_inputs=True)
                vectors[batch] = request.get_output_tensor(0).data
        return vectors

    def warm_up(self) -> None:
        """Compile the kernels of usual lengths, so that the first callers do not wait for that."""
        for length in _WARM_UP_LENGTHS:
            self.encode(["a " * length])

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._requests.get()
        try:
            yield request
        finally:
            self._requests.put(request)


def _properties(precision: Precision, threads: int) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "NUM_STREAMS": 1,
        "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_SHAPES,
        "INFERENCE_NUM_THREADS": threads,
        # Threads that are pinned to a core wait for whatever else runs there, the event loop for instance.
        "ENABLE_CPU_PINNING": False,
        # What int8 leaves open is computed in bf16 where the CPU can.
        "INFERENCE_PRECISION_HINT": "bf16" if precision is not Precision.F32 and has_bf16() else "f32",
    }
    if precision is Precision.INT8:
        properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _ACTIVATION_GROUP
    return properties
