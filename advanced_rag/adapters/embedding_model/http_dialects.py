"""How embedding servers are asked and how they answer: OpenAI's shape, which most speak, and TEI's own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from advanced_rag.adapters.embedding_model.vector_checks import DEPENDENCY
from advanced_rag.exceptions import DependencyInvalid

# huggingface/text-embeddings-inference, router/src/main.rs: `max_client_batch_size`.
TEI_DEFAULT_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: a vector for each text in their order, and the model that it claims to be."""

    vectors: Sequence[object]
    model: str | None = None


class Dialect(Protocol):
    """One shape of request and answer."""

    @property
    def url(self) -> str:
        """Where to send it."""
        ...

    def request(self, texts: Sequence[str]) -> Mapping[str, Any]:
        """The JSON body."""
        ...

    def answer(self, body: object, count: int) -> Answer:
        """The vectors in order of the texts. Raises DependencyInvalid for another shape or number."""
        ...


@dataclass(frozen=True, slots=True)
class OpenAiDialect:
    """`POST …/embeddings`: OpenAI, vLLM, Ollama, llama.cpp, Infinity."""

    url: str
    model: str

    def request(self, texts: Sequence[str]) -> Mapping[str, Any]:
        """Floats are asked for: not every server knows base64."""
        return {"model": self.model, "input": list(texts), "encoding_format": "float"}

    def answer(self, body: object, count: int) -> Answer:
        """By `index`, whatever the order of the array; base64 is read as well."""
        if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
            raise _invalid("has no list `data`")
        by_index: dict[int, object] = {}
        for item in body["data"]:
            index = item.get("index") if isinstance(item, Mapping) else None
            if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count or index in by_index:
                raise _invalid("has an index that is missing, repeated or out of range")
            by_index[index] = _vector(item.get("embedding"))
        if len(by_index) != count:
            raise _invalid(f"has {len(by_index)} vectors for {count} texts")
        model = body.get("model")
        return Answer([by_index[index] for index in range(count)], model if isinstance(model, str) else None)


@dataclass(frozen=True, slots=True)
class TeiDialect:
    """`POST /embed` of Text Embeddings Inference: a bare array."""

    url: str

    def request(self, texts: Sequence[str]) -> Mapping[str, Any]:
        """Texts beyond the model's window are cut by the server, as a local model does."""
        return {"inputs": list(texts), "normalize": True, "truncate": True}

    def answer(self, body: object, count: int) -> Answer:
        """In the order of the array."""
        if not isinstance(body, list) or len(body) != count:
            raise _invalid(f"is no list of {count} vectors")
        return Answer([_vector(item) for item in body])


@dataclass(frozen=True, slots=True)
class TeiInfo:
    """What TEI's `/info` says of itself."""

    model_id: str
    model_sha: str
    max_batch: int
    max_tokens: int | None

    @classmethod
    def of(cls, body: object) -> TeiInfo | None:
        """None where it is not TEI's: other servers have an `/info` too."""
        if not isinstance(body, Mapping) or not isinstance(body.get("model_id"), str):
            return None
        if "max_client_batch_size" not in body and "max_batch_tokens" not in body:
            return None
        return cls(
            model_id=body["model_id"],
            model_sha=str(body.get("model_sha") or ""),
            max_batch=_positive(body.get("max_client_batch_size")) or TEI_DEFAULT_BATCH,
            max_tokens=_positive(body.get("max_input_length")),
        )


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _vector(embedding: object) -> NDArray[np.float32]:
    """One embedding, floats or base64 of little-endian float32 (openai-python, resources/embeddings.py)."""
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        if isinstance(embedding, list) and embedding and not isinstance(embedding[0], list):
            return np.asarray(embedding, dtype=np.float32)
    except (binascii.Error, ValueError, TypeError) as error:
        raise _invalid("has an embedding that cannot be read") from error
    raise _invalid("has an embedding that is no list of numbers")


def _invalid(what: str) -> DependencyInvalid:
    return DependencyInvalid(DEPENDENCY, f"the embedding server's answer {what}")
