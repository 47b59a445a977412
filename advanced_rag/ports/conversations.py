"""Ports to conversations and feedback. Errors as in `ports.documents`; a session of another tenant does not exist."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from advanced_rag.domain.documents import DocumentId, Metadata, Tenant
from advanced_rag.ports.documents import Page


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


class MessageStatus(StrEnum):
    """How far a message got: an answer that broke off is kept as what it is."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Vote(StrEnum):
    """A reader's judgement."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation."""

    id: str
    user_id: str | None
    title: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to append.

    `citations` is JSON as it was answered; `token_count` lets a history window be cut in SQL.
    """

    id: str
    role: Role
    content: str
    token_count: int
    citations: Sequence[Any] = field(default_factory=tuple)
    status: MessageStatus = MessageStatus.COMPLETE


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; `sequence` counts from 1 within its session without gaps."""

    id: str
    session_id: str
    sequence: int
    role: Role
    content: str
    citations: Sequence[Any]
    status: MessageStatus
    token_count: int
    created_at: datetime


class ConversationStore(Protocol):
    """Sessions and their messages."""

    async def create(
        self, tenant: Tenant, *, user_id: str | None = None, title: str = "", metadata: Metadata | None = None
    ) -> Session:
        """A new, empty session with a fresh id."""
        ...

    async def append(self, tenant: Tenant, session_id: str, messages: Sequence[NewMessage]) -> list[Message]:
        """All of these in order, in one transaction, gap-free under concurrency. Raises NotFound."""
        ...

    async def session(self, tenant: Tenant, session_id: str) -> Session | None:
        """One session."""
        ...

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        """Newest activity first."""
        ...

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        """Oldest first. Raises NotFound."""
        ...

    async def history(self, tenant: Tenant, session_id: str, *, max_tokens: int, max_messages: int) -> list[Message]:
        """The longest tail of complete messages that fits both bounds, oldest first. Raises NotFound."""
        ...

    async def delete(self, tenant: Tenant, session_id: str) -> bool:
        """With its messages and their feedback. False where there is none."""
        ...


class CitedDocuments(Protocol):
    """The documents behind citations."""

    async def created(self, tenant: Tenant, document_ids: Collection[DocumentId]) -> dict[DocumentId, datetime]:
        """Since when each of these that is there now has been there, in one statement.

        A document that was deleted and taken in again counts from then on; a replaced one from its first version.
        """
        ...


class Retention(Protocol):
    """Forgetting what is old."""

    async def expire(self, *, retention_days: int, limit: int) -> int:
        """Delete up to `limit` sessions without activity for that long, of every tenant; how many went."""
        ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """One caller's vote on one message."""

    id: str
    message_id: str
    caller: str
    vote: Vote
    comment: str
    created_at: datetime


class FeedbackStore(Protocol):
    """One vote a caller and message, changeable."""

    async def vote(self, tenant: Tenant, *, message_id: str, caller: str, vote: Vote, comment: str) -> Feedback:
        """Store or change the caller's vote. Raises NotFound for a message that is not the tenant's."""
        ...

    async def votes(self, tenant: Tenant, message_id: str) -> list[Feedback]:
        """All votes on a message, oldest first."""
        ...
