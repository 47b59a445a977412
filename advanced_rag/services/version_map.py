"""Which version of which document this process last saw active: what visibility rests on while the database is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache

from advanced_rag.domain.documents import DocumentId, Passage, Tenant

DELETED: Final = 0  # versions count from 1


@dataclass(frozen=True, slots=True)
class _Seen:
    version: int
    at: float


class VersionMap:
    """Bounded map (tenant, document) -> active version, fed by every read and write of this process (reliability R5.1).

    Used from the event loop only. An entry older than `max_age_s` is not believed.
    """

    def __init__(
        self, *, max_entries: int = 100_000, max_age_s: float = 900.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seen: LRUCache[tuple[Tenant, DocumentId], _Seen] = LRUCache(max_entries)
        self._max_age_s = max_age_s
        self._clock = clock

    def saw(self, tenant: Tenant, document_id: DocumentId, version: int) -> None:
        """That version is active now. Never goes back behind a version seen before, unless that was a delete."""
        known = self._seen.get((tenant, document_id))
        if known is None or known.version == DELETED or version >= known.version:
            self._seen[tenant, document_id] = _Seen(version, self._clock())

    def saw_deleted(self, tenant: Tenant, document_id: DocumentId) -> None:
        """The document is gone."""
        self._seen[tenant, document_id] = _Seen(DELETED, self._clock())

    def judged(self, tenant: Tenant, passages: Iterable[Passage]) -> list[Passage]:
        """Those that may be shown without the database: of the version known active, or, unknown, marked stale."""
        shown = []
        for passage in passages:
            known = self._seen.get((tenant, passage.document_id))
            if known is None or self._clock() - known.at > self._max_age_s:
                shown.append(passage)
            elif known.version == passage.version:
                shown.append(replace(passage, stale=False))
        return shown
