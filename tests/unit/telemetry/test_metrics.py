from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from advanced_rag.telemetry.metrics import Metrics, forget_dead_workers

REPOSITORY = Path(__file__).resolve().parents[3]
WORKER = """
import sys
from advanced_rag.telemetry.metrics import Metrics
metrics = Metrics(version="1")
metrics.declare_endpoint("/v1/retrieve", methods=["POST"], problems=["overloaded"])
metrics.declare_guard("database")
metrics.requests.labels("/v1/retrieve", "POST", "200").inc(3)
metrics.active_requests.labels("/v1/retrieve").inc(2)
metrics.breaker_state.labels("database").set(int(sys.argv[1]))
metrics.request_duration.labels("/v1/retrieve").observe(0.04)
print("ready", flush=True)
sys.stdin.read()
"""


def test_known_labels_are_there_at_zero() -> None:
    metrics = Metrics(version="1")
    metrics.declare_guard("milvus.semantic")
    metrics.declare_embedding("semantic", "torch")
    text = metrics.exposition().decode()
    for series in (
        'rag_retrieval_degraded_total{lane="semantic"} 0.0',
        'rag_ingested_documents_total{status="replaced"} 0.0',
        'rag_milvus_operation_duration_seconds_count{lane="sparse",operation="search"} 0.0',
        'rag_circuit_breaker_state{name="milvus.semantic"} 0.0',
        'rag_circuit_breaker_transitions_total{name="milvus.semantic",to="open"} 0.0',
        'rag_bulkhead_rejected_total{name="milvus.semantic"} 0.0',
        'rag_embedding_generation_duration_seconds_count{backend="torch",lane="semantic"} 0.0',
        'rag_feedback_total{vote="up"} 0.0',
        'rag_db_pool_checkouts_total{reused="true"} 0.0',
        'rag_log_dropped_total{level="INFO"} 0.0',
        "rag_embedding_cache_hits_total 0.0",
        'rag_build_info{version="1"} 1.0',
    ):
        assert series in text
    assert "_created" not in text


def test_what_tells_nobody_when_it_changes_is_read_when_somebody_looks() -> None:
    metrics = Metrics(version="1")
    values = iter((3, 4))
    metrics.read_before_exposition(lambda: metrics.pool_connections.labels("in_use").set(next(values)))
    for value in (3, 4):
        assert f'rag_db_pool_connections{{state="in_use"}} {value}.0' in metrics.exposition().decode()


@pytest.mark.req("R11.8")
def test_request_buckets_are_dense_around_the_objective() -> None:
    metrics = Metrics(version="1")
    metrics.declare_endpoint("/x", methods=["GET"], problems=[])
    text = metrics.exposition().decode()
    for bound in ("0.005", "0.075", "0.1", "0.15", "10.0"):
        assert f'rag_request_duration_seconds_bucket{{endpoint="/x",le="{bound}"}}' in text


def test_two_applications_in_one_process_do_not_meet() -> None:
    one, other = Metrics(version="1"), Metrics(version="1")
    one.ingested_chunks.inc(5)
    assert b"rag_ingested_chunks_total 0.0" in other.exposition()


@pytest.mark.req("R11.8")
def test_the_workers_of_one_service_add_up(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, state],
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for state in ("0", "2")
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        text = Metrics(version="1").exposition(tmp_path).decode()
        assert 'rag_requests_total{endpoint="/v1/retrieve",method="POST",status="200"} 6.0' in text
        assert 'rag_active_requests{endpoint="/v1/retrieve"} 4.0' in text
        assert 'rag_circuit_breaker_state{name="database"} 2.0' in text
        assert 'rag_request_duration_seconds_count{endpoint="/v1/retrieve"} 2.0' in text
        assert 'rag_errors_total{endpoint="/v1/retrieve",error_type="overloaded"} 0.0' in text
        workers[1].kill()
        workers[1].wait()
        text = Metrics(version="1").exposition(tmp_path).decode()
        # What it was doing is gone with it, what it had done is not.
        assert 'rag_active_requests{endpoint="/v1/retrieve"} 2.0' in text
        assert 'rag_circuit_breaker_state{name="database"} 0.0' in text
        assert (
            'rag_requests_total{endpoint="/v1/retrieve",method="POST",status="200"} 6.0' in text
        )  # what it had done not
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_only_live_gauges_of_the_dead_are_forgotten(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [
        f"gauge_livesum_{dead.pid}.db",
        f"counter_{dead.pid}.db",
        f"gauge_livemax_{os.getpid()}.db",
        "gauge_livesum_x.db",
    ]
    for name in names:
        (tmp_path / name).touch()
    forget_dead_workers(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(names[1:])
