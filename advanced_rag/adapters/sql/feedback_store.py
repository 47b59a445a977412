"""Votes on messages."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select

from advanced_rag.adapters.sql.column_types import AnyRow, Identifier, database_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import is_storable, refuse_unstorable
from advanced_rag.adapters.sql.tables import feedback, messages
from advanced_rag.adapters.sql.upsert import upsert
from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import Conflict, NotFound
from advanced_rag.ports.conversations import Feedback, Vote

_f = feedback.c


@dataclass(frozen=True, slots=True)
class SqlFeedbackStore:
    """`ports.conversations.FeedbackStore`. Each method is one statement."""

    pool: DbPool

    async def vote(self, tenant: Tenant, *, message_id: str, caller: str, vote: Vote, comment: str) -> Feedback:
        """Store or change the caller's vote on a message of the tenant; a changed vote keeps its id and its age."""
        refuse_unstorable(identifiers={"/caller": caller}, values={"/comment": comment})
        if not is_storable(message_id):
            raise NotFound("no such message")
        given = {
            "tenant": literal(tenant, Identifier),
            "id": literal(f"f_{uuid.uuid4().hex}", Identifier),
            "caller": literal(caller, Identifier),
            "message_id": messages.c.id,
            "vote": literal(vote.value),
            "comment": literal(comment),
            "created_at": database_now(),
        }
        own_message = select(*given.values()).where(messages.c.tenant == tenant, messages.c.id == message_id)
        async with _gone_is_not_found(), self.pool.write() as connection:
            insertion = upsert(connection, feedback).from_select(list(given), own_message)
            voting = insertion.on_conflict_do_update(
                index_elements=["tenant", "message_id", "caller"],
                set_={"vote": insertion.excluded.vote, "comment": insertion.excluded.comment},
            ).returning(feedback)
            row = (await connection.execute(voting)).one_or_none()
        if row is None:
            raise NotFound("no such message")
        return _feedback(row)

    async def votes(self, tenant: Tenant, message_id: str) -> list[Feedback]:
        """All votes on a message, oldest first."""
        if not is_storable(message_id):
            return []
        statement = votes_on(tenant, message_id)
        async with self.pool.read() as connection:
            return [_feedback(row) for row in await connection.execute(statement)]


def votes_on(tenant: Tenant, message_id: str) -> Any:
    """A message's votes, oldest first."""
    return select(feedback).where(_f.tenant == tenant, _f.message_id == message_id).order_by(_f.created_at, _f.id)


@asynccontextmanager
async def _gone_is_not_found() -> AsyncIterator[None]:
    try:
        yield
    except Conflict:  # the message was deleted between the look and the write
        raise NotFound("no such message") from None


def _feedback(row: AnyRow) -> Feedback:
    return Feedback(row.id, row.message_id, row.caller, Vote(row.vote), row.comment, row.created_at)
