"""What is committed in one transaction with something else, or not at all (reliability section 6, S9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.domain.jobs import JobState

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer of a request that came with an Idempotency-Key, kept for those that repeat it.

    `owner` is the mark of the claim under which it was made: without it nothing is kept, and nothing is refused.
    """

    tenant: Tenant
    route: str
    key: str
    owner: str
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class JobNote:
    """How far a job has got, said under the lease with that `token`: an older token is refused (LeaseLost).

    `results` has a JSON object for each document that is done, in the order of the input; `failed` counts those among
    them that failed. `state` is `running`, or the end.
    """

    tenant: Tenant
    job_id: str
    token: int
    results: Sequence[Json]
    failed: int
    state: JobState


CommitNote = KeptAnswer | JobNote
# Given the documents that a transaction flips, what else it is to commit. May be called more than once.
NoteOfFlip = Callable[[AbstractSet[DocumentId]], CommitNote]
