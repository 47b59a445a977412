"""Vectors of texts that were asked before: an `Encoder` around an `Encoder`.

First the cache is asked, then whoever computes the same text already; what is left goes to the encoder in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias
from unicodedata import normalize

import numpy as np
from cachetools import Cache, FIFOCache, LFUCache, LRUCache

from advanced_rag.concurrency.single_flight import SingleFlight
from advanced_rag.domain.documents import Matrix, Vector
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.ports.models import EmbeddingModel, Encoder
from advanced_rag.resilience.deadline import WithinDeadline, without_deadline

EvictionPolicy: TypeAlias = Literal["lru", "lfu", "fifo"]
Clock: TypeAlias = Callable[[], float]

_KEY_BYTES: Final = 16


class TextKind(StrEnum):
    """What a text was embedded as: many models embed a query and a document of the same words differently."""

    QUERY = "query"
    DOCUMENT = "document"


class TextKey(NamedTuple):
    """Which vector: the text's hash stands for the text, so that a key is small however long that is."""

    model_digest: str
    kind: TextKind
    text_hash: bytes


@dataclass(frozen=True, slots=True)
class CacheValues:
    """How much is kept, for how long, of what. `enabled` off: nothing, but the same text at once is computed once."""

    enabled: bool = True
    max_size: int = 10_000
    ttl_seconds: float = 3_600.0
    eviction_policy: EvictionPolicy = "lru"
    kinds: frozenset[TextKind] = frozenset({TextKind.QUERY})
    """Documents are embedded once: keeping their vectors would only push the queries' out."""


class CacheListener(Protocol):
    """Called outside the lock, in any thread."""

    def on_lookup(self, *, hits: int, misses: int) -> None:
        """So many texts were found, and so many not."""
        ...

    def on_store(self, *, size: int, evicted: int) -> None:
        """Vectors were stored: how many there are now, and how many had to go for them."""
        ...


class NullCacheListener:
    """Hears everything and does nothing."""

    def on_lookup(self, *, hits: int, misses: int) -> None:
        """Nothing."""

    def on_store(self, *, size: int, evicted: int) -> None:
        """Nothing."""


class _Kept(NamedTuple):
    vector: Vector
    expires_at: float


class VectorCache:
    """At most `max_size` vectors, each for `ttl_seconds`. Safe in threads: one lock around a few dictionary operations.

    A vector that has expired is never returned; it keeps its place until it is asked for or evicted.
    """

    def __init__(self, *, max_size: int, ttl_seconds: float, eviction_policy: EvictionPolicy, clock: Clock) -> None:
        self._kept = _store(eviction_policy, max_size)
        self._ttl_s = ttl_seconds
        self._clock = clock
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def found(self, keys: Sequence[TextKey]) -> dict[TextKey, Vector]:
        """The vectors that are there. They are shared: read-only."""
        found: dict[TextKey, Vector] = {}
        with self._lock:
            now = self._clock()
            for key in keys:
                kept = self._kept.get(key)
                if kept is None:
                    continue
                if kept.expires_at <= now:
                    del self._kept[key]
                else:
                    found[key] = kept.vector
        return found

    def keep(self, vectors: Mapping[TextKey, Vector]) -> int:
        """Store copies; how many others had to go for them."""
        copies = {key: _frozen(vector) for key, vector in vectors.items()}
        evicted = 0
        with self._lock:
            expires_at = self._clock() + self._ttl_s
            for key, vector in copies.items():
                size, known = len(self._kept), key in self._kept
                self._kept[key] = _Kept(vector, expires_at)
                evicted += size + (not known) - len(self._kept)
        return evicted


def _store(policy: EvictionPolicy, max_size: int) -> Cache[TextKey, _Kept]:
    match policy:
        case "lru":
            return LRUCache(max_size)
        case "lfu":
            return LFUCache(max_size)
        case "fifo":
            return FIFOCache(max_size)


def _frozen(vector: Vector) -> Vector:
    # A copy: a row of the batch's matrix would keep the whole matrix alive.
    copy: Vector = np.array(vector, dtype=np.float32)
    copy.setflags(write=False)
    return copy


class CachingEncoder:
    """Encodes what is not known yet. Belongs to one event loop.

    Queries are normalised first (NFC, runs of white space to one space), so that what is looked up is what is encoded.
    A computation is shared by its callers: it runs without anyone's deadline, under the inner encoder's own limits, and
    ends when all of them have gone.
    """

    def __init__(
        self,
        inner: Encoder,
        values: CacheValues,
        *,
        clock: Clock = time.monotonic,
        listener: CacheListener | None = None,
    ) -> None:
        self._inner = inner
        self._kinds = values.kinds if values.enabled else frozenset[TextKind]()
        self._cache = VectorCache(
            max_size=values.max_size,
            ttl_seconds=values.ttl_seconds,
            eviction_policy=values.eviction_policy,
            clock=clock,
        )
        self._listener: CacheListener = listener or NullCacheListener()
        self._flights: SingleFlight[TextKey, Vector] = SingleFlight(context=_context_without_deadline)
        self._wait = WithinDeadline("embedding")

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        return self._inner.model

    @property
    def size(self) -> int:
        """Vectors kept."""
        return len(self._cache)

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """As the port says; also raises DeadlineExceeded."""
        return await self._encode([_normalised(text) for text in texts], TextKind.QUERY, self._inner.encode_queries)

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """As the port says; passed on as they are unless documents are among the kinds to keep."""
        if TextKind.DOCUMENT not in self._kinds:
            return await self._inner.encode_documents(texts)
        return await self._encode(texts, TextKind.DOCUMENT, self._inner.encode_documents)

    async def close(self) -> None:
        """Cancel what is being computed."""
        await self._flights.close()

    async def _encode(
        self, texts: Sequence[str], kind: TextKind, encode: Callable[[Sequence[str]], Awaitable[Matrix]]
    ) -> Matrix:
        digest = self._inner.model.digest
        keys = [_key(digest, kind, text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        vectors = self._look_up(kind, keys)
        missing = [key for key in text_of if key not in vectors]
        if missing:

            async def compute(unclaimed: Sequence[TextKey]) -> Sequence[Vector]:
                matrix = await encode([text_of[key] for key in unclaimed])
                if len(matrix) != len(unclaimed):
                    raise DependencyInvalid("embedding", f"{len(matrix)} vectors for {len(unclaimed)} texts")
                self._store(kind, dict(zip(unclaimed, matrix, strict=True)))
                return list(matrix)

            computed = await self._wait.run(partial(self._flights.run_many, missing, compute))
            vectors.update(zip(missing, computed, strict=True))
        return _stacked([vectors[key] for key in keys], self._inner.model.dimensions)

    def _look_up(self, kind: TextKind, keys: Sequence[TextKey]) -> dict[TextKey, Vector]:
        if kind not in self._kinds:
            return {}
        found = self._cache.found(keys)
        hits = sum(key in found for key in keys)
        self._listener.on_lookup(hits=hits, misses=len(keys) - hits)
        return found

    def _store(self, kind: TextKind, vectors: Mapping[TextKey, Vector]) -> None:
        if kind in self._kinds:
            evicted = self._cache.keep(vectors)
            self._listener.on_store(size=len(self._cache), evicted=evicted)


def _context_without_deadline() -> Context:
    with without_deadline():
        return copy_context()


def _normalised(text: str) -> str:
    return " ".join(normalize("NFC", text).split()) or text


def _key(digest: str, kind: TextKind, text: str) -> TextKey:
    # surrogatepass: a lone surrogate is no reason to fail here; whether it can be encoded is the model's to say.
    return TextKey(digest, kind, blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest())


def _stacked(vectors: Sequence[Vector], dimensions: int) -> Matrix:
    if not vectors:
        return np.empty((0, dimensions), dtype=np.float32)
    return np.stack(vectors)
