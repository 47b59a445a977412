"""The room on our own disks: the last of it is kept for finishing what has been begun."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from advanced_rag.exceptions import InsufficientStorage


class Usage(Protocol):
    """What is known of a disk, in bytes."""

    @property
    def total(self) -> int:
        """All of it."""
        ...

    @property
    def free(self) -> int:
        """What this process may still use."""
        ...


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """`ports.storage.StorageRoom`: each folder's disk must have `min_free_bytes` and `min_free_ratio` of it free."""

    folders: Sequence[Path]
    min_free_bytes: int
    min_free_ratio: float
    usage: Callable[[Path], Usage] = shutil.disk_usage

    def require(self) -> None:
        """Asks the kernel for each folder. One that cannot be asked about refuses nothing: the write will tell."""
        for folder in self.folders:
            try:
                usage = self.usage(folder)
            except OSError:
                continue
            if usage.free < max(self.min_free_bytes, self.min_free_ratio * usage.total):
                raise InsufficientStorage("There is not enough free disk space to store more.")
