"""Conversations as they stand: listing them, reading them, forgetting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.conversations import CitedDocuments, ConversationStore, Message, Session
from advanced_rag.ports.documents import Page

DELETED_SOURCE: Final = "deleted source"


@dataclass(frozen=True, slots=True)
class ConversationsService:
    """A tenant's conversations."""

    store: ConversationStore
    documents: CitedDocuments

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        """A page of them, newest activity first."""
        return await self.store.sessions(tenant, user_id=user_id, limit=limit, cursor=cursor)

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        """A page of a session's messages, oldest first. Raises NotFound.

        Each citation says with `deleted` whether its document is gone; then neither its title nor its text is shown
        (reliability R6.10).
        """
        page = await self.store.messages(tenant, session_id, limit=limit, cursor=cursor)
        cited = {DocumentId(citation["document_id"]) for message in page.items for citation in message.citations}
        created = await self.documents.created(tenant, cited) if cited else {}
        return Page(tuple(_shown(message, created) for message in page.items), page.next_cursor)

    async def delete(self, tenant: Tenant, session_id: str) -> None:
        """With its messages and the votes on them. Raises NotFound."""
        if not await self.store.delete(tenant, session_id):
            raise NotFound("there is no such session")


def _shown(message: Message, created: Mapping[DocumentId, datetime]) -> Message:
    citations = [_citation(citation, message.created_at, created) for citation in message.citations]
    return replace(message, citations=citations)


def _citation(
    citation: Mapping[str, Any], cited_at: datetime, created: Mapping[DocumentId, datetime]
) -> dict[str, Any]:
    # A document that came into being after it was cited has the id of one that was deleted before.
    since = created.get(DocumentId(citation["document_id"]))
    if since is not None and since <= cited_at:
        return {**citation, "deleted": False}
    return {**citation, "title": DELETED_SOURCE, "text": "", "deleted": True}
