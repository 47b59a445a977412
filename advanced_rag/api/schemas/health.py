"""`/healthz` and its parts."""

from __future__ import annotations

from typing import Any, Literal

from advanced_rag.api.schemas.base import AnswerModel
from advanced_rag.services.health import ComponentHealth, HealthReport


class ComponentAnswer(AnswerModel):
    """One dependency as the prober last saw it, `age_s` seconds ago."""

    name: str
    state: str
    latency_ms: float | None
    age_s: float | None
    last_error: str | None
    breaker: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, component: ComponentHealth) -> ComponentAnswer:
        """One component."""
        return cls(
            name=component.name,
            state=component.state.value,
            latency_ms=_rounded(component.latency_ms),
            age_s=_rounded(component.age_s),
            last_error=component.last_error,
            breaker=component.breaker,
            details=dict(component.details),
        )


class HealthAnswer(AnswerModel):
    """How the service is."""

    status: str
    serving: bool
    components: list[ComponentAnswer]
    version: str
    uptime_s: float
    features: dict[str, bool]

    @classmethod
    def of(cls, report: HealthReport) -> HealthAnswer:
        """The prober's report."""
        return cls(
            status=report.status,
            serving=report.serving,
            components=[ComponentAnswer.of(component) for component in report.components],
            version=report.version,
            uptime_s=round(report.uptime_s, 1),
            features=dict(report.features),
        )


class LiveAnswer(AnswerModel):
    """This process runs."""

    status: Literal["live"] = "live"


class ReadyAnswer(AnswerModel):
    """This process can be sent requests: `ready`, or `degraded` where something is missing but answers are possible."""

    status: str


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
