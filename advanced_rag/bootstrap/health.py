"""What the prober looks at, how, and what health shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from advanced_rag import __version__
from advanced_rag.adapters.milvus.liveness import check_connection
from advanced_rag.bootstrap.database import Database
from advanced_rag.bootstrap.guards import DATABASE, Guards
from advanced_rag.bootstrap.indexes import Indexes
from advanced_rag.config import Settings
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.resilience.guard import Guard
from advanced_rag.resilience.listener import BreakerState
from advanced_rag.services.health import HealthService, HealthValues, Probe


def build_health(
    settings: Settings, database: Database, indexes: Indexes, guards: Guards, features: FeatureFlags
) -> HealthService:
    """Milvus is required, the database is not: without it retrieval still answers (reliability R5.6)."""
    lanes = {name: guard for name, guard in guards.made.items() if name.startswith("milvus.")}
    stores = {DATABASE: guards.made[DATABASE]}
    health = settings.health
    return HealthService(
        probes=(
            Probe(
                name="milvus",
                check=partial(check_connection, indexes.connection),
                required=True,
                breaker=partial(_worst_state, lanes),
                details=partial(_states, lanes),
                healthy=partial(_hint, lanes),
            ),
            Probe(
                name="database",
                check=database.pool.check,
                breaker=partial(_worst_state, stores),
                details=partial(_pool_details, database),
                healthy=partial(_hint, stores),
            ),
        ),
        values=HealthValues(
            interval_s=health.interval_s,
            failing_interval_s=health.failing_interval_s,
            timeout_s=health.timeout_s,
            unavailable_after_s=health.unavailable_after_s,
        ),
        version=__version__,
        features=asdict(features),
    )


def _states(guards: Mapping[str, Guard]) -> dict[str, Any]:
    return {name: guard.breaker.state.value for name, guard in guards.items() if guard.breaker is not None}


def _worst_state(guards: Mapping[str, Guard]) -> str:
    states = set(_states(guards).values())
    worst_first = (BreakerState.OPEN.value, BreakerState.HALF_OPEN.value)
    return next((state for state in worst_first if state in states), BreakerState.CLOSED.value)


def _hint(guards: Mapping[str, Guard]) -> None:
    for guard in guards.values():
        if guard.breaker is not None:
            guard.breaker.hint_healthy()


def _pool_details(database: Database) -> dict[str, int]:
    pool = database.pool.snapshot()
    return {"size": pool.size, "checked_out": pool.checked_out, "idle": pool.idle, "waiting": pool.waiting}
