from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.embedding_model.vector_checks import unit_rows
from advanced_rag.exceptions import DependencyInvalid

numbers = st.floats(-1e3, 1e3, width=32)
rows = st.lists(st.lists(numbers, min_size=3, max_size=3).filter(lambda row: math.hypot(*row) > 1e-3), max_size=5)


@given(rows)
def test_rows_keep_their_direction_and_become_unit_length(vectors: list[list[float]]) -> None:
    matrix = unit_rows(np.asarray(vectors, dtype=np.float32).reshape(-1, 3), count=len(vectors), dimensions=3)
    assert matrix.shape == (len(vectors), 3)
    for given_row, row in zip(vectors, matrix, strict=True):
        assert math.isclose(float(np.linalg.norm(row)), 1.0, abs_tol=1e-5)
        assert float(np.dot(row, given_row)) > 0


@pytest.mark.req("R1.9")
@pytest.mark.parametrize(
    "vectors",
    [
        [[1.0, 2.0]],
        [[1.0, 2.0]] * 3,
        [[1.0, 2.0], [1.0]],
        [[1.0, math.nan], [1.0, 2.0]],
        [[1.0, math.inf], [1.0, 2.0]],
        [[0.0, 0.0], [1.0, 2.0]],
        [[1.0, None], [1.0, 2.0]],
        [["a", "b"], [1.0, 2.0]],
        [1.0, 2.0],
        [[[1.0, 2.0]], [[1.0, 2.0]]],
        [[1e30, 1e30], [1.0, 2.0]],
        [],
        {},
    ],
)
def test_whatever_is_not_two_vectors_of_two_numbers_is_refused(vectors: Any) -> None:
    with pytest.raises(DependencyInvalid) as caught:
        unit_rows(vectors, count=2, dimensions=2)
    assert caught.value.transient


def test_another_dimension_will_not_mend_itself() -> None:
    with pytest.raises(DependencyInvalid) as caught:
        unit_rows([[1.0, 2.0, 3.0]], count=1, dimensions=2)
    assert not caught.value.transient
