from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.embedding_model.backend_choice import MIN_COSINE, Measurement, passing
from advanced_rag.adapters.embedding_model.precision import Precision

GOOD = Measurement(min_cosine=1.0, mean_cosine=1.0, queries_per_s=100.0, passages_per_s=10.0)
measurements = st.dictionaries(
    st.sampled_from(Precision),
    st.builds(Measurement, *(st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e4), st.floats(1, 1e4))),
)


@given(measurements)
def test_only_what_is_close_enough_serves_and_the_fastest_first(measured: dict[Precision, Measurement]) -> None:
    able = passing(measured)
    assert set(able) == {name for name, values in measured.items() if values.min_cosine > MIN_COSINE[name]}
    speeds = [measured[name].speed for name in able]
    assert speeds == sorted(speeds, reverse=True)


def test_a_fast_int8_that_is_not_close_enough_is_passed_over() -> None:
    fast = replace(GOOD, queries_per_s=500.0, passages_per_s=50.0)
    assert passing({Precision.BF16: GOOD, Precision.INT8: replace(fast, min_cosine=0.996)})[0] is Precision.INT8
    assert passing({Precision.BF16: GOOD, Precision.INT8: replace(fast, min_cosine=0.987)}) == [Precision.BF16]


def test_not_a_number_is_not_close() -> None:
    assert passing({Precision.F32: replace(GOOD, min_cosine=math.nan)}) == []


def test_a_measurement_survives_being_written() -> None:
    assert Measurement.of(GOOD.as_fields()) == GOOD
    with pytest.raises(KeyError):
        Measurement.of({"min_cosine": 1.0})
