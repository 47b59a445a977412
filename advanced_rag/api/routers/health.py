"""Health: from the prober's last results, never from a call made here (reliability R5.7)."""

from __future__ import annotations

from fastapi import APIRouter, Response

from advanced_rag.api.dependencies import HealthView
from advanced_rag.api.openapi import problems
from advanced_rag.api.schemas.health import HealthAnswer, LiveAnswer, ReadyAnswer
from advanced_rag.exceptions import DependencyUnavailable, LoadShed, SchemaMismatch, ShuttingDown, Starting
from advanced_rag.services.health import Readiness

router = APIRouter(tags=["operations"])


@router.get("/healthz", responses=problems(503))
async def health(view: HealthView, response: Response) -> HealthAnswer:
    """Every dependency as last seen; 503, with the same body, where this process cannot serve."""
    report = view.report()
    if not report.serving:
        response.status_code = 503
    return HealthAnswer.of(report)


@router.get("/healthz/live", responses=problems(503))
async def live(view: HealthView) -> LiveAnswer:
    """Whether this process runs at all: nothing else is looked at."""
    if not view.alive():
        raise LoadShed("the event loop has not run for too long")
    return LiveAnswer()


@router.get("/healthz/ready", responses=problems(503))
@router.get("/readiness", operation_id="readiness", responses=problems(503))
async def ready(view: HealthView) -> ReadyAnswer:
    """Whether this process should be sent requests."""
    readiness = view.readiness()
    if not readiness.ready:
        raise _why_not(readiness)
    return ReadyAnswer(status=readiness.status)


def _why_not(readiness: Readiness) -> Exception:
    reason = readiness.reason or readiness.status
    match readiness.status:
        case "starting":
            return Starting(reason)
        case "draining":
            return ShuttingDown(reason)
        case "schema-mismatch":
            return SchemaMismatch("database", reason)
        case _:
            return DependencyUnavailable("milvus", reason)
