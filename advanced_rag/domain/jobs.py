"""The life of a job."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """`queued` and `running` go on by themselves, whoever is killed; the others are the end."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (JobState.QUEUED, JobState.RUNNING)
