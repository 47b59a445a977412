"""What every backend's answer must be before it is used: as many vectors as texts, of one length, finite, not zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from advanced_rag.domain.documents import Matrix
from advanced_rag.exceptions import DependencyInvalid

DEPENDENCY: Final = "embedding"
_MIN_NORM: Final = 1e-6  # below it a direction is rounding noise


def unit_rows(vectors: ArrayLike | Sequence[object], *, count: int, dimensions: int) -> Matrix:
    """The vectors as (count, dimensions) float32, each of unit length.

    Raises:
        DependencyInvalid: another count or dimension, a value that is no finite number, a vector without direction. A
            wrong dimension is not transient: the model is another one now.
    """
    try:
        matrix = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:  # rows of several lengths, or not numbers
        raise DependencyInvalid(DEPENDENCY, "the model's answer is not a matrix of numbers") from error
    if matrix.ndim != 2 or len(matrix) != count:  # rows and columns
        raise DependencyInvalid(DEPENDENCY, f"the model answered with another number of vectors than {count}")
    if matrix.shape[1] != dimensions:
        raise DependencyInvalid(
            DEPENDENCY, f"the model answered with {matrix.shape[1]} dimensions, not {dimensions}", transient=False
        )
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms < _MIN_NORM).any():
        raise DependencyInvalid(DEPENDENCY, "the model answered with a vector that has no direction")
    unit: Matrix = matrix / norms
    return unit
