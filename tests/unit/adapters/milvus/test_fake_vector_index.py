"""The fake that everybody else tests with passes the contract of the real one."""

from __future__ import annotations

import pytest

from tests.contracts.vector_index import DIMENSION, DenseIndexContract, SparseIndexContract
from tests.fakes.vector_index import FakeSparseIndex, FakeVectorIndex


class TestFakeDenseIndex(DenseIndexContract):
    @pytest.fixture
    def index(self) -> FakeVectorIndex:
        return FakeVectorIndex(dimension=DIMENSION)


class TestFakeSparseIndex(SparseIndexContract):
    @pytest.fixture
    def index(self) -> FakeSparseIndex:
        return FakeSparseIndex()
