"""Ports to models: what turns text into vectors and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from advanced_rag.domain.documents import Matrix


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Which model made a vector. Vectors of different `digest` never meet in one collection."""

    name: str
    digest: str
    dimensions: int
    max_tokens: int


class Encoder(Protocol):
    """Text to unit vectors. Raises EmbeddingGenerationError, DependencyInvalid or LoadShed, nothing else."""

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        ...

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), in order, each row of unit length. No text is empty."""
        ...

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """The same for what is searched; yields to queries. Texts beyond the model's window are cut by the model."""
        ...


class Tokenizer(Protocol):
    """The model's own tokenizer. Pure CPU, safe in threads, never awaited: call it in an executor."""

    def token_offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) in code points of each token of `text`, special tokens left out, in order, not cut."""
        ...
