"""Conversations: sessions and their messages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.column_types import AnyRow, Instant, among, database_now
from advanced_rag.adapters.sql.cursors import decoded_cursor, encoded_cursor
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import is_storable, refuse_unstorable
from advanced_rag.adapters.sql.tables import messages, sessions
from advanced_rag.domain.documents import Metadata, Tenant
from advanced_rag.exceptions import Conflict, NotFound
from advanced_rag.ports.conversations import Message, MessageStatus, NewMessage, Role, Session
from advanced_rag.ports.documents import Page

_SESSIONS_CURSOR: Final = "sessions"
_MESSAGES_CURSOR: Final = "messages"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_s, _m = sessions.c, messages.c


@dataclass(frozen=True, slots=True)
class SqlConversationStore:
    """`ports.conversations.ConversationStore`. Each method is one transaction."""

    pool: DbPool

    async def create(
        self, tenant: Tenant, *, user_id: str | None = None, title: str = "", metadata: Metadata | None = None
    ) -> Session:
        """A new, empty session with a fresh id."""
        refuse_unstorable(
            identifiers={"/tenant": tenant, "/user_id": user_id},
            values={"/title": title, "/metadata": metadata or {}},
        )
        row = {
            "tenant": tenant,
            "id": f"s_{uuid.uuid4().hex}",
            "user_id": user_id,
            "title": title,
            "metadata": dict(metadata or {}),
            "last_sequence": 0,
        }
        creation = insert(sessions).values(created_at=database_now(), updated_at=database_now()).returning(sessions)
        async with self.pool.write() as connection:
            return _session((await connection.execute(creation, row)).one())

    async def append(self, tenant: Tenant, session_id: str, new: Sequence[NewMessage]) -> list[Message]:
        """All of these in order; see the port. The session's row is locked, so that numbers follow without gaps.

        Messages of these ids that are there already are answered as they are: so a call whose COMMIT was lost on the
        way may be made again.
        """
        for position, message in enumerate(new):
            refuse_unstorable(
                identifiers={f"/messages/{position}/id": message.id},
                values={
                    f"/messages/{position}/content": message.content,
                    f"/messages/{position}/citations": message.citations,
                },
            )
        try:
            async with self.pool.write() as connection:
                return await _appended(connection, tenant, session_id, new)
        except Conflict:
            stored = await self._stored_already(tenant, session_id, new)
            if stored is None:
                raise
            return stored

    async def session(self, tenant: Tenant, session_id: str) -> Session | None:
        """One session."""
        if not is_storable(session_id):
            return None
        async with self.pool.read() as connection:
            row = (await connection.execute(select(sessions).where(*_is_session(tenant, session_id)))).one_or_none()
        return None if row is None else _session(row)

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        """Newest activity first."""
        statement = session_listing(tenant, user_id=user_id, limit=limit + 1)
        if cursor is not None:
            microseconds, last_id = decoded_cursor(_SESSIONS_CURSOR, cursor, (int, str))
            last = tuple_(
                bindparam("last_at", _moment(microseconds), type_=Instant()), bindparam("last_id", last_id, String())
            )
            statement = statement.where(tuple_(_s.updated_at, _s.id) < last)
        if user_id is not None and not is_storable(user_id):
            return Page((), None)
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement)).all()
        items = tuple(_session(row) for row in rows[:limit])
        if len(rows) <= limit or not items:
            return Page(items, None)
        position = ((items[-1].updated_at - _EPOCH) // _MICROSECOND, items[-1].id)
        return Page(items, encoded_cursor(_SESSIONS_CURSOR, position))

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        """Oldest first."""
        after = 0
        if cursor is not None:
            after = int(decoded_cursor(_MESSAGES_CURSOR, cursor, (int,))[0])
        rows = await self._of_session(tenant, session_id, MESSAGES_AFTER, {"after": after, "limit": limit + 1})
        items = tuple(_message(row) for row in rows[:limit])
        more = len(rows) > limit and items
        return Page(items, encoded_cursor(_MESSAGES_CURSOR, (items[-1].sequence,)) if more else None)

    async def history(self, tenant: Tenant, session_id: str, *, max_tokens: int, max_messages: int) -> list[Message]:
        """The longest tail of complete messages that fits both bounds, oldest first."""
        bounds = {"max_tokens": max_tokens, "max_messages": max_messages}
        return [_message(row) for row in await self._of_session(tenant, session_id, HISTORY, bounds)]

    async def delete(self, tenant: Tenant, session_id: str) -> bool:
        """With its messages and their feedback."""
        if not is_storable(session_id):
            return False
        async with self.pool.write() as connection:
            gone = await connection.execute(delete(sessions).where(*_is_session(tenant, session_id)))
        return gone.rowcount > 0

    async def _of_session(
        self, tenant: Tenant, session_id: str, statement: Select[Any], values: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        if not is_storable(session_id):
            raise NotFound("no such session")
        async with self.pool.read() as connection:
            found = await connection.execute(statement, {"tenant": tenant, "session_id": session_id, **values})
            rows: Sequence[AnyRow] = found.all()
            if not rows and not await _exists(connection, tenant, session_id):
                raise NotFound("no such session")
        return rows

    async def _stored_already(self, tenant: Tenant, session_id: str, new: Sequence[NewMessage]) -> list[Message] | None:
        statement = select(messages).where(
            _m.tenant == tenant, _m.session_id == session_id, among(_m.id, [message.id for message in new])
        )
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement.order_by(_m.sequence))).all()
        stored = [_message(row) for row in rows]
        return stored if [message.id for message in stored] == [message.id for message in new] else None


def session_listing(tenant: Tenant, *, user_id: str | None, limit: int) -> Any:
    """A tenant's sessions, or those of one of its users."""
    statement = select(sessions).where(_s.tenant == tenant)
    if user_id is not None:
        statement = statement.where(_s.user_id == user_id)
    return statement.order_by(_s.updated_at.desc(), _s.id.desc()).limit(limit)


def _history() -> Select[Any]:
    last = (
        select(messages)
        .where(*_OF_SESSION, _m.status == MessageStatus.COMPLETE.value)
        .order_by(_m.sequence.desc())
        .limit(bindparam("max_messages", type_=Integer()))
        .subquery()
    )
    tokens = func.sum(last.c.token_count).over(order_by=last.c.sequence.desc()).label("tokens")
    summed = select(last, tokens).subquery()
    fits = summed.c.tokens <= bindparam("max_tokens", type_=BigInteger())
    return select(summed).where(fits).order_by(summed.c.sequence)


# Built once: to put such a statement together takes longer than the database takes to answer it.
_OF_SESSION: Final = (_m.tenant == bindparam("tenant"), _m.session_id == bindparam("session_id"))
MESSAGES_AFTER: Final = (
    select(messages)
    .where(*_OF_SESSION, _m.sequence > bindparam("after", type_=BigInteger()))
    .order_by(_m.sequence)
    .limit(bindparam("limit", type_=Integer()))
)
# Of the last `max_messages` those that fit into `max_tokens`: the sum is taken over no more rows than that.
HISTORY: Final = _history()


async def _appended(
    connection: AsyncConnection, tenant: Tenant, session_id: str, new: Sequence[NewMessage]
) -> list[Message]:
    last: int | None = None
    if is_storable(session_id):
        numbering = (
            update(sessions)
            .where(*_is_session(tenant, session_id))
            .values(last_sequence=_s.last_sequence + len(new), updated_at=database_now())
            .returning(_s.last_sequence)
        )
        last = (await connection.execute(numbering)).scalar_one_or_none()
    if last is None:
        raise NotFound("no such session")
    if not new:
        return []
    rows = [
        _message_row(tenant, session_id, sequence, message)
        for sequence, message in enumerate(new, start=last - len(new) + 1)
    ]
    writing = insert(messages).values(created_at=database_now()).returning(messages)
    return sorted(map(_message, await connection.execute(writing, rows)), key=lambda message: message.sequence)


async def _exists(connection: AsyncConnection, tenant: Tenant, session_id: str) -> bool:
    return (await connection.execute(select(_s.id).where(*_is_session(tenant, session_id)))).first() is not None


def _is_session(tenant: Tenant, session_id: str) -> tuple[Any, ...]:
    return (and_(_s.tenant == tenant, _s.id == session_id),)


def _moment(microseconds: Any) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _message_row(tenant: Tenant, session_id: str, sequence: int, message: NewMessage) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "id": message.id,
        "session_id": session_id,
        "sequence": sequence,
        "role": message.role.value,
        "content": message.content,
        "citations": list(message.citations),
        "status": message.status.value,
        "token_count": message.token_count,
    }


def _session(row: AnyRow) -> Session:
    return Session(row.id, row.user_id, row.title, row.metadata, row.created_at, row.updated_at)


def _message(row: AnyRow) -> Message:
    return Message(
        id=row.id,
        session_id=row.session_id,
        sequence=row.sequence,
        role=Role(row.role),
        content=row.content,
        citations=row.citations,
        status=MessageStatus(row.status),
        token_count=row.token_count,
        created_at=row.created_at,
    )
