from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.resilience.breaker_window import BreakerWindow

entries = st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.booleans()), max_size=60)


@pytest.mark.req("R1.2")
@given(entries, st.floats(0, 60))
def test_the_running_counts_are_those_of_the_last_entries_that_are_young_enough(
    steps: list[tuple[float, bool, bool]], silence_s: float
) -> None:
    window = BreakerWindow(max_calls=10, max_age_s=30.0)
    now = 0.0
    records: list[tuple[float, bool, bool]] = []
    for pause_s, failed, slow in steps:
        now += pause_s
        window.prune(now)
        window.record(now, failed=failed, slow=slow, answered=not failed)
        records.append((now, failed, slow))
    now += silence_s
    window.prune(now)
    kept = [record for record in records[-10:] if record[0] >= now - 30.0]
    assert window.calls == len(kept)
    assert window.failures == sum(failed for _, failed, _ in kept)
    assert window.slow == sum(slow for _, _, slow in kept)


@pytest.mark.req("R1.2")
def test_cleared_it_remembers_nothing() -> None:
    window = BreakerWindow(max_calls=10, max_age_s=30.0)
    window.record(1.0, failed=True, slow=True, answered=False)
    window.clear()
    assert (window.calls, window.failures, window.slow, window.unanswered_in_a_row) == (0, 0, 0, 0)
