"""A sentence-transformers model under torch: any model folder, the reference that other backends are compared with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advanced_rag.domain.documents import Matrix


class TorchModel:
    """Text to unit vectors, on the CPU. Loading imports torch (about 10 s); calls may come from several threads."""

    def __init__(self, folder: Path, *, batch_size: int) -> None:
        # Before the import: with it no library asks a model hub for anything, however the model is named.
        os.environ["HF_HUB_OFFLINE"] = "1"
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # see above; and 10 s that others save

        self._model: Any = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
        self._batch_size = batch_size
        self.backend = "torch"
        self.concurrency = 1  # torch takes all cores for one call

    @property
    def module(self) -> Any:
        """The torch module, for conversion."""
        return self._model

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), rows of unit length, texts cut at the model's window."""
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)
