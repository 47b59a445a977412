"""What the Milvus on the other side can do, decided in one place from what it says it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_FIRST_WITH_FUNCTIONS: Final = (2, 5)  # BM25 functions and filter templates came with 2.5


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences that this adapter knows of; everything else is said in words that all of them understand."""

    name: str
    bm25: bool  # BM25 functions: without them there is no sparse lane
    partition_key: bool  # the embedded engine takes the schema and then refuses every filter
    templates: bool  # `{p0}` in expressions, values beside them
    negated_array_contains: bool  # unary `not`, needed for `not array_contains_any(…)`
    array_index: bool  # scalar indexes on array fields
    beyond_bmp_literals: bool  # servers rewrite literals to four-digit \u escapes: U+10000 and above never match
    ordered_pages: bool  # a query with a limit answers the smallest primary keys without being told so
    dense_index: str


EMBEDDED: Final = Dialect(
    name="embedded",
    bm25=True,
    partition_key=False,
    templates=False,
    negated_array_contains=False,
    array_index=False,
    beyond_bmp_literals=True,
    ordered_pages=True,
    dense_index="FLAT",
)
SERVER: Final = Dialect(
    name="server",
    bm25=True,
    partition_key=True,
    templates=True,
    negated_array_contains=True,
    array_index=True,
    beyond_bmp_literals=True,  # they travel as template values
    ordered_pages=False,
    dense_index="AUTOINDEX",
)
OLD_SERVER: Final = Dialect(
    name="server before 2.5",
    bm25=False,
    partition_key=True,
    templates=False,
    negated_array_contains=True,
    array_index=False,
    beyond_bmp_literals=False,
    ordered_pages=False,
    dense_index="AUTOINDEX",
)


def dialect_of(version: str | None) -> Dialect:
    """The dialect of whoever answers GetVersion so; None: the method is not implemented, which only the engine says.

    A version without a number (a development build) is taken for a current server.
    """
    if version is None:
        return EMBEDDED
    number = _VERSION.search(version)
    if number is None or (int(number[1]), int(number[2])) >= _FIRST_WITH_FUNCTIONS:
        return SERVER
    return OLD_SERVER
