"""`/v1/chat/sessions`: conversations, their messages, and their end."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from advanced_rag.api.dependencies import Context, Conversations, CurrentTenant
from advanced_rag.api.openapi import problems
from advanced_rag.api.schemas.base import Identifier
from advanced_rag.api.schemas.conversations import DeletedSessionAnswer, MessagePageAnswer, SessionPageAnswer

MAX_SESSIONS: Final = 1_000
MAX_MESSAGES: Final = 200  # a message is long, and its citations are read with it
DEFAULT_PAGE: Final = 50
MAX_CURSOR_CHARS: Final = 1_024

router = APIRouter(prefix="/chat/sessions", tags=["chat"])

PathId = Annotated[Identifier, Path()]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)]


@router.get("", responses=problems(422, 503, 504))
async def list_sessions(
    tenant: CurrentTenant,
    conversations: Conversations,
    context: Context,
    user_id: Annotated[Identifier | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_SESSIONS)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> SessionPageAnswer:
    """The conversations, of one user or of all, newest activity first."""
    page = await conversations.sessions(tenant, user_id=user_id, limit=limit, cursor=cursor)
    return SessionPageAnswer.of(page, request_id=context.request_id)


@router.get("/{id}/messages", responses=problems(404, 422, 503, 504))
async def list_messages(
    id: PathId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    conversations: Conversations,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=MAX_MESSAGES)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> MessagePageAnswer:
    """The messages of one conversation, oldest first."""
    page = await conversations.messages(tenant, id, limit=limit, cursor=cursor)
    return MessagePageAnswer.of(page, request_id=context.request_id)


@router.delete("/{id}", responses=problems(404, 422, 503, 504))
async def delete_session(
    id: PathId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    conversations: Conversations,
    context: Context,
) -> DeletedSessionAnswer:
    """Delete a conversation with its messages and the votes on them."""
    await conversations.delete(tenant, id)
    return DeletedSessionAnswer(id=id, request_id=context.request_id)
