from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from advanced_rag.adapters import guarded
from advanced_rag.adapters.guarded import (
    Guarded,
    GuardedChunkLedger,
    GuardedCitedDocuments,
    GuardedCollectionRegistry,
    GuardedConversationStore,
    GuardedDocumentReader,
    GuardedDocumentStore,
    GuardedEncoder,
    GuardedFeedbackStore,
    GuardedIdempotencyStore,
    GuardedJobQueue,
    GuardedJobStore,
    GuardedPassageStore,
    GuardedRetention,
    GuardedVectorIndex,
    GuardedVersionSweep,
)
from advanced_rag.domain.documents import ChunkId, Matrix, Tenant
from advanced_rag.exceptions import DependencyUnavailable
from advanced_rag.ports.collections import CollectionRegistry
from advanced_rag.ports.conversations import (
    CitedDocuments,
    ConversationStore,
    FeedbackStore,
    NewMessage,
    Retention,
    Role,
)
from advanced_rag.ports.documents import DocumentReader, DocumentStore, VersionSweep
from advanced_rag.ports.idempotency import IdempotencyStore
from advanced_rag.ports.indexes import PassageStore, VectorIndex
from advanced_rag.ports.jobs import JobQueue, JobStore
from advanced_rag.ports.ledger import ChunkLedger
from advanced_rag.ports.models import EmbeddingModel, Encoder
from advanced_rag.resilience.bulkhead import BulkheadValues
from advanced_rag.resilience.guard import Guard, GuardValues, build_guard

T = TypeVar("T")

PORTS: list[tuple[type, type[Guarded[Any]]]] = [
    (VectorIndex, GuardedVectorIndex),
    (PassageStore, GuardedPassageStore),
    (Encoder, GuardedEncoder),
    (DocumentStore, GuardedDocumentStore),
    (DocumentReader, GuardedDocumentReader),
    (VersionSweep, GuardedVersionSweep),
    (ConversationStore, GuardedConversationStore),
    (Retention, GuardedRetention),
    (FeedbackStore, GuardedFeedbackStore),
    (CitedDocuments, GuardedCitedDocuments),
    (ChunkLedger, GuardedChunkLedger),
    (CollectionRegistry, GuardedCollectionRegistry),
    (JobStore, GuardedJobStore),
    (JobQueue, GuardedJobQueue),
    (IdempotencyStore, GuardedIdempotencyStore),
]
METHODS = [
    pytest.param(wrapper, name, method, id=f"{port.__name__}.{name}")
    for port, wrapper in PORTS
    for name, method in inspect.getmembers(port, inspect.iscoroutinefunction)
]
VALUES = GuardValues(attempt_timeout_s=5.0, bulkhead=BulkheadValues(permits=2, max_waiters=2, max_wait_s=0.1))


class Counting:
    """A layer that counts what passes."""

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, call: Callable[[], Awaitable[T]], /) -> T:
        self.calls += 1
        return await call()


class Anything:
    """Has every method, and tells how it was called."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def method(*args: object, **kwargs: object) -> object:
            return name, args, kwargs

        return method


def typed(inner: Any, guard: Guard) -> tuple[object, ...]:
    """The type check of this function shows that every wrapper is what its port asks for."""
    vectors: VectorIndex = GuardedVectorIndex(inner, guard)
    passages: PassageStore = GuardedPassageStore(inner, guard)
    encoder: Encoder = GuardedEncoder(inner, guard)
    store: DocumentStore = GuardedDocumentStore(inner, guard)
    reader: DocumentReader = GuardedDocumentReader(inner, guard)
    sweep: VersionSweep = GuardedVersionSweep(inner, guard)
    conversations: ConversationStore = GuardedConversationStore(inner, guard)
    retention: Retention = GuardedRetention(inner, guard)
    feedback: FeedbackStore = GuardedFeedbackStore(inner, guard)
    cited: CitedDocuments = GuardedCitedDocuments(inner, guard)
    ledger: ChunkLedger = GuardedChunkLedger(inner, guard)
    collections: CollectionRegistry = GuardedCollectionRegistry(inner, guard)
    jobs: JobStore = GuardedJobStore(inner, guard)
    queue: JobQueue = GuardedJobQueue(inner, guard)
    keys: IdempotencyStore = GuardedIdempotencyStore(inner, guard)
    documents = (vectors, passages, encoder, store, reader, sweep)
    return *documents, conversations, retention, feedback, cited, ledger, collections, jobs, queue, keys


@pytest.mark.req("R3.1")
@pytest.mark.parametrize(("wrapper", "name", "method"), METHODS)
async def test_every_method_of_a_port_passes_its_guard_with_its_arguments(
    wrapper: type[Guarded[Any]], name: str, method: Callable[..., object]
) -> None:
    counting = Counting()
    wrapped = wrapper(Anything(), Guard(layers=(counting,)))
    parameters = list(inspect.signature(method).parameters.values())[1:]
    args = tuple(p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY)
    kwargs = {p.name: p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert await getattr(wrapped, name)(*args, **kwargs) == (name, args, kwargs)
    assert counting.calls == 1


def test_every_wrapper_is_tested_here() -> None:
    wrappers = {
        value
        for value in vars(guarded).values()
        if inspect.isclass(value) and issubclass(value, Guarded) and value is not Guarded
    }
    assert wrappers == {wrapper for _, wrapper in PORTS}
    assert len(typed(Anything(), Guard(layers=()))) == len(PORTS)


async def test_a_method_can_have_a_guard_of_its_own() -> None:
    reads, writes = Counting(), Counting()
    anything: Any = Anything()
    index = GuardedVectorIndex(anything, Guard(layers=(reads,)), {"upsert": Guard(layers=(writes,))})
    await index.upsert([])
    await index.present([ChunkId("c1")])
    assert (reads.calls, writes.calls) == (1, 1)


def test_a_guard_for_a_method_that_does_not_exist_is_refused() -> None:
    class Store:
        """Without any method."""

    inner: Any = Store()
    guard = Guard(layers=())
    with pytest.raises(ValueError, match="Store has no method passagse"):
        GuardedPassageStore(inner, guard, {"passagse": guard})


class Flaky:
    """A conversation store whose connection breaks once, in the way that `transient` says."""

    def __init__(self, *, transient: bool) -> None:
        self.transient = transient
        self.appends = 0

    async def append(self, tenant: Tenant, session_id: str, messages: list[NewMessage]) -> list[str]:
        self.appends += 1
        if self.appends == 1:
            raise DependencyUnavailable("database", transient=self.transient)
        return [f"{tenant}/{session_id}/{message.id}" for message in messages]


@pytest.mark.req("R3.7")
async def test_a_write_is_repeated_only_where_the_adapter_says_that_this_is_safe() -> None:
    message = NewMessage("m1", Role.USER, "hello", 1)
    before_commit: Any = Flaky(transient=True)
    store = GuardedConversationStore(before_commit, build_guard("database", VALUES))
    assert len(await store.append(Tenant("acme"), "s1", [message])) == 1
    assert before_commit.appends == 2

    during_commit: Any = Flaky(transient=False)
    store = GuardedConversationStore(during_commit, build_guard("database", VALUES))
    with pytest.raises(DependencyUnavailable):
        await store.append(Tenant("acme"), "s1", [message])
    assert during_commit.appends == 1


async def test_the_encoders_model_is_no_call() -> None:
    class OneModel:
        model = EmbeddingModel("mini", "abc", 2, 16)

        async def encode_queries(self, texts: list[str]) -> Matrix:
            return np.ones((len(texts), 2), dtype=np.float32)

    inner: Any = OneModel()
    counting = Counting()
    encoder = GuardedEncoder(inner, Guard(layers=(counting,)))
    assert encoder.model.dimensions == 2
    assert counting.calls == 0
    assert (await encoder.encode_queries(["a", "b"])).shape == (2, 2)
