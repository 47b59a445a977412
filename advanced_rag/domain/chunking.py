"""Cuts a text into chunks: bounded in tokens, of even size, along its structure, each an exact slice of the text."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advanced_rag.domain.documents import ChunkSpan
from advanced_rag.domain.text_blocks import Cut, Unit, shown_path, units

TokenOffsets = Callable[[str], Sequence[tuple[int, int]]]

# What a chunk costs, all in chunks: one for being there, up to one more for being short, and these for the border at
# its end. Set by hand on examples, not fitted to a benchmark.
_CUT_COSTS: Final[dict[Cut, float]] = {
    Cut.SECTION: 0.0,
    Cut.BLOCK: 0.05,
    Cut.ITEM: 0.15,
    Cut.SENTENCE: 0.3,
    Cut.INTRODUCED: 0.5,
    Cut.ROW: 2.0,
    Cut.WORDS: 2.5,
    Cut.HEADED: 3.0,
}
# For holding the beginning of another section: two sections share a chunk when each is below about 100 of 224 tokens.
_SECTION_INSIDE_COST: Final = 1.6

# A tokenizer may take a word of any length for one unknown token, so characters are bounded too: a token of prose has 4
# to 5, of an indented table 10.
_MAX_CHARS_PER_TOKEN: Final = 16
_PIECES_PER_CHUNK: Final = 8  # into how many a sentence is cut that is longer than a chunk
_ATOMS_PER_CHUNK: Final = (
    16  # neighbours within a block are joined below this share of a chunk, to keep the search small
)
_JOINED_ACROSS: Final = {Cut.SECTION: 0.25, Cut.BLOCK: 0.5}  # where a border is wanted: only crumbs are joined
_TOKENIZED_CHARS: Final = 50_000  # at a time: what a tokenizer returns for 2 MB at once takes hundreds of MB
_MAX_CLUSTER_CHARS: Final = 32
_JOINERS: Final = frozenset("\u200d\ufe0e\ufe0f")


def chunk_spans(
    text: str, *, token_offsets: TokenOffsets, max_tokens: int = 256, overlap_tokens: int = 32
) -> list[ChunkSpan]:
    """The chunks of a text in order; none where there is nothing but white space.

    A text that fits is one chunk. A longer one is cut where the sum of costs is least (dynamic programming): few chunks
    of even size, cut between sections rather than blocks, rather than sentences, rather than words, and never in the
    middle of a table, list item or code fence that fits. The same text always gives the same chunks. Time is linear in
    the length of the text, whatever the text.

    Args:
        text: any text; Markdown headings, lists, tables and fences are recognised.
        token_offsets: (start, end) of each token of a text, in order; called on parts of `text` and on every chunk.
        max_tokens: bound of a chunk, by `token_offsets` of the chunk alone. What is embedded with a chunk (title,
            heading) and special tokens are the caller's to subtract.
        overlap_tokens: a chunk that goes on within a section begins with the last sentences of the chunk before, as
            many whole ones as fit into this; 0: none.

    Returns:
        Spans with ascending starts and ends that neither begin nor end with white space; every other character is in
        one. `heading` is the path of headings above the chunk's first character. A single character of more than
        `max_tokens` tokens is a chunk of its own.

    Raises:
        ValueError: not 0 <= overlap_tokens < max_tokens.
    """
    if not 0 <= overlap_tokens < max_tokens:
        raise ValueError("0 <= overlap_tokens < max_tokens")
    stripped = text.strip()
    if not stripped:
        return []
    chunker = _Chunker(text, token_offsets, max_tokens, overlap_tokens)
    return list(chunker.chunks())


def embedded_text(title: str, heading: str, text: str) -> str:
    """What is embedded and analysed for a chunk: the document's title and the headings above, a line each, then it."""
    return "\n".join(part for part in (title.strip(), heading, text) if part)


@dataclass(slots=True)
class _Chunker:
    text: str
    token_offsets: TokenOffsets
    max_tokens: int
    overlap_tokens: int

    @property
    def max_chars(self) -> int:
        return self.max_tokens * _MAX_CHARS_PER_TOKEN

    def chunks(self) -> Iterator[ChunkSpan]:
        parts = list(units(self.text))
        first, last = parts[0].start, parts[-1].end
        token_starts = self._token_starts()
        if len(token_starts) <= self.max_tokens and (whole := self._fitting(first, last, parts[0].path)):
            yield whole
            return
        core_tokens = self.max_tokens - self.overlap_tokens
        pieces = list(self._pieces(parts, token_starts, core_tokens))
        piece_starts = [piece.start for piece in pieces]
        atoms = self._atoms(pieces, token_starts, core_tokens)
        previous_start = -1
        for begin, after in self._borders(atoms, token_starts, core_tokens):
            index = bisect_left(piece_starts, atoms[begin].start)
            overlapping = self._overlapping(pieces, index, token_starts, previous_start)
            for chunk in self._chunk(pieces[overlapping], pieces[index], atoms[after - 1].end):
                yield chunk
                previous_start = chunk.start

    def _chunk(self, overlapping: Unit, first: Unit, end: int) -> Iterator[ChunkSpan]:
        """One chunk with its overlap; without it, or in parts, where its own tokens are more than those of the text."""
        for start in dict.fromkeys((overlapping, first)):
            if whole := self._fitting(start.start, end, start.path):
                yield whole
                return
        yield from self._halves(first.start, end, first.path)

    def _halves(self, start: int, end: int, path: tuple[str, ...]) -> Iterator[ChunkSpan]:
        middle = start + (end - start) // 2
        blank = max(self.text.rfind(" ", start + 1, middle), self.text.rfind("\n", start + 1, middle))
        cut = blank if blank > 0 else self._cluster_border(start, middle)
        for part in (_trimmed(self.text, start, cut), _trimmed(self.text, cut, end)):
            if part and (whole := self._fitting(*part, path)):
                yield whole
            elif part:
                yield from self._halves(*part, path)

    def _fitting(self, start: int, end: int, path: tuple[str, ...]) -> ChunkSpan | None:
        """The span as a chunk if it is within the bounds."""
        if end - start > self.max_chars:
            return None
        count = len(self.token_offsets(self.text[start:end]))
        if count > self.max_tokens and end - start > 1:
            return None
        return ChunkSpan(start, end, shown_path(path), count)

    def _token_starts(self) -> NDArray[np.int64]:
        """Where each token of the whole text begins, tokenized in parts that end at white space where there is some."""
        starts: list[NDArray[np.int64]] = []
        begin = 0
        while begin < len(self.text):
            end = self._blank_before(begin, begin + _TOKENIZED_CHARS)
            offsets = self.token_offsets(self.text[begin:end])
            starts.append(np.fromiter((start for start, _ in offsets), np.int64, len(offsets)) + begin)
            begin = end
        return np.concatenate(starts)

    def _blank_before(self, begin: int, end: int) -> int:
        if end >= len(self.text):
            return len(self.text)
        blank = max(self.text.rfind(" ", begin + 1, end), self.text.rfind("\n", begin + 1, end))
        return blank if blank > 0 else self._cluster_border(begin, end)

    def _cluster_border(self, begin: int, cut: int) -> int:
        """The last place at or before `cut` that does not tear a letter from its marks; `cut` if there is none near."""
        for place in range(cut, max(begin, cut - _MAX_CLUSTER_CHARS), -1):
            letter = self.text[place]
            if not (unicodedata.combining(letter) or letter in _JOINERS or self.text[place - 1] == "\u200d"):
                return place
        return cut

    def _pieces(self, parts: Sequence[Unit], token_starts: NDArray[np.int64], core_tokens: int) -> Iterator[Unit]:
        """The units, each that is longer than a chunk in parts of at most an eighth of one."""
        lows = np.searchsorted(token_starts, [unit.start for unit in parts]).tolist()
        highs = np.searchsorted(token_starts, [unit.end for unit in parts]).tolist()
        for unit, low, high in zip(parts, lows, highs, strict=True):
            if high - low <= core_tokens and unit.end - unit.start <= self.max_chars:
                yield unit
                continue
            before = unit.before
            for start, end in self._cuts(unit, token_starts[low:high], core_tokens):
                if part := _trimmed(self.text, start, end):
                    yield Unit(*part, before, unit.path)
                    before = Cut.WORDS

    def _cuts(self, unit: Unit, starts: NDArray[np.int64], core_tokens: int) -> Iterator[tuple[int, int]]:
        step = max(1, core_tokens // _PIECES_PER_CHUNK)
        step_chars = max(1, self.max_chars // _PIECES_PER_CHUNK)
        begin = unit.start
        token = 0
        while begin < unit.end:
            token += int(np.searchsorted(starts[token : token + core_tokens + 1], begin))  # the first not yet passed
            cut = self._cut_after(starts, token, step, core_tokens, unit.end)
            if cut - begin > step_chars:
                cut = self._blank_before(begin, begin + step_chars)
            cut = max(cut, begin + 1)
            yield begin, cut
            begin = cut

    def _cut_after(self, starts: NDArray[np.int64], token: int, step: int, core_tokens: int, end: int) -> int:
        """Where a piece that begins with `token` ends: `step` tokens on, at white space up to a chunk further on."""
        last = min(token + core_tokens, len(starts))
        if token + step >= len(starts):
            return end
        for index in range(token + step, last):
            if self.text[starts[index] - 1].isspace():
                return int(starts[index])
        return int(starts[token + step])

    def _atoms(self, pieces: Sequence[Unit], token_starts: NDArray[np.int64], core_tokens: int) -> list[Unit]:
        """Neighbours within a block joined until they are large enough to be worth a border."""
        enough = core_tokens // _ATOMS_PER_CHUNK
        lows = np.searchsorted(token_starts, [piece.start for piece in pieces])
        highs = np.searchsorted(token_starts, [piece.end for piece in pieces])
        atoms: list[Unit] = []
        low = high = 0
        for piece, piece_low, piece_high in zip(pieces, lows.tolist(), highs.tolist(), strict=True):
            fits = bool(atoms) and piece_high - low <= core_tokens and piece.end - atoms[-1].start <= self.max_chars
            if fits and high - low < enough * _JOINED_ACROSS.get(piece.before, 1.0):
                atoms[-1] = Unit(atoms[-1].start, piece.end, atoms[-1].before, atoms[-1].path)
            else:
                atoms.append(piece)
                low = piece_low
            high = piece_high
        return atoms

    def _borders(
        self, atoms: Sequence[Unit], token_starts: NDArray[np.int64], core_tokens: int
    ) -> list[tuple[int, int]]:
        """(first, one past last) atom of each chunk, for the least sum of costs."""
        starts = np.array([atom.start for atom in atoms])
        ends = np.array([atom.end for atom in atoms])
        lows, highs = np.searchsorted(token_starts, starts), np.searchsorted(token_starts, ends)
        is_section = np.array([atom.before is Cut.SECTION for atom in atoms])
        inside = np.cumsum(is_section) * _SECTION_INSIDE_COST
        cut_costs = [_CUT_COSTS[atom.before] for atom in atoms[1:]] + [0.0]
        best = np.zeros(len(atoms) + 1)
        begins = [0] * (len(atoms) + 1)
        first = 0
        for last, cut_cost in enumerate(cut_costs):
            while first < last and (
                highs[last] - lows[first] > core_tokens or ends[last] - starts[first] > self.max_chars
            ):
                first += 1
            shortness = 1 - np.minimum(highs[last] - lows[first : last + 1], core_tokens) / core_tokens
            costs = best[first : last + 1] + shortness**2 - inside[first : last + 1]
            chosen = int(costs.argmin())
            best[last + 1] = costs[chosen] + 1 + inside[last] + cut_cost
            begins[last + 1] = first + chosen
        borders: list[tuple[int, int]] = []
        after = len(atoms)
        while after:
            borders.append((begins[after], after))
            after = begins[after]
        return borders[::-1]

    def _overlapping(
        self, pieces: Sequence[Unit], index: int, token_starts: NDArray[np.int64], previous_start: int
    ) -> int:
        """The piece with which a chunk whose own text begins with piece `index` begins, for its overlap."""
        first = pieces[index]
        if first.before in (Cut.SECTION, Cut.ROW, Cut.HEADED):
            return index
        own = int(np.searchsorted(token_starts, first.start))
        while index:
            piece = pieces[index - 1]
            tokens = own - int(np.searchsorted(token_starts, piece.start))
            if tokens > self.overlap_tokens or piece.path != first.path or piece.start <= previous_start:
                break
            index -= 1
        return index


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    stripped = piece.lstrip()
    start = end - len(stripped)
    end = start + len(stripped.rstrip())
    return (start, end) if start < end else None
