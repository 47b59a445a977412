"""What endpoints ask for by type."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from advanced_rag.api.state import (
    Answering,
    ApiState,
    Health,
    Indexing,
    Reading,
    Retrieving,
    state_of,
)
from advanced_rag.domain.documents import Tenant
from advanced_rag.telemetry.context import RequestContext, current_request

OPEN_TENANT: Final = Tenant("default")

# All of these are coroutines although none awaits: FastAPI runs a plain function in a thread.


async def _state(request: Request) -> ApiState:
    return state_of(request)


async def _tenant() -> Tenant:
    """Who is asking; every caller is the open tenant while there are no keys."""
    if (context := current_request()) is not None:
        context.tenant = OPEN_TENANT
    return OPEN_TENANT


async def _context() -> RequestContext:
    return current_request() or RequestContext(request_id="")


CurrentState = Annotated[ApiState, Depends(_state)]


async def _retrieval(state: CurrentState) -> Retrieving:
    return state.services.retrieval


async def _indexing(state: CurrentState) -> Indexing:
    return state.services.indexing


async def _documents(state: CurrentState) -> Reading:
    return state.services.documents


async def _answering(state: CurrentState) -> Answering:
    return state.services.answering


async def _health(state: CurrentState) -> Health:
    return state.services.health


CurrentTenant = Annotated[Tenant, Depends(_tenant)]
Context = Annotated[RequestContext, Depends(_context)]
Retriever = Annotated[Retrieving, Depends(_retrieval)]
Indexer = Annotated[Indexing, Depends(_indexing)]
Documents = Annotated[Reading, Depends(_documents)]
Answerer = Annotated[Answering, Depends(_answering)]
HealthView = Annotated[Health, Depends(_health)]
