"""A job's progress as server-sent events (WHATWG HTML, section 9.2).

The first line asks for a reconnection after a second: a stream that ends before its job does, because this process is
draining or the request's deadline is near, is simply opened again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from advanced_rag.api.errors import problem_of
from advanced_rag.api.problem_response import problem_document
from advanced_rag.api.schemas.jobs import JobAnswer, WholeJobAnswer
from advanced_rag.exceptions import RAGException
from advanced_rag.ports.jobs import Job
from advanced_rag.resilience.deadline import remaining_s

EVENT_STREAM: Final = "text/event-stream"
STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_RETRY: Final = "retry: 1000\n\n"
_HEARTBEAT: Final = ": hb\n\n"
_HEARTBEAT_S: Final = 15.0
_DEADLINE_MARGIN_S: Final = 2.0


async def job_events(looks: AsyncIterator[Job], *, request_id: str) -> AsyncIterator[str]:
    """`progress` whenever the job has changed, then `done` with the whole job; `error` where it cannot be asked."""
    clock = asyncio.get_running_loop().time
    seen: JobAnswer | None = None
    said_at = clock()
    yield _RETRY
    try:
        async for job in looks:
            if job.state.is_finished:
                yield _event("done", WholeJobAnswer.whole(job, request_id=request_id))
                return
            shown = JobAnswer.of(job)
            if shown != seen:
                yield _event("progress", shown)
                seen, said_at = shown, clock()
            elif clock() - said_at >= _HEARTBEAT_S:
                yield _HEARTBEAT
                said_at = clock()
            if remaining_s() < _DEADLINE_MARGIN_S:
                return
    except RAGException as error:
        yield f"event: error\ndata: {json.dumps(problem_document(problem_of(error), request_id))}\n\n"


def wants_events(accept: str) -> bool:
    """Whether an `Accept` header names the event stream."""
    return any(part.partition(";")[0].strip().lower() == EVENT_STREAM for part in accept.split(","))


def _event(name: str, answer: Any) -> str:
    return f"event: {name}\ndata: {answer.model_dump_json(exclude_unset=True)}\n\n"
