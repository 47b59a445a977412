"""One guard for each dependency and lane, none shared; built from the settings in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from advanced_rag.config import Settings
from advanced_rag.domain.documents import Lane
from advanced_rag.resilience.breaker_values import BreakerValues
from advanced_rag.resilience.bulkhead import BulkheadValues
from advanced_rag.resilience.guard import Guard, GuardValues, build_guard
from advanced_rag.resilience.retry import RetryValues
from advanced_rag.telemetry.metrics import Metrics
from advanced_rag.telemetry.resilience_events import ResilienceEvents

DATABASE = "database"
EMBEDDING = "embedding"


def lane_guard_name(lane: Lane) -> str:
    """`milvus.semantic` and so on."""
    return f"milvus.{lane.value}"


@dataclass(frozen=True, slots=True)
class Guards:
    """Makes guards and knows those that it made, for health."""

    settings: Settings
    metrics: Metrics
    events: ResilienceEvents
    made: dict[str, Guard] = field(default_factory=dict)

    def lane(self, lane: Lane) -> Guard:
        """Around one lane's searches; writes go through it with another attempt timeout."""
        milvus = self.settings.milvus
        permits = {
            Lane.SEMANTIC: milvus.semantic_permits,
            Lane.SPARSE: milvus.sparse_permits,
            Lane.DOMAIN: milvus.domain_permits,
        }[lane]
        # slow_s is None: only a cut-off is slow, for a Milvus that is slow as a whole must not open all lanes (R1.4).
        return self._made(
            lane_guard_name(lane),
            attempt_timeout_s=milvus.search_timeout_s,
            bulkhead=BulkheadValues(permits, permits * milvus.waiters_per_permit, milvus.permit_wait_s),
            slow_s=None,
        )

    def database(self) -> Guard:
        """Around the stores: as many permits as the pool has connections, so that the pool is never waited for.

        What timed out is not tried again: slow once is slow again, and a COMMIT may have taken effect (R3.7).
        """
        database = self.settings.database
        permits = database.pool_size + database.max_overflow
        return self._made(
            DATABASE,
            attempt_timeout_s=database.statement_timeout_s,
            bulkhead=BulkheadValues(permits, permits * database.waiters_per_permit, database.pool_timeout_s),
            slow_s=database.slow_call_s,
            retries_timeouts=False,
        )

    def embedding(self, name: str = EMBEDDING) -> Guard:
        """Around an encoder's queries. What waits for a local model waits in its own queue: the permits are many."""
        embedding = self.settings.embedding
        return self._made(
            name,
            attempt_timeout_s=embedding.query_timeout_s,
            bulkhead=BulkheadValues(embedding.permits, embedding.permits, embedding.query_timeout_s),
            slow_s=embedding.slow_call_s,
        )

    def embedding_documents(self, name: str = EMBEDDING) -> Guard:
        """Around an encoder's documents, apart from its queries: a batch under load takes seconds and is not slow."""
        embedding = self.settings.embedding
        return self._made(
            f"{name}.documents",
            attempt_timeout_s=embedding.document_timeout_s,
            bulkhead=BulkheadValues(embedding.permits, embedding.permits, embedding.document_timeout_s),
            slow_s=None,
        )

    def _made(
        self,
        name: str,
        *,
        attempt_timeout_s: float,
        bulkhead: BulkheadValues,
        slow_s: float | None,
        retries_timeouts: bool = True,
    ) -> Guard:
        if name in self.made:
            return self.made[name]
        guards = self.settings.guards
        self.metrics.declare_guard(name)
        guard = build_guard(
            name,
            GuardValues(
                attempt_timeout_s=attempt_timeout_s,
                bulkhead=bulkhead,
                retry=RetryValues(
                    max_attempts=guards.max_attempts,
                    backoff_base_s=guards.backoff_base_s,
                    backoff_max_s=guards.backoff_max_s,
                    budget=guards.retry_budget,
                    budget_per_call=guards.retry_budget_ratio,
                ),
                breaker=BreakerValues(
                    max_calls=guards.breaker_window,
                    window_s=guards.breaker_window_s,
                    minimum_calls=guards.breaker_minimum_calls,
                    failure_ratio=guards.breaker_failure_ratio,
                    slow_ratio=guards.breaker_slow_ratio,
                    unanswered_in_a_row=guards.breaker_consecutive_failures,
                    open_s=guards.breaker_open_s,
                    open_max_s=guards.breaker_open_max_s,
                    probes=guards.breaker_half_open_permits,
                    slow_s=slow_s,
                ),
                retries_timeouts=retries_timeouts,
            ),
            listener=self.events,
        )
        self.made[name] = guard
        return guard
