from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from threading import Thread

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from advanced_rag.adapters.embedding_cache import (
    CacheValues,
    CachingEncoder,
    EvictionPolicy,
    TextKey,
    TextKind,
    VectorCache,
)
from advanced_rag.domain.documents import Matrix, Vector
from advanced_rag.exceptions import DeadlineExceeded, DependencyInvalid
from advanced_rag.ports.models import EmbeddingModel
from advanced_rag.resilience.deadline import deadline_scope, remaining_s
from advanced_rag.resilience.outcomes import CUT_OFF
from tests.fakes.clock import FakeClock

BOTH = frozenset(TextKind)


class HashingEncoder:
    """Vectors that depend on kind and text alone; remembers every batch it was asked for."""

    def __init__(self, digest: str = "d1") -> None:
        self.model = EmbeddingModel("mini", digest, 2, 16)
        self.batches: list[tuple[str, list[str]]] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.cancelled_by: list[tuple[object, ...]] = []
        self.remaining: list[float] = []

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        return await self._encode("query", texts)

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        return await self._encode("document", texts)

    async def _encode(self, kind: str, texts: Sequence[str]) -> Matrix:
        self.batches.append((kind, list(texts)))
        self.remaining.append(remaining_s())
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError as error:
                self.cancelled_by.append(error.args)
                raise
        if self.error is not None:
            raise self.error
        return np.array([vector(kind, text) for text in texts], dtype=np.float32)


class Counts:
    """A listener that adds up."""

    def __init__(self) -> None:
        self.hits = self.misses = self.evicted = self.size = 0

    def on_lookup(self, *, hits: int, misses: int) -> None:
        self.hits += hits
        self.misses += misses

    def on_store(self, *, size: int, evicted: int) -> None:
        self.size = size
        self.evicted += evicted


def vector(kind: str, text: str) -> Vector:
    angle = Random(f"{kind}:{text}").uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


@pytest.fixture
def inner() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counts() -> Counts:
    return Counts()


def made(inner: HashingEncoder, clock: FakeClock, counts: Counts | None = None, **values: object) -> CachingEncoder:
    return CachingEncoder(inner, CacheValues(**values), clock=clock, listener=counts)  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_was_asked_before_is_not_computed_again(
    inner: HashingEncoder, clock: FakeClock, counts: Counts
) -> None:
    encoder = made(inner, clock, counts)
    first = await encoder.encode_queries(["a", "b"])
    second = await encoder.encode_queries(["b", "c", "b", "a"])
    assert inner.batches == [("query", ["a", "b"]), ("query", ["c"])]
    assert second.dtype == np.float32
    np.testing.assert_array_equal(second, [vector("query", text) for text in "bcba"])
    np.testing.assert_array_equal(first, second[[3, 0]])
    assert (counts.hits, counts.misses, counts.size, encoder.size) == (3, 3, 3, 3)


async def test_nothing_asked_is_an_empty_matrix(inner: HashingEncoder, clock: FakeClock) -> None:
    assert (await made(inner, clock).encode_queries([])).shape == (0, 2)
    assert inner.batches == []


async def test_queries_and_documents_of_the_same_words_are_different_texts(
    inner: HashingEncoder, clock: FakeClock
) -> None:
    encoder = made(inner, clock, kinds=BOTH)
    await encoder.encode_queries(["a"])
    (document,) = await encoder.encode_documents(["a"])
    np.testing.assert_array_equal(document, vector("document", "a"))
    await encoder.encode_documents(["a"])
    assert [kind for kind, _ in inner.batches] == ["query", "document"]


async def test_documents_are_passed_on_unless_they_are_to_be_kept(
    inner: HashingEncoder, clock: FakeClock, counts: Counts
) -> None:
    encoder = made(inner, clock, counts)
    for _ in range(2):
        await encoder.encode_documents(["a  b"])
    assert inner.batches == [("document", ["a  b"])] * 2
    assert (encoder.size, counts.misses) == (0, 0)


async def test_queries_that_differ_in_white_space_or_composition_are_one(
    inner: HashingEncoder, clock: FakeClock
) -> None:
    encoder = made(inner, clock)
    rows = await encoder.encode_queries([" caf\u00e9  au lait\n", "cafe\u0301 au lait", " "])
    assert inner.batches == [("query", ["café au lait", " "])]
    np.testing.assert_array_equal(rows[0], rows[1])


async def test_another_model_has_other_vectors(clock: FakeClock) -> None:
    cache = VectorCache(max_size=10, ttl_seconds=60, eviction_policy="lru", clock=clock)
    cache.keep({TextKey("d1", TextKind.QUERY, b"a"): vector("query", "a")})
    assert cache.found([TextKey("d2", TextKind.QUERY, b"a")]) == {}


async def test_a_vector_lives_an_hour(inner: HashingEncoder, clock: FakeClock) -> None:
    encoder = made(inner, clock)
    await encoder.encode_queries(["a"])
    clock.advance(3_599.9)
    await encoder.encode_queries(["a"])
    clock.advance(0.1)
    await encoder.encode_queries(["a"])
    assert len(inner.batches) == 2


@pytest.mark.parametrize(
    ("policy", "asked", "evicted"),
    [("lru", "abcbbac", "b"), ("lfu", "abcab", "c"), ("fifo", "abcab", "a")],
)
async def test_what_goes_first_is_chosen_by_the_policy(
    inner: HashingEncoder, clock: FakeClock, counts: Counts, policy: EvictionPolicy, asked: str, evicted: str
) -> None:
    encoder = made(inner, clock, counts, max_size=3, eviction_policy=policy)
    for text in asked:
        await encoder.encode_queries([text])
    await encoder.encode_queries(["new"])
    assert (encoder.size, counts.evicted) == (3, 1)
    batches = len(inner.batches)
    for text in "abc":
        if text != evicted:
            await encoder.encode_queries([text])
    assert len(inner.batches) == batches
    await encoder.encode_queries([evicted])
    assert len(inner.batches) == batches + 1


async def test_what_is_kept_cannot_be_changed_by_who_asked(inner: HashingEncoder, clock: FakeClock) -> None:
    encoder = made(inner, clock)
    mine = await encoder.encode_queries(["a"])
    mine[:] = 0
    np.testing.assert_array_equal(await encoder.encode_queries(["a"]), [vector("query", "a")])
    cache = VectorCache(max_size=10, ttl_seconds=60, eviction_policy="lru", clock=clock)
    key = TextKey("d1", TextKind.QUERY, b"a")
    matrix = np.ones((1_000, 2), dtype=np.float32)
    cache.keep({key: matrix[0]})
    kept = cache.found([key])[key]
    assert not kept.flags.writeable
    assert kept.base is None  # a view would keep the whole batch alive


async def test_switched_off_it_keeps_nothing_and_still_computes_once_what_is_asked_at_once(
    inner: HashingEncoder, clock: FakeClock, counts: Counts
) -> None:
    encoder = made(inner, clock, counts, enabled=False)
    await asyncio.gather(*(encoder.encode_queries(["a"]) for _ in range(10)))
    await encoder.encode_queries(["a"])
    assert len(inner.batches) == 2
    assert (encoder.size, counts.hits, counts.misses) == (0, 0, 0)


async def test_the_same_text_asked_by_a_hundred_at_once_is_computed_once(
    inner: HashingEncoder, clock: FakeClock
) -> None:
    inner.gate = asyncio.Event()
    encoder = made(inner, clock)
    callers = [asyncio.create_task(encoder.encode_queries(["a", f"own {n}"])) for n in range(100)]
    await settle()
    assert sum("a" in texts for _, texts in inner.batches) == 1
    inner.gate.set()
    for matrix in await asyncio.gather(*callers):
        np.testing.assert_array_equal(matrix[0], vector("query", "a"))
    await encoder.encode_queries(["a"])
    assert sum("a" in texts for _, texts in inner.batches) == 1


async def test_a_callers_cancellation_cancels_nobody_else(inner: HashingEncoder, clock: FakeClock) -> None:
    inner.gate = asyncio.Event()
    encoder = made(inner, clock)
    first, second = (asyncio.create_task(encoder.encode_queries(["a"])) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    inner.gate.set()
    assert (await second).shape == (1, 2)


@pytest.mark.req("R3.5")
async def test_the_encoder_hears_that_its_last_caller_was_cut_off(inner: HashingEncoder, clock: FakeClock) -> None:
    inner.gate = asyncio.Event()
    encoder = made(inner, clock)
    lane = asyncio.create_task(encoder.encode_queries(["a"]))
    await settle()
    lane.cancel(CUT_OFF)
    await asyncio.gather(lane, return_exceptions=True)
    await settle()
    assert inner.cancelled_by == [(CUT_OFF,)]


@pytest.mark.req("R3.4")
async def test_everyone_waits_by_the_own_deadline_and_the_computation_has_none(
    inner: HashingEncoder, clock: FakeClock
) -> None:
    inner.gate = asyncio.Event()
    encoder = made(inner, clock)

    async def hurried() -> None:
        with deadline_scope(0.06):
            await encoder.encode_queries(["a"])

    first = asyncio.create_task(hurried())
    await settle()
    second = asyncio.create_task(encoder.encode_queries(["a"]))
    with pytest.raises(DeadlineExceeded):
        await first
    inner.gate.set()
    assert (await second).shape == (1, 2)
    assert inner.remaining == [float("inf")]


async def test_an_error_is_everyones_and_is_not_kept(inner: HashingEncoder, clock: FakeClock) -> None:
    encoder = made(inner, clock)
    inner.error = DependencyInvalid("embedding")
    ends = await asyncio.gather(*(encoder.encode_queries(["a"]) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(end, DependencyInvalid) for end in ends)
    inner.error = None
    assert (await encoder.encode_queries(["a"])).shape == (1, 2)


async def test_too_few_vectors_are_an_error_and_not_kept(clock: FakeClock) -> None:
    class Short(HashingEncoder):
        async def encode_queries(self, texts: Sequence[str]) -> Matrix:
            return (await super().encode_queries(texts))[1:]

    encoder = made(Short(), clock)
    with pytest.raises(DependencyInvalid):
        await encoder.encode_queries(["a", "b"])
    assert encoder.size == 0


async def test_a_lone_surrogate_is_the_models_to_refuse(inner: HashingEncoder, clock: FakeClock) -> None:
    encoder = made(inner, clock)
    inner.error = DependencyInvalid("embedding")
    with pytest.raises(DependencyInvalid):
        await encoder.encode_queries(["\ud800"])


async def test_closing_ends_what_is_computed(inner: HashingEncoder, clock: FakeClock) -> None:
    inner.gate = asyncio.Event()
    encoder = made(inner, clock)
    caller = asyncio.create_task(encoder.encode_queries(["a"]))
    await settle()
    await encoder.close()
    ends = await asyncio.gather(caller, return_exceptions=True)
    assert isinstance(ends[0], Exception)
    assert inner.cancelled_by == [()]


async def test_queries_as_in_life_hit_more_often_than_not(
    inner: HashingEncoder, clock: FakeClock, counts: Counts
) -> None:
    """Zipf(1.0) over 10,000 queries, and a cache that holds a tenth of them."""
    encoder = made(inner, clock, counts, max_size=1_000)
    ranks = range(1, 10_001)
    for rank in Random(1).choices(ranks, weights=[1 / rank for rank in ranks], k=10_000):
        await encoder.encode_queries([f"query {rank}"])
    print(f"hit rate {counts.hits / 10_000:.2f}")
    assert counts.hits > 5_000
    assert encoder.size == 1_000


def test_a_hundred_threads_stay_within_the_size_and_see_only_right_vectors() -> None:
    cache = VectorCache(max_size=50, ttl_seconds=3_600, eviction_policy="lru", clock=FakeClock())
    keys = [TextKey("d1", TextKind.QUERY, str(n).encode()) for n in range(200)]
    vectors = {key: np.full(2, n, dtype=np.float32) for n, key in enumerate(keys)}
    faults: Counter[str] = Counter()

    def work(seed: int) -> None:
        dice = Random(seed)
        for _ in range(1_000):
            some = dice.sample(keys, 5)
            for key, found in cache.found(some).items():
                faults["wrong"] += not np.array_equal(found, vectors[key])
            cache.keep({key: vectors[key] for key in some})
            faults["too many"] += len(cache) > 50

    threads = [Thread(target=work, args=(seed,), daemon=True) for seed in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert faults.total() == 0
    assert len(cache) == 50


class CacheAgainstModel(RuleBasedStateMachine):
    """The cache against a plain list of (key, expiry, uses), oldest or least recently used first."""

    MAX_SIZE = 4
    TTL_S = 10.0
    keys = st.integers(0, 6)

    @initialize(policy=st.sampled_from(["lru", "fifo"]))
    def start(self, policy: EvictionPolicy) -> None:
        self.policy = policy
        self.clock = FakeClock()
        self.cache = VectorCache(
            max_size=self.MAX_SIZE, ttl_seconds=self.TTL_S, eviction_policy=policy, clock=self.clock
        )
        self.model: list[tuple[int, float]] = []

    @rule(keys=st.lists(keys, min_size=1, max_size=3, unique=True))
    def ask(self, keys: list[int]) -> None:
        expected = []
        for key in keys:
            entry = next((entry for entry in self.model if entry[0] == key), None)
            if entry is None:
                continue
            if entry[1] <= self.clock.now:
                self.model.remove(entry)
                continue
            expected.append(key)
            if self.policy == "lru":
                self.model.remove(entry)
                self.model.append(entry)
        found = self.cache.found([self.key(key) for key in keys])
        assert set(found) == {self.key(key) for key in expected}
        assert all(np.array_equal(kept, self.vector(key)) for key, kept in zip(expected, found.values(), strict=True))

    @rule(keys=st.lists(keys, min_size=1, max_size=6, unique=True))
    def keep(self, keys: list[int]) -> None:
        evicted = 0
        for key in keys:
            known = any(entry[0] == key for entry in self.model)
            if not known and len(self.model) == self.MAX_SIZE:
                self.model.pop(0)
                evicted += 1
            self.model = [entry for entry in self.model if entry[0] != key]
            self.model.append((key, self.clock.now + self.TTL_S))
        assert self.cache.keep({self.key(key): self.vector(key) for key in keys}) == evicted

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def they_are_of_one_size(self) -> None:
        assert len(self.cache) == len(self.model) <= self.MAX_SIZE

    @staticmethod
    def key(number: int) -> TextKey:
        return TextKey("d1", TextKind.QUERY, bytes([number]))

    @staticmethod
    def vector(number: int) -> Vector:
        return np.full(2, number, dtype=np.float32)


TestCacheAgainstModel = CacheAgainstModel.TestCase
TestCacheAgainstModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
