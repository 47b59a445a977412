"""Embedding many texts: in batches of texts of like length, because padding is wasted work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from advanced_rag.domain.documents import Matrix
from advanced_rag.ports.models import Encoder


async def encoded_in_batches(
    encoder: Encoder, texts: Sequence[str], batch: int, encoded: Callable[[int], object] = lambda _: None
) -> Matrix:
    """(len(texts), dimensions), in the order given; `encoded` is told how many more are done. Raises as the encoder."""
    order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
    vectors = np.empty((len(texts), encoder.model.dimensions), dtype=np.float32)
    for first in range(0, len(order), batch):
        positions = order[first : first + batch]
        vectors[positions] = await encoder.encode_documents([texts[position] for position in positions])
        encoded(len(positions))
    return vectors
