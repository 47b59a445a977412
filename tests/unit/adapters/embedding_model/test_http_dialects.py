from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.embedding_model.http_dialects import OpenAiDialect, TeiDialect, TeiInfo
from advanced_rag.exceptions import DependencyInvalid

OPENAI = OpenAiDialect("http://server/v1/embeddings", "some-model")
TEI = TeiDialect("http://server/embed")
vectors = st.lists(st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), min_size=1, max_size=8)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "index", "embedding"]), inner),
    max_leaves=12,
)


@given(vectors, st.randoms(), st.booleans())
def test_vectors_are_ordered_by_index_however_they_are_written(
    rows: list[list[float]], random: Any, packed: bool
) -> None:
    def written(row: list[float]) -> object:
        return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() if packed else row

    data = [{"index": index, "embedding": written(row)} for index, row in enumerate(rows)]
    random.shuffle(data)
    answer = OPENAI.answer({"data": data, "model": "some-model-v2"}, len(rows))
    assert np.allclose(np.asarray(answer.vectors), rows)
    assert answer.model == "some-model-v2"


@given(junk, st.integers(1, 3))
def test_an_answer_of_another_shape_is_invalid_and_nothing_else(body: object, count: int) -> None:
    for dialect in (OPENAI, TEI):
        try:
            answer = dialect.answer(body, count)
        except DependencyInvalid:
            continue
        assert len(answer.vectors) == count


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": True, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "not base64!"}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AAA="}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": []}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1}],
    ],
)
def test_two_texts_need_two_vectors_with_their_own_index(data: list[object]) -> None:
    with pytest.raises(DependencyInvalid):
        OPENAI.answer({"data": data}, 2)


def test_requests_have_the_fields_of_their_server() -> None:
    assert OPENAI.request(["a"]) == {"model": "some-model", "input": ["a"], "encoding_format": "float"}
    assert TEI.request(["a"]) == {"inputs": ["a"], "normalize": True, "truncate": True}


def test_tei_is_recognised_by_its_info_and_others_are_not() -> None:
    info = TeiInfo.of({"model_id": "m", "model_sha": None, "max_client_batch_size": 8, "max_input_length": 512})
    assert info == TeiInfo("m", "", 8, 512)
    assert TeiInfo.of({"model_id": "m", "max_batch_tokens": 1, "max_client_batch_size": "8"}) == TeiInfo(
        "m", "", 32, None
    )
    others: list[object] = [{}, [], None, {"model_id": "m"}, {"version": "1"}]
    for other in others:
        assert TeiInfo.of(other) is None
