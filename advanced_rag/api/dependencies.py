"""What endpoints ask for by type."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from advanced_rag.api.state import (
    Amending,
    Answering,
    ApiState,
    Conversing,
    Health,
    Indexing,
    Judging,
    Queueing,
    Reading,
    Removing,
    Retrieving,
    Uploading,
    state_of,
)
from advanced_rag.domain.documents import Tenant
from advanced_rag.telemetry.context import RequestContext, current_request

OPEN_TENANT: Final = Tenant("default")
OPEN_CALLER: Final = "open"

# All of these are coroutines although none awaits: FastAPI runs a plain function in a thread. None depends on another:
# every level is walked in each request.


async def _state(request: Request) -> ApiState:
    return state_of(request)


async def _tenant() -> Tenant:
    """Who is asking; every caller is the open tenant while there are no keys."""
    if (context := current_request()) is not None:
        context.tenant = OPEN_TENANT
    return OPEN_TENANT


async def _caller() -> str:
    """Whose vote it is: the id of an API key, once there are keys; until then all callers are one."""
    return OPEN_CALLER


async def _context() -> RequestContext:
    return current_request() or RequestContext(request_id="")


CurrentState = Annotated[ApiState, Depends(_state)]


async def _retrieval(request: Request) -> Retrieving:
    return state_of(request).services.retrieval


async def _indexing(request: Request) -> Indexing:
    return state_of(request).services.indexing


async def _uploads(request: Request) -> Uploading:
    return state_of(request).services.uploads


async def _jobs(request: Request) -> Queueing:
    return state_of(request).services.jobs


async def _documents(request: Request) -> Reading:
    return state_of(request).services.documents


async def _amending(request: Request) -> Amending:
    return state_of(request).services.amending


async def _removal(request: Request) -> Removing:
    return state_of(request).services.removal


async def _answering(request: Request) -> Answering:
    return state_of(request).services.answering


async def _conversations(request: Request) -> Conversing:
    return state_of(request).services.conversations


async def _feedback(request: Request) -> Judging:
    return state_of(request).services.feedback


async def _health(request: Request) -> Health:
    return state_of(request).services.health


CurrentTenant = Annotated[Tenant, Depends(_tenant)]
CurrentCaller = Annotated[str, Depends(_caller)]
Context = Annotated[RequestContext, Depends(_context)]
Retriever = Annotated[Retrieving, Depends(_retrieval)]
Indexer = Annotated[Indexing, Depends(_indexing)]
Uploader = Annotated[Uploading, Depends(_uploads)]
Jobs = Annotated[Queueing, Depends(_jobs)]
Documents = Annotated[Reading, Depends(_documents)]
Amender = Annotated[Amending, Depends(_amending)]
Remover = Annotated[Removing, Depends(_removal)]
Answerer = Annotated[Answering, Depends(_answering)]
Conversations = Annotated[Conversing, Depends(_conversations)]
Voting = Annotated[Judging, Depends(_feedback)]
HealthView = Annotated[Health, Depends(_health)]
