"""`/v1/jobs`: how far an asynchronous ingest has got, and its end."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Response
from starlette.responses import StreamingResponse

from advanced_rag.api.dependencies import Context, CurrentTenant, Jobs
from advanced_rag.api.job_events import EVENT_STREAM, STREAM_HEADERS, job_events, wants_events
from advanced_rag.api.openapi import problems
from advanced_rag.api.routers.documents import DEFAULT_PAGE, MAX_CURSOR_CHARS, MAX_PAGE
from advanced_rag.api.schemas.base import Identifier
from advanced_rag.api.schemas.jobs import JobPageAnswer, WholeJobAnswer

_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}, "description": "The job, or its progress."}
}
_MEDIA_TYPE: Final = "application/json"

router = APIRouter(prefix="/jobs", tags=["documents"])

JobId = Annotated[Identifier, Path()]


@router.get("", responses=problems(422, 503, 504))
async def list_jobs(
    tenant: CurrentTenant,
    jobs: Jobs,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
) -> JobPageAnswer:
    """The jobs, newest first; finished ones are kept for some days."""
    return JobPageAnswer.of(await jobs.jobs(tenant, limit=limit, cursor=cursor), request_id=context.request_id)


@router.get("/{id}", response_model=WholeJobAnswer, responses={**_STREAMED, **problems(404, 422, 503, 504)})
async def get_job(
    id: JobId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    jobs: Jobs,
    context: Context,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """One job with what became of its documents; with `Accept: text/event-stream` as it goes on, until its end."""
    job = await jobs.job(tenant, id)
    if wants_events(accept):
        events = job_events(jobs.watch(tenant, id), request_id=context.request_id)
        return StreamingResponse(events, headers=STREAM_HEADERS, media_type=EVENT_STREAM)
    whole = WholeJobAnswer.whole(job, request_id=context.request_id)
    return Response(whole.model_dump_json(exclude_unset=True), media_type=_MEDIA_TYPE)


@router.delete("/{id}", response_model_exclude_unset=True, responses=problems(404, 409, 422, 503, 504))
async def cancel_job(
    id: JobId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    jobs: Jobs,
    context: Context,
) -> WholeJobAnswer:
    """Cancel a job: documents that are in stay in, a group under way is finished, nothing more is begun."""
    return WholeJobAnswer.whole(await jobs.cancel(tenant, id), request_id=context.request_id)
