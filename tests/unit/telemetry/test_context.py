from __future__ import annotations

import asyncio
import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.telemetry.context import RequestContext, current_request, enter_request, leave_request, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_callers_trace_goes_on_with_our_own_span() -> None:
    trace = trace_of(f"00-{TRACE}-{SPAN}-01")
    assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE, SPAN, "01")
    assert trace.span_id != SPAN
    assert trace.traceparent == f"00-{TRACE}-{trace.span_id}-01"


def test_of_a_later_version_the_first_four_fields_are_read() -> None:
    assert trace_of(f"01-{TRACE}-{SPAN}-01").trace_id == TRACE
    assert trace_of(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f" 00-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
    ],
)
def test_anything_else_begins_a_new_trace(header: str | None) -> None:
    trace = trace_of(header)
    assert trace.trace_id != TRACE
    assert (len(trace.trace_id), len(trace.span_id), trace.parent_id) == (32, 16, "")


@given(st.text(max_size=80))
def test_no_header_makes_a_trace_that_cannot_be_sent_on(header: str) -> None:
    trace = trace_of(header)
    assert trace_of(trace.traceparent).trace_id == trace.trace_id


async def test_what_an_inner_task_learns_reaches_the_outer_line() -> None:
    context = RequestContext("r1")
    token = enter_request(context)

    async def inner() -> None:
        request = current_request()
        assert request is not None
        request.retries += 1

    await asyncio.create_task(inner())
    await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, _retry)
    leave_request(token)
    assert context.retries == 2
    assert current_request() is None


def _retry() -> None:
    request = current_request()
    assert request is not None
    request.retries += 1
