"""What holds for every encoder."""

from __future__ import annotations

import asyncio

import numpy as np

from advanced_rag.ports.models import Encoder

TEXTS = [
    "Where are the spare keys kept?",
    "the harbour is dredged every spring",
    "x",
    "zwei Monate Kündigungsfrist",
    "where are the spare keys kept",
    "a longer text " * 40,
]


class EncoderContract:
    """A subclass provides the fixture `encoder`."""

    async def test_every_text_gets_a_unit_vector_in_order(self, encoder: Encoder) -> None:
        together = await encoder.encode_documents(TEXTS)
        assert together.shape == (len(TEXTS), encoder.model.dimensions)
        assert together.dtype == np.float32
        assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-4)
        for row, text in zip(together, TEXTS, strict=True):
            (alone,) = await encoder.encode_documents([text])
            assert float(row @ alone) > 0.99

    async def test_queries_and_documents_are_encoded_into_one_space(self, encoder: Encoder) -> None:
        documents = await encoder.encode_documents(TEXTS[:2])
        (query,) = await encoder.encode_queries(["where are the spare keys kept?"])
        assert float(documents[0] @ query) > float(documents[1] @ query)

    async def test_no_text_is_no_vector(self, encoder: Encoder) -> None:
        assert (await encoder.encode_queries([])).shape == (0, encoder.model.dimensions)
        assert (await encoder.encode_documents([])).shape == (0, encoder.model.dimensions)

    async def test_concurrent_calls_get_their_own_vectors(self, encoder: Encoder) -> None:
        texts = [f"question number {number} about keys" for number in range(24)]
        one_by_one = [await encoder.encode_queries([text]) for text in texts]
        at_once = await asyncio.gather(*(encoder.encode_queries([text]) for text in texts))
        for alone, together in zip(one_by_one, at_once, strict=True):
            assert float((alone[0] * together[0]).sum()) > 0.99
