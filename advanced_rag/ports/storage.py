"""Port to the room that is left for storing things."""

from __future__ import annotations

from typing import Protocol


class StorageRoom(Protocol):
    """Blocking, if only for a moment: call it in an executor."""

    def require(self) -> None:
        """Raises InsufficientStorage where so little is left that nothing new may be begun (reliability R6.13)."""
        ...


class UnlimitedRoom:
    """Where nobody looks."""

    def require(self) -> None:
        """There always is."""
