"""How fast texts become vectors: sentence-transformers as it comes, against each backend, and through the encoder.

    python scripts/benchmark_embeddings.py [--rounds N] [--seconds S] [--models-dir DIR] [--data DIR] [--json]

Every subject is a process of its own, all alive at once; they are asked in turn, one at a time, so that whatever else
the machine does falls on all alike. Ratios are medians over the rounds, each round against sentence-transformers in the
same round. `concurrent` is the best batched figure of a subject (32 or 256 queries in a call), for the encoder 32
callers with one query each. A chunk has 224 tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess  # nosec B404  # our own program, no shell
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from advanced_rag.adapters.embedding_model.conversion_texts import calibration_batches, probe_texts
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.cpu_features import cpu_features
from advanced_rag.adapters.embedding_model.fast_tokenizer import FastTokenizer
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.local_encoder import LocalEncoder
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.adapters.embedding_model.openvino_conversion import convert_in_child, converted
from advanced_rag.adapters.embedding_model.precision import Precision
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.domain.documents import Matrix

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = "all-MiniLM-L6-v2"
BASELINE: Final = "sentence-transformers"
ENCODER: Final = "encoder (auto)"
MEASURES: Final = ("single", "concurrent", "chunks")
CHUNK_TOKENS: Final = 224
QUERIES: Final = 256
CHUNKS: Final = 32
CALLERS: Final = 32
CONVERSION_LIMIT_S: Final = 600.0
MB: Final = 1024


@dataclass
class Workload:
    """What is encoded."""

    queries: list[str]
    chunks: list[str]


@dataclass
class Report:
    """What was measured of one subject; rates a second, one a round."""

    cold_start_s: float = 0.0
    rss_mb: float = 0.0
    min_cosine: float = 0.0
    mean_cosine: float = 0.0
    rates: dict[str, list[float]] = field(default_factory=lambda: {measure: [] for measure in MEASURES})


def workload(data: Path | None) -> Workload:
    """Queries and chunks of a folder in BEIR's layout, or of our own sentences."""
    tokenizer = FastTokenizer(model_files(MODEL).folder)
    if data is not None:
        queries = [json.loads(line)["text"] for line in (data / "queries.jsonl").read_text().splitlines()]
        texts = [json.loads(line)["text"] for line in (data / "corpus.jsonl").read_text().splitlines()[:400]]
    else:
        sentences = [text for batch in calibration_batches(60) for text in batch]
        queries = [f"{text[: 20 + number % 90]} {number}" for number, text in enumerate(sentences * 4)]
        texts = [" ".join(sentences[first : first + 12]) for first in range(len(sentences) - 12)]
    cut = []
    for text in texts:
        offsets = tokenizer.token_offsets(text)
        if len(offsets) >= CHUNK_TOKENS:
            cut.append(text[: offsets[CHUNK_TOKENS - 3][1]])  # two more are the special ones
    return Workload(queries[:QUERIES], cut[:CHUNKS])


# The worker: one subject, asked over its standard input


class Subject:
    """A backend by itself: `encode` of a list."""

    def __init__(self, encode: Callable[[Sequence[str]], Any]) -> None:
        self.encode = encode

    def rate(self, measure: str, work: Workload, seconds: float) -> float:
        """Texts a second."""
        if measure == "single":
            return _rate([[query] for query in work.queries], self.encode, seconds)
        if measure == "concurrent":
            batches = [work.queries[first : first + CALLERS] for first in range(0, len(work.queries), CALLERS)]
            return max(_rate(batches, self.encode, seconds / 2), _rate([work.queries], self.encode, seconds / 2))
        return _rate([work.chunks[:16], work.chunks[16:]], self.encode, seconds)


class EncoderSubject:
    """The encoder that serves, on an event loop of its own: batched, checked, off the loop."""

    def __init__(self, encoder: LocalEncoder, loop: asyncio.AbstractEventLoop) -> None:
        self._encoder = encoder
        self._loop = loop

    def encode(self, texts: Sequence[str]) -> Matrix:
        """All at once."""
        return self._loop.run_until_complete(self._encoder.encode_documents(texts))

    def rate(self, measure: str, work: Workload, seconds: float) -> float:
        """Texts a second."""
        if measure == "chunks":
            return _rate([work.chunks], self.encode, seconds)
        callers = 1 if measure == "single" else CALLERS
        return self._loop.run_until_complete(self._queries(work.queries, callers, seconds))

    async def _queries(self, queries: Sequence[str], callers: int, seconds: float) -> float:
        done, started = 0, time.perf_counter()

        async def call(position: int) -> None:
            nonlocal done
            while time.perf_counter() - started < seconds:
                await self._encoder.encode_queries([queries[(position + done) % len(queries)]])
                done += 1

        await asyncio.gather(*(call(caller * 7) for caller in range(callers)))
        return done / (time.perf_counter() - started)


def _rate(batches: Sequence[Sequence[str]], encode: Callable[[Sequence[str]], Any], seconds: float) -> float:
    done, number, started = 0, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        encode(batches[number % len(batches)])
        done += len(batches[number % len(batches)])
        number += 1
    return done / (time.perf_counter() - started)


def _subject(name: str, models_dir: Path) -> Subject | EncoderSubject:
    files = model_files(MODEL)
    if name == BASELINE:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # only this subject pays for it

        original = SentenceTransformer(str(files.folder), device="cpu", local_files_only=True)
        return Subject(lambda texts: original.encode(list(texts), show_progress_bar=False))
    loop = asyncio.new_event_loop()
    loading = AsyncExecutor("loading", threads=1, max_waiting=1)
    threads = os.cpu_count() or 1
    if name == ENCODER:
        values = LocalBackendValues(models_dir, threads=threads)
        encoder = LocalEncoder(files.model, loop.run_until_complete(open_local_model(files, values, loading)))
        return EncoderSubject(encoder, loop)
    backend, _, precision = name.partition(" ")
    values = LocalBackendValues(
        models_dir,
        backend="torch" if backend == "torch" else "openvino",
        precision=Precision(precision) if precision else None,
        concurrency=1,
        threads=threads,
    )
    return Subject(loop.run_until_complete(open_local_model(files, values, loading)).encode)


def work_off(name: str, models_dir: Path, data: Path | None) -> None:
    """Answer commands, a JSON line each, until there are none."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    subject = _subject(name, models_dir)
    vectors = np.asarray(subject.encode(list(probe_texts())), dtype=np.float64)
    _say({"vectors": vectors.tolist()})
    work = workload(data)
    for line in sys.stdin:
        measure, seconds = json.loads(line)
        _say({"rate": subject.rate(measure, work, seconds), "rss_mb": _rss_mb()})


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _rss_mb() -> float:
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1]) / MB


# The parent


class Worker:
    """A subject's process."""

    def __init__(self, name: str, models_dir: Path, data: Path | None) -> None:
        self.report = Report()
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", name, "--models-dir", str(models_dir)]
        started = time.perf_counter()
        self._process = subprocess.Popen(  # nosec B603
            command + (["--data", str(data)] if data else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.vectors = np.asarray(self._answer()["vectors"])
        self.report.cold_start_s = time.perf_counter() - started

    def ask(self, measure: str, seconds: float, *, keep: bool) -> None:
        """Measure once."""
        if self._process.stdin is None:
            raise RuntimeError("the worker has no input")
        self._process.stdin.write(json.dumps([measure, seconds]) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if keep:
            self.report.rates[measure].append(answer["rate"])
            self.report.rss_mb = answer["rss_mb"]

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("a worker ended early")
        return json.loads(line)


def measure_all(options: argparse.Namespace) -> dict[str, Report]:
    """Every subject, in turn."""
    files = model_files(MODEL)
    if converted(files, options.models_dir) is None:
        started = time.perf_counter()
        threads = os.cpu_count() or 1
        asyncio.run(convert_in_child(files, options.models_dir, threads=threads, limit_s=CONVERSION_LIMIT_S))
        sys.stderr.write(f"converted in {time.perf_counter() - started:.1f} s\n")
    measured = converted(files, options.models_dir) or {}
    names = [BASELINE, "torch", *(f"openvino {precision.value}" for precision in measured), ENCODER]
    workers = {name: Worker(name, options.models_dir, options.data) for name in names}
    reference = workers[BASELINE].vectors
    reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    for worker in workers.values():
        cosines = (worker.vectors * reference).sum(axis=1) / np.linalg.norm(worker.vectors, axis=1)
        worker.report.min_cosine, worker.report.mean_cosine = float(cosines.min()), float(cosines.mean())
    for number in range(options.rounds + 1):  # the first one warms up
        for measure in MEASURES:
            for worker in workers.values():
                worker.ask(measure, options.seconds, keep=number > 0)
    for worker in workers.values():
        worker.close()
    return {name: worker.report for name, worker in workers.items()}


def ratio(reports: dict[str, Report], name: str, measure: str) -> float:
    """Median over the rounds of the subject's rate to sentence-transformers' of the same round."""
    pairs = zip(reports[name].rates[measure], reports[BASELINE].rates[measure], strict=True)
    return statistics.median(rate / baseline for rate, baseline in pairs)


def print_table(reports: dict[str, Report], models_dir: Path) -> None:
    """For people."""
    cpu = cpu_features()
    print(f"{cpu.name}, {os.cpu_count()} cores, {' '.join(cpu.flags)}; load {os.getloadavg()[0]:.1f}")
    print(f"converted model: {ConvertedFiles.of(models_dir, model_files(MODEL).model.digest).key}")
    print(
        f"{'':24}{'single/s':>16}{'concurrent/s':>18}{'chunks/s':>16}"
        f"{'RSS MB':>8}{'start s':>9}{'cosine min, mean':>20}"
    )
    for name, report in reports.items():
        cells = "".join(
            f"{statistics.median(report.rates[measure]):>{width}.1f} ({ratio(reports, name, measure):4.1f}x)"
            for measure, width in (("single", 8), ("concurrent", 10), ("chunks", 8))
        )
        print(
            f"{name:24}{cells}{report.rss_mb:>8.0f}{report.cold_start_s:>9.1f}"
            f"{report.min_cosine:>12.5f}{report.mean_cosine:>8.5f}"
        )
    inline = statistics.median(reports[BASELINE].rates["single"])
    batched = statistics.median(reports[BASELINE].rates["concurrent"])
    served = statistics.median(reports[ENCODER].rates["concurrent"])
    own_single = statistics.median(reports[ENCODER].rates["single"])
    print(f"batched against single: {BASELINE} {batched / inline:.1f}x, {ENCODER} {served / own_single:.1f}x")
    print(f"32 callers through the encoder against inline calls of {BASELINE}: {served / inline:.1f}x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--models-dir", type=Path, default=ROOT / "data" / "models")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work_off(options.worker, options.models_dir, options.data)
        return
    reports = measure_all(options)
    if options.json:
        ratios = {name: {measure: ratio(reports, name, measure) for measure in MEASURES} for name in reports}
        _say({"reports": {name: asdict(report) for name, report in reports.items()}, "ratios": ratios})
    else:
        print_table(reports, options.models_dir)


if __name__ == "__main__":
    main()
