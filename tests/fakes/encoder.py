"""An encoder and a tokenizer that need no model: words hashed into a small space, words as tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from advanced_rag.domain.documents import Matrix
from advanced_rag.ports.models import EmbeddingModel

_WORD = re.compile(r"\w+")


class HashEncoder:
    """Texts that share words have a positive cosine. While `error` is set every call raises it."""

    def __init__(self, *, dimensions: int = 64, digest: str = "hash") -> None:
        self.model = EmbeddingModel("hash", digest, dimensions, 256)
        self.error: Exception | None = None
        self.encoded = 0

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        if self.error is not None:
            raise self.error
        self.encoded += len(texts)
        return np.stack([self._vector(text) for text in texts])

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        return await self.encode_queries(texts)

    def _vector(self, text: str) -> Matrix:
        vector = np.zeros(self.model.dimensions, dtype=np.float32)
        for word in _WORD.findall(text.casefold()):
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            vector[int.from_bytes(digest[:4], "big") % self.model.dimensions] += 1.0
        vector[0] += 0.01  # no word at all is no zero vector
        unit: Matrix = vector / np.linalg.norm(vector)
        return unit


class WordTokenizer:
    """A token a word."""

    def token_offsets(self, text: str) -> Sequence[tuple[int, int]]:
        return [match.span() for match in _WORD.finditer(text)]
