"""What is given, what is indexed, what is asked and what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

Tenant = NewType("Tenant", str)
DocumentId = NewType("DocumentId", str)
ChunkId = NewType("ChunkId", str)
Terms = NewType("Terms", str)  # analysed text, terms joined by single spaces (domain/terms.py)

Vector = NDArray[np.float32]  # (dimensions,), unit length
Matrix = NDArray[np.float32]  # (rows, dimensions), rows of unit length

Metadata = Mapping[str, Any]  # JSON object
Scalar = str | int | float | bool
FieldValue = Scalar | Sequence[str] | Sequence[int]  # of a declared filter field; a datetime is an int of microseconds


class Lane(StrEnum):
    """One way of searching; each has its own collection, permits, breaker and timeout."""

    SEMANTIC = "semantic"
    SPARSE = "sparse"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Document:
    """What a caller gives: whole text and what is known about it. `domain` is "" where none was named."""

    id: DocumentId
    text: str
    title: str = ""
    domain: str = ""
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A piece of a document's text: `text[start:end]`, offsets in code points. `heading` is the path above it."""

    start: int
    end: int
    heading: str
    token_count: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored piece of one version of one document."""

    id: ChunkId
    document_id: DocumentId
    version: int
    ordinal: int
    text: str
    start: int
    end: int
    heading: str
    token_count: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What a reader is shown of a chunk, whichever store it came from."""

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    title: str
    domain: str
    text: str
    start: int
    end: int
    heading: str
    metadata: Metadata
    stale: bool = False  # its visibility could not be checked (reliability R5.1)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One chunk as the indexes hold it. Every lane is given the same row and keeps what it searches.

    `fields` has a value for each declared filter field that the document's metadata sets, already of its type.
    """

    chunk_id: ChunkId
    tenant: Tenant
    document_id: DocumentId
    version: int
    domain: str
    fields: Mapping[str, FieldValue]
    vector: Vector
    terms: Terms
    passage: Passage


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result of one lane: more `score` is better, whatever the engine calls it."""

    chunk_id: ChunkId
    score: float
    document_id: DocumentId
    version: int
