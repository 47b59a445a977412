"""Port to the registry of physical collections: which one a lane reads is a row in the database (design 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from advanced_rag.domain.documents import Lane


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A physical collection that is the active one of its lane (and, for the domain lane, of its domain)."""

    lane: Lane
    domain: str
    physical_name: str
    model_digest: str
    dimension: int
    generation: int


class CollectionRegistry(Protocol):
    """Raises DependencyError or LoadShed when the database does not answer."""

    async def active(self) -> list[CollectionRecord]:
        """The active collection of each lane and domain."""
        ...

    async def register(self, lane: Lane, domain: str, *, model_digest: str, dimension: int) -> CollectionRecord:
        """The active record of that lane and domain, made now (`rag_<lane>[_<domain>]_v1`) if there is none.

        Safe to call from several processes at once: one makes it, all get the same.
        """
        ...
