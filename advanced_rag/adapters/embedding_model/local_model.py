"""What a model in this process looks like to its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from advanced_rag.domain.documents import Matrix


class LocalModel(Protocol):
    """Text to unit vectors, blocking. Calls may come from as many threads at once as `concurrency` says."""

    @property
    def backend(self) -> str:
        """What computes, for metrics and logs: `openvino-int8`, `torch`."""
        ...

    @property
    def concurrency(self) -> int:
        """So many calls at once make sense; more wait for each other."""
        ...

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), in order, rows of unit length, texts cut at the model's window."""
        ...
