"""Ranking quality and speed over HTTP: ingest a BEIR-layout set into a fresh service, ask its judged queries, print.

    python scripts/benchmark_quality.py FOLDER [--limit N] [--encoder]

Prints nDCG@10, recall@100 and MRR@10 of semantic, sparse and hybrid, the p50 and p95 of single all-different hybrid
queries, the speed of the ingest, and with `--encoder` that of the bare encoder on chunks of the same set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advanced_rag.adapters.embedding_model.fast_tokenizer import FastTokenizer
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.domain.chunking import embedded_text
from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.ranking_metrics import ndcg_at, recall_at, reciprocal_rank_at
from advanced_rag.services.preparation import GivenDocument, Preparation
from tests.servers.service import MODELS, ServiceProcess

BATCH: Final = 100
CLIENTS: Final = 2
ENCODER_BATCH: Final = 32
MODES: Final = ("semantic", "sparse", "hybrid")


@dataclass(frozen=True)
class RetrievalSet:
    """A judged collection: documents to ingest, queries, and the grade of each judged document."""

    documents: Sequence[Mapping[str, Any]]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def read_set(folder: Path, limit: int | None) -> RetrievalSet:
    """The set in that folder; documents without text are left out, as nothing could find them."""
    lines = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    documents = [
        {"id": line["_id"], "title": line.get("title", ""), "text": line["text"]}
        for line in lines
        if line["text"].strip()
    ]
    queries = {
        query["_id"]: query["text"] for query in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())
    }
    qrels: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = row.split("\t")
        qrels[query][document] = int(grade)
    return RetrievalSet(documents[:limit], queries, qrels)


def ingest(client: httpx.Client, documents: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """Ingest everything; seconds and chunks."""

    def send(batch: Sequence[Mapping[str, Any]]) -> int:
        response = client.post("/v1/ingest", json={"documents": batch})
        response.raise_for_status()
        outcomes = response.json()["documents"]
        failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
        if failed:
            raise SystemExit(f"failed: {failed[0]}")
        return sum(outcome["chunks"] for outcome in outcomes)

    started = time.monotonic()
    batches = [documents[first : first + BATCH] for first in range(0, len(documents), BATCH)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        chunks = sum(pool.map(send, batches))
    return time.monotonic() - started, chunks


def ranking(client: httpx.Client, query: str, mode: str) -> tuple[list[str], float]:
    """Documents by their best chunk, and the milliseconds it took."""
    started = time.monotonic()
    response = client.post("/v1/retrieve", json={"query": query, "top_k": 100, "mode": mode})
    took_ms = (time.monotonic() - started) * 1_000
    response.raise_for_status()
    body = response.json()
    if body["degraded"]:
        raise SystemExit(f"degraded: {body['degraded']}")
    return list(dict.fromkeys(result["document_id"] for result in body["results"])), took_ms


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean."""
    return statistics.fmean(values)


def evaluate(client: httpx.Client, judged: RetrievalSet, mode: str) -> dict[str, float]:
    """The metrics of one mode over every judged query."""
    rankings = {query: ranking(client, judged.queries[query], mode)[0] for query in judged.qrels}
    pairs = [(rankings[query], grades) for query, grades in judged.qrels.items()]
    return {
        "nDCG@10": mean(ndcg_at(found, grades, 10) for found, grades in pairs),
        "recall@100": mean(recall_at(found, grades, 100) for found, grades in pairs),
        "MRR@10": mean(reciprocal_rank_at(found, grades, 10) for found, grades in pairs),
    }


def latency(client: httpx.Client, queries: Sequence[str]) -> tuple[float, float]:
    """p50 and p95 in ms of single all-different hybrid queries with `top_k` 10, one after another."""
    times = []
    for query in queries:
        started = time.monotonic()
        client.post("/v1/retrieve", json={"query": query}).raise_for_status()
        times.append((time.monotonic() - started) * 1_000)
    cuts = statistics.quantiles(times, n=20)
    return statistics.median(times), cuts[18]


async def bare_encoder_chunks_per_s(documents: Sequence[Mapping[str, Any]], sample: int = 300) -> float:
    """Chunks a second of the model by itself, on the chunks of a sample of the documents, in batches of like length."""
    files = model_files("all-MiniLM-L6-v2")
    loading = AsyncExecutor("loading", threads=1, max_waiting=1)
    model = await open_local_model(files, LocalBackendValues(models_dir=MODELS), loading)
    await loading.close(grace_s=0.0)
    preparation = Preparation(FastTokenizer(files.folder), {}, 256, 32, files.model.max_tokens)
    tenant = Tenant("benchmark")
    texts: list[str] = []
    for given in documents[:: max(1, len(documents) // sample)]:
        document, _ = preparation.identified(tenant, GivenDocument(given["text"], given["id"], given["title"], "", {}))
        texts.extend(
            embedded_text(document.title, span.heading, document.text[span.start : span.end])
            for span in preparation.draft(document).spans
        )
    texts.sort(key=len)
    started = time.monotonic()
    for first in range(0, len(texts), ENCODER_BATCH):
        model.encode(texts[first : first + ENCODER_BATCH])
    return len(texts) / (time.monotonic() - started)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--encoder", action="store_true", help="also time the bare encoder")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        raise SystemExit(f"{arguments.folder}: no such folder")
    judged = read_set(arguments.folder, arguments.limit)
    figures: dict[str, Any] = {"set": arguments.folder.name, "documents": len(judged.documents)}
    with ServiceProcess() as service, httpx.Client(base_url=service.url, timeout=600.0) as client:
        seconds, chunks = ingest(client, judged.documents)
        figures["ingest"] = {
            "chunks": chunks,
            "seconds": round(seconds, 1),
            "documents_per_minute": round(len(judged.documents) / seconds * 60),
            "chunks_per_s": round(chunks / seconds, 1),
        }
        print(json.dumps(figures["ingest"]), flush=True)
        # Queries that no mode has been asked yet: the cache must not answer them.
        asked = [text for query, text in judged.queries.items() if query in judged.qrels]
        p50, p95 = latency(client, asked)
        figures["hybrid_ms"] = {"p50": round(p50, 1), "p95": round(p95, 1), "queries": len(asked)}
        print(json.dumps(figures["hybrid_ms"]), flush=True)
        for mode in MODES:
            figures[mode] = {name: round(value, 4) for name, value in evaluate(client, judged, mode).items()}
            print(mode, json.dumps(figures[mode]), flush=True)
    if arguments.encoder:
        figures["bare_encoder_chunks_per_s"] = round(asyncio.run(bare_encoder_chunks_per_s(judged.documents)), 1)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
