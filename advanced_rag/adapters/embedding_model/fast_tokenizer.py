"""The model's own tokenizer, through the `tokenizers` library: offsets for chunking, without torch or transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer as HuggingFaceTokenizer


class FastTokenizer:
    """`ports.models.Tokenizer` over a `tokenizer.json`; neither truncates nor pads."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def token_offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) in code points of each token of `text`, special tokens left out, in order."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets
