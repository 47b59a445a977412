"""What every store of conversations and feedback keeps to: the fake, SQLite and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import NotFound, ValidationError
from advanced_rag.ports.conversations import (
    ConversationStore,
    FeedbackStore,
    MessageStatus,
    NewMessage,
    Retention,
    Role,
    Session,
    Vote,
)

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
TICK_S = 0.002  # SQLite's clock counts milliseconds


@dataclass(frozen=True, slots=True)
class ConversationPorts:
    """The three ports over one database. `age` makes a session that many days older than it is."""

    conversations: ConversationStore
    retention: Retention
    feedback: FeedbackStore
    age: Callable[[Tenant, str, float], Awaitable[None]]


def said(message_id: str, content: str = "text", *, tokens: int = 1, **rest: Any) -> NewMessage:
    """A user's message."""
    return NewMessage(message_id, rest.pop("role", Role.USER), content, tokens, **rest)


async def contents(ports: ConversationPorts, session: Session, *, tenant: Tenant = ACME) -> list[tuple[int, str]]:
    """(sequence, content) of all messages, read in small pages."""
    found, cursor = [], None
    while True:
        page = await ports.conversations.messages(tenant, session.id, limit=7, cursor=cursor)
        found += [(message.sequence, message.content) for message in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def listed(ports: ConversationPorts, *, tenant: Tenant = ACME, user_id: str | None = None) -> list[str]:
    """Ids of all sessions, read in small pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = await ports.conversations.sessions(tenant, user_id=user_id, limit=2, cursor=cursor)
        assert len(page.items) <= 2
        found += [session.id for session in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


class ConversationStoreContract:
    """A subclass gives empty `ports`."""

    async def test_a_new_session_is_empty_and_read_back_as_it_was(self, ports: ConversationPorts) -> None:
        metadata = {"channel": "web", "nested": [1, 0.1, None, {"ß": True}]}
        made = await ports.conversations.create(ACME, user_id="u/1", title="Spare keys 🗝", metadata=metadata)
        assert (made.user_id, made.title, made.metadata) == ("u/1", "Spare keys 🗝", metadata)
        assert made.created_at == made.updated_at
        assert await ports.conversations.session(ACME, made.id) == made
        assert await contents(ports, made) == []
        assert await ports.conversations.history(ACME, made.id, max_tokens=9, max_messages=9) == []
        assert (await ports.conversations.create(ACME)).id != made.id

    async def test_messages_are_read_back_as_they_were(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        citations = [{"n": 1, "chunk_id": "c_9", "score": 0.83, "title": "Keys: «Ä»"}]
        question = said("m1", "Where are\r\n\tthe keys?\u2028", tokens=7)
        answer = said(
            "m2", "In cabinet B [1].", role=Role.ASSISTANT, citations=citations, status=MessageStatus.INTERRUPTED
        )
        added = await ports.conversations.append(ACME, session.id, [question, answer])
        page = await ports.conversations.messages(ACME, session.id, limit=10)
        assert list(page.items) == added
        assert page.next_cursor is None
        first, second = added
        assert (first.id, first.session_id, first.sequence, first.role) == ("m1", session.id, 1, Role.USER)
        assert (first.content, first.token_count, list(first.citations)) == ("Where are\r\n\tthe keys?\u2028", 7, [])
        assert (second.sequence, second.role, second.status) == (2, Role.ASSISTANT, MessageStatus.INTERRUPTED)
        assert second.citations == citations

    async def test_appending_again_what_is_there_changes_nothing(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said("m0")])
        both = [said("m1", "one"), said("m2", "two")]
        added = await ports.conversations.append(ACME, session.id, both)
        assert await ports.conversations.append(ACME, session.id, both) == added
        assert [sequence for sequence, _ in await contents(ports, session)] == [1, 2, 3]

    async def test_appending_to_no_session_is_refused(self, ports: ConversationPorts) -> None:
        for missing in ("none", "a\0b", "\ud800"):
            with pytest.raises(NotFound):
                await ports.conversations.append(ACME, missing, [said("m")])
            with pytest.raises(NotFound):
                await ports.conversations.messages(ACME, missing, limit=1)
            with pytest.raises(NotFound):
                await ports.conversations.history(ACME, missing, max_tokens=1, max_messages=1)
            assert await ports.conversations.session(ACME, missing) is None
            assert not await ports.conversations.delete(ACME, missing)

    async def test_fifty_appenders_at_once_leave_no_gap(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)

        async def append(writer: int) -> None:
            for number in range(3):
                pair = [said(f"{writer}-{number}-{half}", f"{writer} {number} {half}") for half in range(2)]
                first, second = await ports.conversations.append(ACME, session.id, pair)
                assert second.sequence == first.sequence + 1

        await asyncio.gather(*(append(writer) for writer in range(50)))
        found = await contents(ports, session)
        assert [sequence for sequence, _ in found] == list(range(1, 301))
        for writer in range(50):  # each one's own order is kept
            own = [content for _, content in found if content.startswith(f"{writer} ")]
            assert own == [f"{writer} {number} {half}" for number in range(3) for half in range(2)]

    async def test_pages_of_messages_follow_without_gap_or_repetition(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said(f"m{number}", str(number)) for number in range(20)])
        assert await contents(ports, session) == [(number + 1, str(number)) for number in range(20)]
        page = await ports.conversations.messages(ACME, session.id, limit=20)
        assert page.next_cursor is None

    async def test_the_history_is_the_longest_tail_that_fits(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        tokens = [5, 1, 2, 3, 4]
        await ports.conversations.append(
            ACME, session.id, [said(f"m{index}", str(index), tokens=count) for index, count in enumerate(tokens)]
        )

        async def tail(max_tokens: int, max_messages: int) -> list[str]:
            found = await ports.conversations.history(
                ACME, session.id, max_tokens=max_tokens, max_messages=max_messages
            )
            return [message.content for message in found]

        assert await tail(100, 100) == ["0", "1", "2", "3", "4"]
        assert await tail(100, 2) == ["3", "4"]
        assert await tail(9, 100) == ["2", "3", "4"]
        assert await tail(8, 100) == ["3", "4"]
        assert await tail(3, 100) == []  # never a later gap: the last message alone is too long
        assert await tail(100, 0) == []
        assert await tail(10, 4) == ["1", "2", "3", "4"]

    async def test_the_history_leaves_out_what_broke_off(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        statuses = [MessageStatus.COMPLETE, MessageStatus.FAILED, MessageStatus.COMPLETE, MessageStatus.INTERRUPTED]
        await ports.conversations.append(
            ACME, session.id, [said(f"m{index}", str(index), status=status) for index, status in enumerate(statuses)]
        )
        found = await ports.conversations.history(ACME, session.id, max_tokens=10, max_messages=2)
        assert [message.content for message in found] == ["0", "2"]

    async def test_sessions_come_newest_activity_first(self, ports: ConversationPorts) -> None:
        made = []
        for _ in range(5):
            made.append((await ports.conversations.create(ACME)).id)
            await asyncio.sleep(TICK_S)
        assert await listed(ports) == made[::-1]
        await ports.conversations.append(ACME, made[1], [said("m")])
        assert await listed(ports) == [made[1], made[4], made[3], made[2], made[0]]

    async def test_sessions_of_one_instant_are_all_listed_once(self, ports: ConversationPorts) -> None:
        made = await asyncio.gather(*(ports.conversations.create(ACME) for _ in range(9)))
        found = await listed(ports)
        assert sorted(found) == sorted(session.id for session in made)

    async def test_sessions_of_one_user_are_listed_alone(self, ports: ConversationPorts) -> None:
        for user in ("ann", "bob", "ann", None):
            await ports.conversations.create(ACME, user_id=user)
            await asyncio.sleep(TICK_S)
        assert len(await listed(ports, user_id="ann")) == 2
        assert len(await listed(ports, user_id="none such")) == 0
        assert len(await listed(ports)) == 4

    @pytest.mark.parametrize("cursor", ["", "x", "e30", "W10", "\ud800", "WyJzZXNzaW9ucyJd"])
    async def test_a_cursor_that_is_not_ours_is_refused(self, ports: ConversationPorts, cursor: str) -> None:
        session = await ports.conversations.create(ACME)
        with pytest.raises(ValidationError) as refusal:
            await ports.conversations.sessions(ACME, limit=2, cursor=cursor)
        assert [error.loc for error in refusal.value.errors] == ["/cursor"]
        with pytest.raises(ValidationError):
            await ports.conversations.messages(ACME, session.id, limit=2, cursor=cursor)

    async def test_deleting_takes_messages_and_votes_along(self, ports: ConversationPorts) -> None:
        session, other = await ports.conversations.create(ACME), await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said("m1")])
        await ports.conversations.append(ACME, other.id, [said("m2")])
        for message_id in ("m1", "m2"):
            await ports.feedback.vote(ACME, message_id=message_id, caller="ann", vote=Vote.UP, comment="")
        assert await ports.conversations.delete(ACME, session.id)
        assert not await ports.conversations.delete(ACME, session.id)
        assert await ports.conversations.session(ACME, session.id) is None
        with pytest.raises(NotFound):
            await ports.conversations.messages(ACME, session.id, limit=1)
        assert await ports.feedback.votes(ACME, "m1") == []
        with pytest.raises(NotFound):
            await ports.feedback.vote(ACME, message_id="m1", caller="ann", vote=Vote.UP, comment="")
        assert len(await ports.feedback.votes(ACME, "m2")) == 1

    async def test_silent_sessions_expire_in_batches(self, ports: ConversationPorts) -> None:
        old = [await ports.conversations.create(ACME if number % 2 else GLOBEX) for number in range(5)]
        for number, session in enumerate(old):
            await ports.age(ACME if number % 2 else GLOBEX, session.id, 31)
        recent = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, recent.id, [said("m")])
        await ports.age(ACME, recent.id, 29)
        assert await ports.retention.expire(retention_days=30, limit=3) == 3
        assert await ports.retention.expire(retention_days=30, limit=3) == 2
        assert await ports.retention.expire(retention_days=30, limit=3) == 0
        assert await listed(ports) == [recent.id]
        assert await contents(ports, recent) == [(1, "text")]
        assert await listed(ports, tenant=GLOBEX) == []

    async def test_without_a_retention_nothing_expires(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.age(ACME, session.id, 10_000)
        assert await ports.retention.expire(retention_days=0, limit=10) == 0
        assert await listed(ports) == [session.id]

    async def test_activity_keeps_a_session_alive(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.age(ACME, session.id, 31)
        await ports.conversations.append(ACME, session.id, [said("m")])
        assert await ports.retention.expire(retention_days=30, limit=10) == 0

    async def test_a_caller_has_one_vote_and_may_change_it(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said("m")])
        first = await ports.feedback.vote(ACME, message_id="m", caller="ann", vote=Vote.UP, comment="good")
        await asyncio.sleep(TICK_S)
        other = await ports.feedback.vote(ACME, message_id="m", caller="bob", vote=Vote.UP, comment="")
        changed = await ports.feedback.vote(ACME, message_id="m", caller="ann", vote=Vote.DOWN, comment="no: Ä🗝")
        assert (changed.id, changed.created_at) == (first.id, first.created_at)
        assert (changed.vote, changed.comment) == (Vote.DOWN, "no: Ä🗝")
        assert await ports.feedback.votes(ACME, "m") == [changed, other]
        assert await ports.feedback.votes(ACME, "none") == []

    async def test_twenty_votes_of_one_caller_at_once_are_one(self, ports: ConversationPorts) -> None:
        session = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said("m")])
        votes = [Vote.UP, Vote.DOWN] * 10
        await asyncio.gather(
            *(ports.feedback.vote(ACME, message_id="m", caller="ann", vote=vote, comment="") for vote in votes)
        )
        assert len(await ports.feedback.votes(ACME, "m")) == 1

    @pytest.mark.req("R8.1")
    async def test_another_tenants_session_does_not_exist(self, ports: ConversationPorts) -> None:
        mine = await ports.conversations.create(ACME, user_id="ann")
        await ports.conversations.append(ACME, mine.id, [said("m")])
        assert await ports.conversations.session(GLOBEX, mine.id) is None
        assert await listed(ports, tenant=GLOBEX) == []
        assert await listed(ports, tenant=GLOBEX, user_id="ann") == []
        assert not await ports.conversations.delete(GLOBEX, mine.id)
        for call in (
            ports.conversations.append(GLOBEX, mine.id, [said("m2")]),
            ports.conversations.messages(GLOBEX, mine.id, limit=1),
            ports.conversations.history(GLOBEX, mine.id, max_tokens=9, max_messages=9),
            ports.feedback.vote(GLOBEX, message_id="m", caller="ann", vote=Vote.UP, comment=""),
        ):
            with pytest.raises(NotFound):
                await call
        await ports.feedback.vote(ACME, message_id="m", caller="ann", vote=Vote.UP, comment="")
        assert await ports.feedback.votes(GLOBEX, "m") == []
        assert await contents(ports, mine) == [(1, "text")]

    @pytest.mark.req("R8.1")
    async def test_two_tenants_may_use_the_same_message_id(self, ports: ConversationPorts) -> None:
        mine, theirs = await ports.conversations.create(ACME), await ports.conversations.create(GLOBEX)
        await ports.conversations.append(ACME, mine.id, [said("m", "mine")])
        await ports.conversations.append(GLOBEX, theirs.id, [said("m", "theirs")])
        assert await contents(ports, mine) == [(1, "mine")]
        assert await contents(ports, theirs, tenant=GLOBEX) == [(1, "theirs")]

    @pytest.mark.parametrize("odd", ["a\0b", "\ud800"])
    @pytest.mark.req("R8.6")
    async def test_what_cannot_be_stored_is_refused_by_name(self, ports: ConversationPorts, odd: str) -> None:
        session = await ports.conversations.create(ACME)
        await ports.conversations.append(ACME, session.id, [said("m")])
        for call, loc in (
            (ports.conversations.create(ACME, user_id=odd), "/user_id"),
            (ports.conversations.create(ACME, user_id="x" * 129), "/user_id"),
            (ports.conversations.create(ACME, title=odd), "/title"),
            (ports.conversations.create(ACME, metadata={"a": [odd]}), "/metadata"),
            (ports.conversations.append(ACME, session.id, [said("m1"), said(odd)]), "/messages/1/id"),
            (ports.conversations.append(ACME, session.id, [said("m1", odd)]), "/messages/0/content"),
            (
                ports.conversations.append(ACME, session.id, [said("m1", citations=[{"a": odd}])]),
                "/messages/0/citations",
            ),
            (ports.feedback.vote(ACME, message_id="m", caller=odd, vote=Vote.UP, comment=""), "/caller"),
            (ports.feedback.vote(ACME, message_id="m", caller="ann", vote=Vote.UP, comment=odd), "/comment"),
        ):
            with pytest.raises(ValidationError) as refusal:
                await call
            (error,) = refusal.value.errors
            assert error.loc.startswith(loc)
        assert await contents(ports, session) == [(1, "text")]
        assert await listed(ports, user_id=odd) == []
        assert await ports.feedback.votes(ACME, odd) == []
        with pytest.raises(NotFound):
            await ports.feedback.vote(ACME, message_id=odd, caller="ann", vote=Vote.UP, comment="")
