"""Chunks: exact slices, bounded, covering, along the structure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advanced_rag.domain.chunking import chunk_spans, embedded_text
from advanced_rag.domain.documents import ChunkSpan

_WORD = re.compile(r"\S+")
_WORDPIECE = re.compile(r"\w{1,4}|[^\w\s]")


def words(text: str) -> Sequence[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(text)]


def wordpieces(text: str) -> Sequence[tuple[int, int]]:
    """Cuts a word every four letters from its own beginning: a slice has other tokens than the text it is from."""
    return [match.span() for match in _WORDPIECE.finditer(text)]


def unknown_words(text: str) -> Sequence[tuple[int, int]]:
    """As BERT's: a word of more than 100 letters is one unknown token, a shorter one a token a letter."""
    return [
        (start + offset, end if end - start > 100 else start + offset + 1)
        for start, end in words(text)
        for offset in range(1 if end - start > 100 else end - start)
    ]


def characters(text: str) -> Sequence[tuple[int, int]]:
    return [(index, index + 1) for index, letter in enumerate(text) if not letter.isspace()]


tokenizers = st.sampled_from([words, wordpieces, unknown_words, characters])
pieces = st.sampled_from(
    [
        *(
            "A sentence of some words. ",
            "Another one! ",
            "word ",
            "word",
            "\n",
            "\n\n",
            "\r\n\r\n",
            "# Title\n",
            "## Sub\n",
        ),
        *(
            "- item\n",
            "1. first\n",
            "| a | b |\n",
            "```\n",
            "    code()\n",
            "Setext\n===\n",
            "here:\n\n",
            "。",
            "東京都",
            "🙂",
        ),
        *("\u200d", "\u0301", "\u200b", "שלום ", "\u2028", "\t", " " * 40, "x" * 150, "e.g. ", "\x00"),
    ]
)
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=300)
bounds = st.integers(1, 40).flatmap(lambda most: st.tuples(st.just(most), st.integers(0, most - 1)))


@given(texts, tokenizers, bounds)
@example("A sentence of some words. 。A sentence of some words. A sentence of some words. ", words, (7, 5))
def test_chunks_are_bounded_ordered_exact_slices_that_cover_the_text(
    text: str, token_offsets: object, limits: tuple[int, int]
) -> None:
    assert callable(token_offsets)
    max_tokens, overlap_tokens = limits
    spans = chunk_spans(text, token_offsets=token_offsets, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    covered: set[int] = set()
    for span in spans:
        chunk = text[span.start : span.end]
        assert chunk
        assert chunk == chunk.strip()
        assert span.token_count == len(token_offsets(chunk))
        assert span.token_count <= max_tokens or len(chunk) == 1
        assert len(chunk) <= 16 * max_tokens
        covered.update(range(span.start, span.end))
    assert all(before.start < after.start and before.end < after.end for before, after in pairwise(spans))
    assert all(index in covered for index, letter in enumerate(text) if not letter.isspace())


@given(texts, bounds)
def test_the_same_text_gives_the_same_chunks(text: str, limits: tuple[int, int]) -> None:
    max_tokens, overlap_tokens = limits
    first, second = (
        chunk_spans(text, token_offsets=words, max_tokens=max_tokens, overlap_tokens=overlap_tokens) for _ in range(2)
    )
    assert first == second


@given(st.integers(1, 200), st.sampled_from(["One two three. ", "word ", "- item here\n", "# T\n"]))
def test_a_text_that_fits_is_one_chunk(repeats: int, unit: str) -> None:
    text = unit * repeats
    count = len(words(text))
    assert chunk_spans(text, token_offsets=words, max_tokens=count, overlap_tokens=0) == [
        ChunkSpan(0, len(text.rstrip()), "", count)
    ]


@given(st.integers(257, 2000))
def test_chunks_of_plain_prose_are_of_even_size(count: int) -> None:
    text = "one two three four five six seven eight nine ten. " * (count // 10 + 1)
    sizes = [span.token_count for span in chunk_spans(text, token_offsets=words, max_tokens=256, overlap_tokens=0)]
    assert max(sizes) - min(sizes) <= 40  # two borders' worth


def test_nothing_but_white_space_has_no_chunk() -> None:
    assert chunk_spans("", token_offsets=words) == []
    assert chunk_spans(" \n\u2028\t", token_offsets=words) == []


@pytest.mark.parametrize(("max_tokens", "overlap_tokens"), [(0, 0), (10, 10), (10, -1)])
def test_bounds_that_make_no_sense_are_refused(max_tokens: int, overlap_tokens: int) -> None:
    with pytest.raises(ValueError, match="overlap_tokens < max_tokens"):
        chunk_spans("text", token_offsets=words, max_tokens=max_tokens, overlap_tokens=overlap_tokens)


def test_an_overlap_is_whole_sentences_of_the_chunk_before() -> None:
    text = " ".join(f"Sentence number {n} has six." for n in range(40))
    spans = chunk_spans(text, token_offsets=words, max_tokens=50, overlap_tokens=12)
    assert len(spans) > 4
    for before, after in pairwise(spans):
        overlap = text[after.start : before.end]
        assert len(words(overlap)) == 10
        assert overlap.startswith("Sentence")


HANDBOOK = """\
# Handbook
Welcome to the handbook of this place, which says how things are done here.

## Keys
{keys}

### Spare keys
{spare}

## Parking
{parking}
"""


def _prose(word: str, count: int) -> str:
    return " ".join(f"{word} {n} goes here." for n in range(count // 4))


def test_sections_are_chunks_with_the_path_of_headings_above_them() -> None:
    text = HANDBOOK.format(keys=_prose("key", 160), spare=_prose("spare", 160), parking=_prose("car", 160))
    spans = chunk_spans(text, token_offsets=words, max_tokens=256, overlap_tokens=32)
    assert [(text[span.start : span.end].split("\n")[0], span.heading) for span in spans] == [
        ("# Handbook", ""),
        ("### Spare keys", "Handbook > Keys"),
        ("## Parking", "Handbook"),
    ]


def test_a_chunk_in_the_middle_of_a_section_has_its_heading_in_the_path() -> None:
    text = HANDBOOK.format(keys=_prose("key", 600), spare="", parking="")
    spans = chunk_spans(text, token_offsets=words, max_tokens=256, overlap_tokens=32)
    assert [span.heading for span in spans[1:3]] == ["Handbook > Keys"] * 2


def test_small_sections_share_a_chunk() -> None:
    text = "\n".join(f"## Section {n}\nIt has a few words.\n" for n in range(40))
    spans = chunk_spans(text, token_offsets=words, max_tokens=256, overlap_tokens=32)
    assert 2 <= len(spans) <= 3


@pytest.mark.parametrize(
    "whole",
    [
        "```python\n" + "\n".join(f"line{n} = call({n})" for n in range(20)) + "\n```",
        "| a | b |\n|---|---|\n" + "\n".join(f"| cell {n} | value |" for n in range(12)),
        "## Heading\n\nThe sentence right below it.",
        "Do this:\n\n- open the door\n- close the door",
    ],
)
def test_what_belongs_together_and_fits_stays_together(whole: str) -> None:
    for before in range(60, 200, 4):
        text = f"{_prose('word', before)}\n\n{whole}\n\n{_prose('word', 200)}"
        spans = chunk_spans(text, token_offsets=words, max_tokens=128, overlap_tokens=0)
        assert any(whole in text[span.start : span.end] for span in spans), before


def test_a_fence_that_is_never_closed_and_a_heading_without_end_lose_nothing() -> None:
    text = "```\n" + "# not a heading\n" * 50 + "# " + "long " * 500
    spans = chunk_spans(text, token_offsets=words, max_tokens=64, overlap_tokens=0)
    assert sum(span.token_count for span in spans) == len(words(text))
    assert {span.heading for span in spans} == {""}


@pytest.mark.parametrize(
    "unit",
    [
        *("word ", "a", "a\n", "a\n\n", "# a\n", "- a\n", "| a |\n", "```\n", "Ab. ", "。", "🙂", "a\u0301", "\u200d"),
        *("\u200b", "א", "\u202e", "x" * 300 + " ", ".", " \t", "a" + " " * 5000, "=\n", "a:\n\n", "\r\n"),
    ],
)
@pytest.mark.req("R8.7")
@pytest.mark.timeout(60)  # seconds where the time is linear, hours where it is not
def test_a_long_text_of_anything_takes_seconds(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    spans = chunk_spans(text, token_offsets=words)
    assert all(span.token_count <= 256 for span in spans)


def test_embedded_text_puts_title_and_path_above_the_chunk() -> None:
    assert embedded_text("Handbook", "Keys > Spare", "Cabinet B.") == "Handbook\nKeys > Spare\nCabinet B."
    assert embedded_text("", "", "Cabinet B.") == "Cabinet B."
    assert embedded_text(" Title ", "", "Text") == "Title\nText"
