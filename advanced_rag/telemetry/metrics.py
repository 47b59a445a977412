"""Every metric of the service; names and labels are a contract (`design.md` 8).

Label values are bounded: an endpoint is the full template of a route or `UNMATCHED`, never a path. Values known from
the start appear at zero, so that a rate over the first minutes is right and an alert on absence means something.

With several worker processes `PROMETHEUS_MULTIPROC_DIR` must be in the environment before this module is imported:
prometheus_client decides then where values live. Gauges say how they add up; the exposition reads the directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

UNMATCHED: Final = "unmatched"
OTHER_METHOD: Final = "other"
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

# Seconds, dense around the objective of 100 ms; a search of the embedded engine takes 2 ms: hence a second, finer list.
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CALL_BUCKETS: Final = (0.001, 0.0025, *REQUEST_BUCKETS)
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
LANES: Final = ("semantic", "sparse", "domain")
DEGRADABLE: Final = (*LANES, "embedding", "reranker", "database", "llm", "cache", "ratelimit")
INGEST_STATUSES: Final = ("indexed", "unchanged", "replaced", "superseded", "failed")
MILVUS_OPERATIONS: Final = ("search", "upsert", "delete")
POOL_STATES: Final = ("size", "in_use", "idle", "waiting")  # how many there may be; how many callers wait for one
FILE_OUTCOMES: Final = ("parsed", "unsupported-media-type", "payload-too-large", "unreadable-file", "busy")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_LIVE_GAUGES: Final = "gauge_live*_*.db"

disable_created_metrics()  # type: ignore[no-untyped-call]  # `_created` series would double the exposition


class Metrics:
    """The metrics as attributes, in one registry. Safe from any thread."""

    def __init__(self, *, version: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._make_request_metrics()
        self._make_embedding_metrics()
        self._make_dependency_metrics()
        self._make_content_metrics()
        self.build_info = self._gauge("rag_build_info", "Always 1; the version is the label.", ["version"], "livemax")
        self.build_info.labels(version).set(1)
        self.log_dropped = self._counter("rag_log_dropped_total", "Log lines dropped for a full queue.", ["level"])
        for level in LOG_LEVELS:
            self.log_dropped.labels(level)
        ProcessCollector(registry=self.registry)
        self._readings: list[Callable[[], None]] = []

    def _make_request_metrics(self) -> None:
        self.requests = self._counter(
            "rag_requests_total", "Requests answered; status 499: the client left.", ["endpoint", "method", "status"]
        )
        self.request_duration = self._histogram(
            "rag_request_duration_seconds",
            "From the first byte seen to the last byte sent.",
            ["endpoint"],
            REQUEST_BUCKETS,
        )
        self.active_requests = self._gauge("rag_active_requests", "Requests being served.", ["endpoint"], "livesum")
        self.errors = self._counter("rag_errors_total", "Problems answered, by name.", ["endpoint", "error_type"])
        self.rate_limited = self._counter("rag_rate_limited_total", "Requests over a limit.", ["endpoint"])

    def _make_embedding_metrics(self) -> None:
        self.embedding_cache_hits = self._counter("rag_embedding_cache_hits_total", "Vectors found in the cache.")
        self.embedding_cache_misses = self._counter("rag_embedding_cache_misses_total", "Vectors not in the cache.")
        self.embedding_cache_size = self._gauge("rag_embedding_cache_size", "Cached vectors.", [], "livesum")
        self.embedding_duration = self._histogram(
            "rag_embedding_generation_duration_seconds",
            "One batch through the model.",
            ["lane", "backend"],
            CALL_BUCKETS,
        )
        self.embedding_batch_size = self._histogram(
            "rag_embedding_batch_size", "Texts in one batch through the model.", [], BATCH_BUCKETS
        )

    def _make_dependency_metrics(self) -> None:
        self.milvus_duration = self._histogram(
            "rag_milvus_operation_duration_seconds", "One attempt.", ["operation", "lane"], CALL_BUCKETS
        )
        for operation in MILVUS_OPERATIONS:
            for lane in LANES:
                self.milvus_duration.labels(operation, lane)
        self.breaker_state = self._gauge(
            "rag_circuit_breaker_state", "0 closed, 1 half-open, 2 open.", ["name"], "livemax"
        )
        self.breaker_transitions = self._counter(
            "rag_circuit_breaker_transitions_total", "Transitions by the state entered.", ["name", "to"]
        )
        self.bulkhead_in_flight = self._gauge("rag_bulkhead_in_flight", "Permits held.", ["name"], "livesum")
        self.bulkhead_rejected = self._counter("rag_bulkhead_rejected_total", "Calls refused a permit.", ["name"])
        self.retries = self._counter("rag_retries_total", "Attempts after the first.", ["name"])
        self.pool_connections = self._gauge(
            "rag_db_pool_connections",
            "Connections of the database pool: size is how many there may be, waiting how many callers wait for one.",
            ["state"],
            "livesum",
        )
        for state in POOL_STATES:
            self.pool_connections.labels(state)
        self.pool_checkouts = self._counter(
            "rag_db_pool_checkouts_total", "Connections taken; reused: not opened for it.", ["reused"]
        )
        for reused in ("true", "false"):
            self.pool_checkouts.labels(reused)

    def _make_content_metrics(self) -> None:
        self.ingested_documents = self._counter("rag_ingested_documents_total", "Documents taken in.", ["status"])
        for status in INGEST_STATUSES:
            self.ingested_documents.labels(status)
        self.ingested_chunks = self._counter("rag_ingested_chunks_total", "Chunks written.")
        self.reconciled_rows = self._counter(
            "rag_reconciled_rows_total",
            "Index rows that were not as the database says, by what was wrong.",
            ["lane", "kind"],
        )
        for lane in LANES:
            for kind in ("missing", "extra"):
                self.reconciled_rows.labels(lane, kind)
        self.parsed_files = self._counter(
            "rag_parsed_files_total", "Uploaded files by what became of reading them.", ["outcome"]
        )
        for outcome in FILE_OUTCOMES:
            self.parsed_files.labels(outcome)
        self.parse_duration = self._histogram(
            "rag_file_parse_duration_seconds", "One file, its wait for a process included.", [], REQUEST_BUCKETS
        )
        self.retrieval_degraded = self._counter(
            "rag_retrieval_degraded_total", "Answers that a component did not take part in.", ["lane"]
        )
        for component in DEGRADABLE:
            self.retrieval_degraded.labels(component)
        self.feedback = self._counter("rag_feedback_total", "Votes.", ["vote"])
        for vote in ("up", "down"):
            self.feedback.labels(vote)

    def declare_endpoint(self, endpoint: str, *, methods: Iterable[str], problems: Iterable[str]) -> None:
        """Show a route at zero: its methods with status 200, its documented problems, its gauge and histogram."""
        for method in methods:
            self.requests.labels(endpoint, method, "200")
        for problem in problems:
            self.errors.labels(endpoint, problem)
        self.request_duration.labels(endpoint)
        self.active_requests.labels(endpoint)
        self.rate_limited.labels(endpoint)

    def declare_guard(self, name: str) -> None:
        """Show a guard (its breaker, bulkhead and retries) at zero, its breaker closed."""
        self.breaker_state.labels(name).set(BREAKER_STATES["closed"])
        for state in BREAKER_STATES:
            self.breaker_transitions.labels(name, state)
        self.bulkhead_in_flight.labels(name)
        self.bulkhead_rejected.labels(name)
        self.retries.labels(name)

    def declare_bulkhead(self, name: str) -> None:
        """Show a bulkhead that stands alone at zero."""
        self.bulkhead_in_flight.labels(name)
        self.bulkhead_rejected.labels(name)

    def observe_parsed_file(self, outcome: str, seconds: float) -> None:
        """A file has been read, or refused."""
        self.parsed_files.labels(outcome).inc()
        self.parse_duration.observe(seconds)

    def declare_embedding(self, lane: str, backend: str) -> None:
        """Show a lane's encoder at zero."""
        self.embedding_duration.labels(lane, backend)

    def read_before_exposition(self, reading: Callable[[], None]) -> None:
        """Gauges of something that tells nobody when it changes: `reading` sets them, from any thread."""
        self._readings.append(reading)

    def exposition(self, multiprocess_dir: Path | None = None) -> bytes:
        """The text format: this process's values, or, with a directory, those of all workers added up.

        Milliseconds of pure CPU: call it in an executor.
        """
        for reading in self._readings:
            reading()
        if multiprocess_dir is None:
            return generate_latest(self.registry)
        forget_dead_workers(multiprocess_dir)
        merged = CollectorRegistry()
        MultiProcessCollector(merged, path=str(multiprocess_dir))  # type: ignore[no-untyped-call]  # the library's
        return generate_latest(merged)

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str], mode: Literal["livemax", "livesum"]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=mode)

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)


def forget_dead_workers(directory: Path) -> None:
    """Remove the live gauges of processes that are gone; their counters and histograms stay in the sums."""
    for file in directory.glob(_LIVE_GAUGES):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
