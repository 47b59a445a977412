"""What guards report, and faults that repeat."""

from __future__ import annotations

import logging

import pytest

from advanced_rag.resilience.listener import BreakerState, Rejection, ResilienceListener, Transition
from advanced_rag.resilience.outcomes import Outcome
from advanced_rag.telemetry import resilience_events
from advanced_rag.telemetry.context import RequestContext, enter_request, leave_request
from advanced_rag.telemetry.fault_log import FaultLog
from advanced_rag.telemetry.log_lines import FIELDS_ATTRIBUTE
from advanced_rag.telemetry.metrics import BREAKER_STATES, Metrics
from advanced_rag.telemetry.resilience_events import ResilienceEvents
from tests.fakes.clock import FakeClock

OPENED = Transition(
    name="database",
    before=BreakerState.CLOSED,
    after=BreakerState.OPEN,
    cause="failures",
    generation=1,
    calls=20,
    failures=18,
    slow=0,
    unanswered_in_a_row=3,
    open_s=5.2,
)


def test_the_states_of_breakers_have_their_numbers() -> None:
    assert {state.value: number for number, state in enumerate(BreakerState)} == BREAKER_STATES


@pytest.mark.req("R1.12")
def test_a_transition_sets_the_gauge_counts_the_edge_and_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(version="1")
    listener: ResilienceListener = ResilienceEvents(metrics)
    listener.on_transition(OPENED)
    value = metrics.registry.get_sample_value
    assert value("rag_circuit_breaker_state", {"name": "database"}) == 2
    assert value("rag_circuit_breaker_transitions_total", {"name": "database", "to": "open"}) == 1
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "breaker database: closed -> open")
    assert getattr(record, FIELDS_ATTRIBUTE)["failures"] == 18


@pytest.mark.req("R2.6")
def test_permits_and_retries_are_counted_for_the_process_and_the_request() -> None:
    metrics = Metrics(version="1")
    listener: ResilienceListener = ResilienceEvents(metrics)
    context = RequestContext("r1")
    token = enter_request(context)
    listener.on_attempt("database", Outcome.SUCCESS, 0.1)
    listener.on_retry("database", attempt=1, sleep_s=0.05, error=OSError("x"))
    leave_request(token)
    listener.on_retry("database", attempt=2, sleep_s=0.05, error=OSError("x"))
    listener.on_in_flight("database", 7)
    listener.on_rejected("database", Rejection.CROWDED)
    value = metrics.registry.get_sample_value
    assert value("rag_retries_total", {"name": "database"}) == 2
    assert value("rag_bulkhead_in_flight", {"name": "database"}) == 7
    assert value("rag_bulkhead_rejected_total", {"name": "database"}) == 1
    assert context.retries == 1


@pytest.mark.req("R10.6")
def test_the_same_fault_is_written_once_a_second_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    faults = FaultLog(logging.getLogger(resilience_events.__name__), clock=clock)
    for _ in range(50):
        faults.report("milvus.semantic", "refused", code=2)
    assert faults.report("database", "refused")
    clock.advance(1.0)
    assert faults.report("milvus.semantic", "refused")
    first, other, again = [getattr(record, FIELDS_ATTRIBUTE) for record in caplog.records]
    assert first == {"fault": "milvus.semantic", "code": 2}
    assert other == {"fault": "database"}
    assert again == {"fault": "milvus.semantic", "repeated": 49}


@pytest.mark.req("R4.6")
def test_names_without_end_are_forgotten_from_the_oldest() -> None:
    faults = FaultLog(logging.getLogger("silent"), clock=FakeClock())
    assert all(faults.report(f"name {number}", "x") for number in range(5_000))
    assert not faults.report("name 4999", "x")
    assert faults.report("name 0", "x")
