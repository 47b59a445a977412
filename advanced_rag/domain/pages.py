"""Where the pages of a document lie, small enough to be kept in its metadata."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any, Final

PAGES_KEY: Final = "pages"


def page_lengths(starts: Iterable[tuple[int, int]], *, text_chars: int) -> list[int]:
    """How many code points each page has, page 1 first; together they are the whole text.

    Args:
        starts: (number from 1, first code point) in the order of the text. What stands before the first page belongs to
            page 1; a page that is missing has no length.
        text_chars: of the whole text.
    """
    begins = [0]
    for number, start in starts:
        # A missing page begins where the next one does, so that nothing lies on it.
        begins.extend([max(start, begins[-1])] * (number - len(begins)))
    return [end - begin for begin, end in pairwise([*begins, max(text_chars, begins[-1])])]


def page_of(lengths: Any, offset: int) -> int | None:
    """The page, from 1, that a code point lies on; None beyond the end, and where `lengths` is no list of lengths.

    Args:
        lengths: as `page_lengths` makes it; a caller's own metadata may hold anything under that name.
        offset: in code points, from 0.
    """
    if not is_page_map(lengths):
        return None
    ends = list(accumulate(lengths))
    page = bisect_right(ends, offset)
    return page + 1 if page < len(ends) else None


def is_page_map(value: Any) -> bool:
    """Whether this is what `page_lengths` makes."""
    return isinstance(value, list) and bool(value) and all(type(item) is int and item >= 0 for item in value)
