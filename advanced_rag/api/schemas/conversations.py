"""`/v1/chat/sessions`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel
from advanced_rag.api.schemas.chat import CitationAnswer
from advanced_rag.ports.conversations import Message, MessageStatus, Role, Session
from advanced_rag.ports.documents import Page


class SessionAnswer(AnswerModel):
    """A conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "s_01",
                    "user_id": "ines",
                    "title": "",
                    "metadata": {},
                    "created_at": "2026-03-01T09:00:00Z",
                    "updated_at": "2026-03-01T09:04:12Z",
                }
            ]
        }
    )

    id: str
    user_id: str | None
    title: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, session: Session) -> SessionAnswer:
        """One session."""
        return cls(
            id=session.id,
            user_id=session.user_id,
            title=session.title,
            metadata=dict(session.metadata),
            created_at=session.created_at,
            updated_at=session.updated_at,
        )


class SessionPageAnswer(AnswerModel):
    """A page of conversations, newest activity first."""

    sessions: list[SessionAnswer]
    next_cursor: str | None = Field(description="Opaque; null at the end.")
    request_id: str

    @classmethod
    def of(cls, page: Page[Session], *, request_id: str) -> SessionPageAnswer:
        """One page."""
        sessions = [SessionAnswer.of(session) for session in page.items]
        return cls(sessions=sessions, next_cursor=page.next_cursor, request_id=request_id)


class ListedCitationAnswer(CitationAnswer):
    """A citation as it stands now."""

    deleted: bool = Field(description="The document is gone: `title` says `deleted source`, `text` is empty.")


class MessageAnswer(AnswerModel):
    """One message of a conversation."""

    id: str
    session_id: str
    role: Role
    content: str
    citations: list[ListedCitationAnswer]
    status: MessageStatus
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> MessageAnswer:
        """One message."""
        return cls(
            id=message.id,
            session_id=message.session_id,
            role=message.role,
            content=message.content,
            citations=[ListedCitationAnswer(**citation) for citation in message.citations],
            status=message.status,
            created_at=message.created_at,
        )


class MessagePageAnswer(AnswerModel):
    """A page of a conversation's messages, oldest first."""

    messages: list[MessageAnswer]
    next_cursor: str | None = Field(description="Opaque; null at the end.")
    request_id: str

    @classmethod
    def of(cls, page: Page[Message], *, request_id: str) -> MessagePageAnswer:
        """One page."""
        messages = [MessageAnswer.of(message) for message in page.items]
        return cls(messages=messages, next_cursor=page.next_cursor, request_id=request_id)


class DeletedSessionAnswer(AnswerModel):
    """A conversation that is no more, with its messages and the votes on them."""

    id: str
    status: Literal["deleted"] = "deleted"
    request_id: str
