"""The process that converts a model: torch, nncf and their memory end with it.

Started by `openvino_conversion`, with a pipe as its standard input: when that closes the parent has gone, and so does
this. Whatever it prints is progress, a line each.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from advanced_rag.adapters.embedding_model.backend_choice import Measurement
from advanced_rag.adapters.embedding_model.conversion_texts import calibration_batches, probe_texts
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.cpu_features import cpu_features
from advanced_rag.adapters.embedding_model.model_files import ModelFiles, model_files
from advanced_rag.adapters.embedding_model.openvino_model import OpenVinoModel, TokenIds, supported_precisions
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.domain.documents import Matrix
from advanced_rag.exceptions import EmbeddingGenerationError

CALIBRATION_BATCHES: Final = 15
_REFERENCE_BATCH: Final = 32
_ROUNDS: Final = 3  # interleaved; the best one counts, for a neighbour's load only ever slows down
_TIMED_QUERIES: Final = 10
_TIMED_PASSAGES: Final = 4
_ORPHANED: Final = 3

Progress = Callable[[str], None]


def ensure_converted(files: ModelFiles, models_dir: Path, *, threads: int, progress: Progress) -> None:
    """Convert and measure unless that has been done; of several processes one does, and the others wait for it."""
    place, cpu = ConvertedFiles.of(models_dir, files.model.digest), cpu_features()
    with place.being_written():
        if not place.is_complete():
            convert(files, place, progress)
        if place.measurements(cpu) is None:
            progress(f"measuring on {cpu.name} ({' '.join(cpu.flags)})")
            place.write_measurements(cpu, measure(files, place, threads=threads))


def convert(files: ModelFiles, place: ConvertedFiles, progress: Progress) -> None:
    """Graphs in f32 and int8 and the original's vectors of the probe texts. The lock of `place` is held."""
    from advanced_rag.adapters.embedding_model.openvino_runtime import openvino  # noqa: PLC0415
    from advanced_rag.adapters.embedding_model.torch_model import TorchModel  # noqa: PLC0415  # seconds; not for nothing

    with place.new_folder() as folder:
        progress("loading the model under torch")
        original = TorchModel(files.folder, batch_size=_REFERENCE_BATCH)
        from advanced_rag.adapters.embedding_model import model_graph  # noqa: PLC0415

        np.save(folder / place.probe_vectors.name, original.encode(probe_texts()))
        progress("tracing the graph")
        graph = model_graph.float_graph(original.module)
        openvino.save_model(graph, folder / place.graph(Precision.F32).name, compress_to_fp16=False)
        progress("calibrating int8")
        tokens = token_ids(files)
        try:
            quantised = model_graph.int8_graph(graph, tokens, calibration_batches(CALIBRATION_BATCHES))
            openvino.save_model(quantised, folder / place.graph(Precision.INT8).name, compress_to_fp16=False)
        except (RuntimeError, ValueError) as error:  # f32 and bf16 serve as well
            progress(f"int8 is left out: {error}")


def measure(files: ModelFiles, place: ConvertedFiles, *, threads: int) -> dict[Precision, Measurement]:
    """Quality and speed of each precision that this CPU computes and that was converted."""
    texts, original = probe_texts(), np.load(place.probe_vectors, allow_pickle=False)
    tokens = token_ids(files)
    models = {
        precision: OpenVinoModel(
            place.graph(precision), tokens, dimensions=files.model.dimensions, precision=precision, threads=threads
        )
        for precision in supported_precisions()
        if place.graph(precision).is_file()
    }
    cosines = {precision: _cosines(model.encode(texts), original) for precision, model in models.items()}
    by_length = sorted(texts, key=len)
    queries, passages = by_length[:_TIMED_QUERIES], by_length[-_TIMED_PASSAGES:]
    query_s = _best_seconds(models, lambda model: [model.encode([query]) for query in queries])
    passage_s = _best_seconds(models, lambda model: model.encode(passages))
    return {
        precision: Measurement(
            min_cosine=float(cosines[precision].min()),
            mean_cosine=float(cosines[precision].mean()),
            queries_per_s=len(queries) / query_s[precision],
            passages_per_s=len(passages) / passage_s[precision],
        )
        for precision in models
    }


def token_ids(files: ModelFiles) -> TokenIds:
    """The tokenizer as the converted model needs it."""
    return TokenIds(files.folder, max_tokens=files.model.max_tokens, pad_id=files.pad_token_id)


def _cosines(vectors: Matrix, original: Matrix) -> Matrix:
    products: Matrix = (vectors * original).sum(axis=1)
    return products


def _best_seconds(
    models: Mapping[Precision, OpenVinoModel], work: Callable[[OpenVinoModel], object]
) -> dict[Precision, float]:
    best = dict.fromkeys(models, float("inf"))
    for _ in range(_ROUNDS):
        for precision, model in models.items():
            started = time.perf_counter()
            work(model)
            best[precision] = min(best[precision], time.perf_counter() - started)
    return best


def _end_with_parent(pipe: TextIO) -> None:
    pipe.read()  # nothing is ever sent: it returns when the last writer has gone, however that one died
    os._exit(_ORPHANED)


def _private_stdout() -> TextIO:
    """The stdout that we were given, for progress alone: libraries that print write to stderr from now on."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the conversion is there; 1: it failed, the reason is in stderr."""
    parser = argparse.ArgumentParser(description="Convert a sentence-transformers model for OpenVINO.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--models-dir", required=True, type=Path)
    parser.add_argument("--threads", required=True, type=int)
    options = parser.parse_args(arguments)
    out = _private_stdout()
    threading.Thread(target=_end_with_parent, args=(sys.stdin,), daemon=True).start()
    try:
        ensure_converted(
            model_files(options.model),
            options.models_dir,
            threads=options.threads,
            progress=partial(print, file=out),
        )
    except (EmbeddingGenerationError, RuntimeError, ValueError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
