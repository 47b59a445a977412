"""The fake ledger keeps to the port's contract."""

from __future__ import annotations

import pytest

from tests.contracts.chunk_ledger import ChunkLedgerContract, LedgerPorts
from tests.fakes.chunk_ledger import FakeChunkLedger
from tests.fakes.document_store import FakeDocumentStore


class TestFakeChunkLedger(ChunkLedgerContract):
    @pytest.fixture
    def ports(self) -> LedgerPorts:
        fake = FakeDocumentStore()
        return LedgerPorts(fake, fake, fake, FakeChunkLedger(fake))
