"""Each port again, every call through a `Guard`.

What is retried is said by the adapter inside: it raises `DependencyError` with `transient` only where repeating the
whole method is safe (an upsert by deterministic id, a transaction that certainly did not commit). `stage`, `append` and
`create` are no different in that: a connection lost during COMMIT is not transient.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from advanced_rag.ports.collections import CollectionRegistry
from advanced_rag.ports.conversations import CitedDocuments, ConversationStore, FeedbackStore, Retention
from advanced_rag.ports.documents import DocumentReader, DocumentStore, VersionSweep
from advanced_rag.ports.idempotency import IdempotencyStore
from advanced_rag.ports.indexes import PassageStore, VectorIndex
from advanced_rag.ports.jobs import JobQueue, JobStore
from advanced_rag.ports.ledger import ChunkLedger
from advanced_rag.ports.models import EmbeddingModel, Encoder
from advanced_rag.resilience.guard import Guard

Port = TypeVar("Port")
P = ParamSpec("P")
T = TypeVar("T")


class Guarded(Generic[Port]):
    """A port's methods through `guard`, or through the one that `by_method` names for them (another time limit)."""

    def __init__(self, inner: Port, guard: Guard, by_method: Mapping[str, Guard] | None = None) -> None:
        self.inner = inner
        self.guard = guard
        self.by_method = dict(by_method or {})
        for name in self.by_method:
            if not hasattr(inner, name):
                raise ValueError(f"{type(inner).__name__} has no method {name}")


def through_guard(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Guarded[Any], P], Coroutine[Any, Any, T]]:
    """The port's `method` with the same signature, on a `Guarded`."""
    name = method.__name__

    async def guarded(self: Guarded[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        guard = self.by_method.get(name, self.guard)
        call: Callable[[], Coroutine[Any, Any, T]] = partial(getattr(self.inner, name), *args, **kwargs)
        return await guard.run(call)

    guarded.__name__ = name
    guarded.__qualname__ = f"Guarded.{name}"
    guarded.__doc__ = method.__doc__
    return guarded


class GuardedVectorIndex(Guarded[VectorIndex]):
    """A lane's index."""

    search = through_guard(VectorIndex.search)
    upsert = through_guard(VectorIndex.upsert)
    delete = through_guard(VectorIndex.delete)
    present = through_guard(VectorIndex.present)
    vectors = through_guard(VectorIndex.vectors)
    page_of_ids = through_guard(VectorIndex.page_of_ids)


class GuardedPassageStore(Guarded[PassageStore]):
    """The texts beside an index."""

    passages = through_guard(PassageStore.passages)


class GuardedEncoder(Guarded[Encoder]):
    """An embedding model."""

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        return self.inner.model

    encode_queries = through_guard(Encoder.encode_queries)
    encode_documents = through_guard(Encoder.encode_documents)


class GuardedDocumentStore(Guarded[DocumentStore]):
    """Writing versions."""

    unchanged = through_guard(DocumentStore.unchanged)
    stage = through_guard(DocumentStore.stage)
    activate = through_guard(DocumentStore.activate)
    abandon = through_guard(DocumentStore.abandon)
    delete = through_guard(DocumentStore.delete)
    delete_all = through_guard(DocumentStore.delete_all)


class GuardedDocumentReader(Guarded[DocumentReader]):
    """Reading what is visible."""

    visible = through_guard(DocumentReader.visible)
    document = through_guard(DocumentReader.document)
    documents = through_guard(DocumentReader.documents)
    existing = through_guard(DocumentReader.existing)
    chunks = through_guard(DocumentReader.chunks)


class GuardedVersionSweep(Guarded[VersionSweep]):
    """Removing what nobody may see."""

    sweepable = through_guard(VersionSweep.sweepable)
    purge = through_guard(VersionSweep.purge)


class GuardedChunkLedger(Guarded[ChunkLedger]):
    """What the indexes should hold."""

    page = through_guard(ChunkLedger.page)
    known = through_guard(ChunkLedger.known)
    versions = through_guard(ChunkLedger.versions)


class GuardedConversationStore(Guarded[ConversationStore]):
    """Sessions and their messages."""

    create = through_guard(ConversationStore.create)
    append = through_guard(ConversationStore.append)
    session = through_guard(ConversationStore.session)
    sessions = through_guard(ConversationStore.sessions)
    messages = through_guard(ConversationStore.messages)
    history = through_guard(ConversationStore.history)
    delete = through_guard(ConversationStore.delete)


class GuardedCitedDocuments(Guarded[CitedDocuments]):
    """The documents behind citations."""

    created = through_guard(CitedDocuments.created)


class GuardedRetention(Guarded[Retention]):
    """Forgetting what is old."""

    expire = through_guard(Retention.expire)


class GuardedFeedbackStore(Guarded[FeedbackStore]):
    """Votes."""

    vote = through_guard(FeedbackStore.vote)
    votes = through_guard(FeedbackStore.votes)


class GuardedJobStore(Guarded[JobStore]):
    """Jobs as their tenant sees them."""

    enqueue = through_guard(JobStore.enqueue)
    job = through_guard(JobStore.job)
    jobs = through_guard(JobStore.jobs)
    cancel = through_guard(JobStore.cancel)


class GuardedJobQueue(Guarded[JobQueue]):
    """Jobs as a runner sees them."""

    claim = through_guard(JobQueue.claim)
    heartbeat = through_guard(JobQueue.heartbeat)
    record = through_guard(JobQueue.record)
    defer = through_guard(JobQueue.defer)
    expire = through_guard(JobQueue.expire)


class GuardedIdempotencyStore(Guarded[IdempotencyStore]):
    """Keys and the answers under them."""

    claim = through_guard(IdempotencyStore.claim)
    renew = through_guard(IdempotencyStore.renew)
    finish = through_guard(IdempotencyStore.finish)
    release = through_guard(IdempotencyStore.release)
    expire = through_guard(IdempotencyStore.expire)


class GuardedCollectionRegistry(Guarded[CollectionRegistry]):
    """Which collection a lane reads."""

    active = through_guard(CollectionRegistry.active)
    register = through_guard(CollectionRegistry.register)
