"""What an attempt's end says about the dependency (reliability R1.9).

The adapter has translated into our hierarchy before: only classes are looked at. An exception that is none of ours is
our bug, not the dependency's, and counts for nothing.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final

from advanced_rag.exceptions import CallerError, DeadlineExceeded, DependencyError

CUT_OFF: Final = "cut off: another lane has answered"
"""`task.cancel(CUT_OFF)`: given up for its slowness (R3.5), which counts, unlike any other cancellation."""


class Outcome(StrEnum):
    """How an attempt ended, as the breaker counts it."""

    SUCCESS = "success"
    FAILURE = "failure"
    CUT_OFF = "cut_off"  # slow and without an answer
    IGNORED = "ignored"  # says nothing about the dependency: not sent, or given up by the caller


def was_cut_off(error: BaseException) -> bool:
    """Whether this is the cancellation that `task.cancel(CUT_OFF)` made."""
    return isinstance(error, asyncio.CancelledError) and CUT_OFF in error.args


def outcome_of(error: BaseException | None, duration_s: float, slow_s: float | None) -> Outcome:
    """The outcome of an attempt that ended with `error` (None: it answered) after `duration_s`.

    Args:
        error: what the attempt raised.
        duration_s: from the start of the call, without the wait for a permit.
        slow_s: from when on an answer of this dependency is slow; None where only a cut-off is.

    Returns:
        IGNORED for the request's own deadline unless the dependency had `slow_s` to answer and did not: a caller in a
        hurry must not open the breaker for the others.
    """
    match error:
        case None | CallerError():
            return Outcome.SUCCESS
        case DependencyError():
            return Outcome.FAILURE
        case DeadlineExceeded() if slow_s is not None and duration_s > slow_s:
            return Outcome.FAILURE
        case asyncio.CancelledError() if was_cut_off(error):
            return Outcome.CUT_OFF
        case _:  # LoadShed, cancellation, the deadline, our own bugs
            return Outcome.IGNORED
