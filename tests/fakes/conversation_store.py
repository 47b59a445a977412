"""Conversations and feedback in memory; passes the contract of the real ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from advanced_rag.domain.documents import Metadata, Tenant
from advanced_rag.exceptions import NotFound, ValidationError
from advanced_rag.ports.conversations import Feedback, Message, MessageStatus, NewMessage, Session, Vote
from advanced_rag.ports.documents import Page
from tests.fakes.storable import refuse_unstorable


@dataclass(slots=True)
class _Conversation:
    session: Session
    activity: int
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class FakeConversationStore:
    """ConversationStore, Retention and FeedbackStore. `now` is the database's clock."""

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _conversations: dict[tuple[Tenant, str], _Conversation] = field(default_factory=dict)
    _votes: dict[tuple[Tenant, str, str], Feedback] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def create(
        self, tenant: Tenant, *, user_id: str | None = None, title: str = "", metadata: Metadata | None = None
    ) -> Session:
        refuse_unstorable(
            {"/tenant": tenant, "/user_id": user_id}, {"/title": title, "/metadata": dict(metadata or {})}
        )
        number, now = next(self._numbers), self.now()
        session = Session(f"s_{number}", user_id, title, dict(metadata or {}), now, now)
        self._conversations[tenant, session.id] = _Conversation(session, number)
        return session

    async def append(self, tenant: Tenant, session_id: str, new: Sequence[NewMessage]) -> list[Message]:
        for position, message in enumerate(new):
            refuse_unstorable(
                {f"/messages/{position}/id": message.id},
                {
                    f"/messages/{position}/content": message.content,
                    f"/messages/{position}/citations": list(message.citations),
                },
            )
        conversation = self._found(tenant, session_id)
        wanted = [message.id for message in new]
        stored = [message for message in conversation.messages if message.id in wanted]
        if stored:
            return stored
        now = self.now()
        conversation.activity = next(self._numbers)
        conversation.session = replace(conversation.session, updated_at=now)
        added = [
            Message(
                message.id,
                session_id,
                sequence,
                message.role,
                message.content,
                list(message.citations),
                message.status,
                message.token_count,
                now,
            )
            for sequence, message in enumerate(new, start=len(conversation.messages) + 1)
        ]
        conversation.messages += added
        return added

    async def session(self, tenant: Tenant, session_id: str) -> Session | None:
        conversation = self._conversations.get((tenant, session_id))
        return None if conversation is None else conversation.session

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        before = _position(cursor)
        found = [
            conversation
            for (owner, _), conversation in self._conversations.items()
            if owner == tenant
            and (user_id is None or conversation.session.user_id == user_id)
            and (before is None or conversation.activity < before)
        ]
        found.sort(key=lambda conversation: -conversation.activity)
        more = len(found) > limit
        items = tuple(conversation.session for conversation in found[:limit])
        return Page(items, f"at:{found[limit - 1].activity}" if more else None)

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        after = _position(cursor) or 0
        found = [message for message in self._found(tenant, session_id).messages if message.sequence > after]
        return Page(tuple(found[:limit]), f"at:{found[limit - 1].sequence}" if len(found) > limit else None)

    async def history(self, tenant: Tenant, session_id: str, *, max_tokens: int, max_messages: int) -> list[Message]:
        complete = [
            message for message in self._found(tenant, session_id).messages if message.status is MessageStatus.COMPLETE
        ]
        tail: list[Message] = []
        for message in reversed(complete[-max_messages:] if max_messages else []):
            if sum(kept.token_count for kept in tail) + message.token_count > max_tokens:
                break
            tail.insert(0, message)
        return tail

    async def delete(self, tenant: Tenant, session_id: str) -> bool:
        conversation = self._conversations.pop((tenant, session_id), None)
        if conversation is None:
            return False
        gone = {message.id for message in conversation.messages}
        for key in [key for key in self._votes if key[0] == tenant and key[1] in gone]:
            del self._votes[key]
        return True

    async def expire(self, *, retention_days: int, limit: int) -> int:
        if retention_days < 1:
            return 0
        oldest = self.now() - timedelta(days=retention_days)
        silent = sorted(
            (conversation.session.updated_at, tenant, session_id)
            for (tenant, session_id), conversation in self._conversations.items()
            if conversation.session.updated_at < oldest
        )
        for _, tenant, session_id in silent[:limit]:
            await self.delete(tenant, session_id)
        return len(silent[:limit])

    async def vote(self, tenant: Tenant, *, message_id: str, caller: str, vote: Vote, comment: str) -> Feedback:
        refuse_unstorable({"/caller": caller}, {"/comment": comment})
        if not any(
            message.id == message_id
            for (owner, _), conversation in self._conversations.items()
            if owner == tenant
            for message in conversation.messages
        ):
            raise NotFound("no such message")
        key = (tenant, message_id, caller)
        earlier = self._votes.get(key)
        if earlier is None:
            earlier = Feedback(f"f_{next(self._numbers)}", message_id, caller, vote, comment, self.now())
        self._votes[key] = replace(earlier, vote=vote, comment=comment)
        return self._votes[key]

    async def votes(self, tenant: Tenant, message_id: str) -> list[Feedback]:
        return [vote for (owner, of, _), vote in self._votes.items() if owner == tenant and of == message_id]

    def set_last_activity(self, tenant: Tenant, session_id: str, moment: datetime) -> None:
        """Pretend that the session has been silent since then."""
        conversation = self._conversations[tenant, session_id]
        conversation.session = replace(conversation.session, updated_at=moment)

    def _found(self, tenant: Tenant, session_id: str) -> _Conversation:
        conversation = self._conversations.get((tenant, session_id))
        if conversation is None:
            raise NotFound("no such session")
        return conversation


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.startswith("at:"):
        raise ValidationError.of("/cursor", "invalid", "is not a cursor of this listing")
    return int(cursor.removeprefix("at:"))
