"""The fake keeps to its port's contract."""

from __future__ import annotations

import pytest

from tests.contracts.cited_documents import CitedDocumentsContract, CitedPorts
from tests.fakes.cited_documents import FakeCitedDocuments
from tests.fakes.document_store import FakeDocumentStore


class TestFakeCitedDocuments(CitedDocumentsContract):
    @pytest.fixture
    def ports(self) -> CitedPorts:
        documents = FakeDocumentStore()
        return CitedPorts(documents, FakeCitedDocuments(documents))
