"""What readers think of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from advanced_rag.domain.documents import Tenant
from advanced_rag.ports.conversations import Feedback, FeedbackStore, Vote


@dataclass(frozen=True, slots=True)
class FeedbackService:
    """Votes on messages; `record` is told of each one that was stored."""

    store: FeedbackStore
    record: Callable[[Vote], None]

    async def vote(self, tenant: Tenant, *, caller: str, message_id: str, vote: Vote, comment: str) -> Feedback:
        """The caller's one vote on a message, stored or changed. Raises NotFound."""
        stored = await self.store.vote(tenant, message_id=message_id, caller=caller, vote=vote, comment=comment)
        self.record(stored.vote)
        return stored
