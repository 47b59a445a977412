"""What the collections look like: one layout for the dense lanes, one for the sparse lane.

No field is nullable, because the embedded engine has no such fields: each declared filter field `f` has a BOOL `f__set`
beside it, and an absent `f` holds its type's zero. Rows are always sent whole: an omitted default crashed the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from pymilvus import AsyncMilvusClient, CollectionSchema, DataType, Function, FunctionType

from advanced_rag.adapters.milvus.dialect import Dialect
from advanced_rag.adapters.milvus.filters import ID_FIELD, SET_SUFFIX
from advanced_rag.constants import BM25_B, BM25_K1, MAX_FILTER_LIST, MAX_FILTER_STRING_BYTES
from advanced_rag.domain.documents import FieldValue, IndexRow
from advanced_rag.domain.filters import DeclaredFields, FieldType
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.ports.indexes import Probe

VECTOR_FIELD: Final = "vector"
TERMS_FIELD: Final = "terms"

_MAX_VARCHAR_BYTES: Final = 65_535  # Milvus's own bound; the embedded engine checks none
_MAX_KEY_BYTES: Final = 1_024
_SCALAR_TYPES: Final[Mapping[FieldType, DataType]] = {
    FieldType.STRING: DataType.VARCHAR,
    FieldType.INT: DataType.INT64,
    FieldType.FLOAT: DataType.DOUBLE,
    FieldType.BOOL: DataType.BOOL,
    FieldType.DATETIME: DataType.INT64,
}
_ELEMENT_TYPES: Final[Mapping[FieldType, DataType]] = {
    FieldType.STRINGS: DataType.VARCHAR,
    FieldType.INTS: DataType.INT64,
}
_ZEROS: Final[Mapping[FieldType, FieldValue]] = {
    FieldType.STRING: "",
    FieldType.INT: 0,
    FieldType.FLOAT: 0.0,
    FieldType.BOOL: False,
    FieldType.DATETIME: 0,
    FieldType.STRINGS: (),
    FieldType.INTS: (),
}

Row = dict[str, Any]


class Layout(Protocol):
    """One kind of collection: its fields, its rows, and how it is searched."""

    @property
    def fields(self) -> DeclaredFields:
        """The declared filter fields that it holds."""
        ...

    @property
    def metric(self) -> str:
        """Milvus's name of the score."""
        ...

    def schema(self, dialect: Dialect) -> CollectionSchema:
        """The collection to be made."""
        ...

    def vector_index(self, dialect: Dialect) -> Mapping[str, Any]:
        """How the vector field is indexed."""
        ...

    def row(self, row: IndexRow, *, name: str) -> Row:
        """The row whole, as pymilvus takes it. Raises DependencyInvalid for a vector that does not belong here."""
        ...

    def probe(self, probe: Probe, *, name: str) -> list[Any] | None:
        """What is sent as the search's data; None: it can find nothing. Raises DependencyInvalid."""
        ...

    def warm_probe(self) -> list[Any]:
        """Some probe, for the throwaway search that makes the engine load."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLayout:
    """Vectors of one model, compared by cosine: scores in [-1, 1]."""

    dimension: int
    fields: DeclaredFields = field(default_factory=dict)
    metric: str = "COSINE"

    def schema(self, dialect: Dialect) -> CollectionSchema:
        """The common fields and the vector."""
        schema = _common_schema(self.fields, dialect)
        schema.add_field(VECTOR_FIELD, DataType.FLOAT_VECTOR, dim=self.dimension)
        return schema

    def vector_index(self, dialect: Dialect) -> Mapping[str, Any]:
        """Exact on the embedded engine, the server's choice on a server."""
        return {"index_type": dialect.dense_index, "metric_type": self.metric}

    def row(self, row: IndexRow, *, name: str) -> Row:
        """The common fields and the vector."""
        return {**_common_row(row, self.fields), VECTOR_FIELD: self._checked(row.vector, name)}

    def probe(self, probe: Probe, *, name: str) -> list[Any] | None:
        """The vector."""
        return [self._checked(probe, name)]

    def warm_probe(self) -> list[Any]:
        """A vector of unit length."""
        return [np.full(self.dimension, self.dimension**-0.5, dtype=np.float32)]

    def _checked(self, vector: object, name: str) -> Any:
        """The embedded engine checks neither: NaN finds nothing, and once stored spoils every search."""
        if not isinstance(vector, np.ndarray) or vector.shape != (self.dimension,):
            raise DependencyInvalid(name, f"a vector for {name} must have {self.dimension} dimensions", transient=False)
        if not np.isfinite(vector).all():
            raise DependencyInvalid(name, f"a vector for {name} is not finite", transient=False)
        return vector.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class SparseLayout:
    """Analysed terms under BM25, and beside them, unindexed, what a reader is shown when the database is gone."""

    fields: DeclaredFields = field(default_factory=dict)
    metric: str = "BM25"

    def schema(self, dialect: Dialect) -> CollectionSchema:
        """The common fields, the terms with their BM25 function, and the passage."""
        schema = _common_schema(self.fields, dialect)
        schema.add_field(
            TERMS_FIELD,
            DataType.VARCHAR,
            max_length=_MAX_VARCHAR_BYTES,
            enable_analyzer=True,
            analyzer_params={"tokenizer": "whitespace"},  # the terms are ours already, in every dialect the same
        )
        schema.add_field(VECTOR_FIELD, DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            Function("bm25", FunctionType.BM25, input_field_names=[TERMS_FIELD], output_field_names=[VECTOR_FIELD])
        )
        for text in ("title", "text", "heading"):
            schema.add_field(text, DataType.VARCHAR, max_length=_MAX_VARCHAR_BYTES)
        for offset in ("start", "end"):
            schema.add_field(offset, DataType.INT64)
        schema.add_field("metadata", DataType.JSON)
        return schema

    def vector_index(self, dialect: Dialect) -> Mapping[str, Any]:  # noqa: ARG002 - the same in every dialect
        """An inverted index with the customary constants."""
        return {
            "index_type": "SPARSE_INVERTED_INDEX",
            "metric_type": self.metric,
            "params": {"bm25_k1": BM25_K1, "bm25_b": BM25_B},
        }

    def row(self, row: IndexRow, *, name: str) -> Row:  # noqa: ARG002 - every text fits once it is cut
        """The common fields, the terms, and the passage, each text cut to what Milvus can hold."""
        passage = row.passage
        return {
            **_common_row(row, self.fields),
            TERMS_FIELD: _whole_terms(row.terms),
            "title": _cut(passage.title, _MAX_VARCHAR_BYTES),
            "text": _cut(passage.text, _MAX_VARCHAR_BYTES),
            "heading": _cut(passage.heading, _MAX_VARCHAR_BYTES),
            "start": passage.start,
            "end": passage.end,
            "metadata": dict(passage.metadata),
        }

    def probe(self, probe: Probe, *, name: str) -> list[Any] | None:
        """The terms; without any there is nothing to find."""
        if not isinstance(probe, str):
            raise DependencyInvalid(name, f"{name} is searched by terms", transient=False)
        return [probe] if probe.strip() else None

    def warm_probe(self) -> list[Any]:
        """Some word."""
        return ["warm"]


def _common_schema(fields: DeclaredFields, dialect: Dialect) -> CollectionSchema:
    schema: CollectionSchema = AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID_FIELD, DataType.VARCHAR, is_primary=True, max_length=_MAX_KEY_BYTES)
    tenant = {"is_partition_key": True} if dialect.partition_key else {}
    schema.add_field("tenant", DataType.VARCHAR, max_length=_MAX_KEY_BYTES, **tenant)
    schema.add_field("document_id", DataType.VARCHAR, max_length=_MAX_KEY_BYTES)
    schema.add_field("version", DataType.INT64)
    schema.add_field("domain", DataType.VARCHAR, max_length=_MAX_KEY_BYTES)
    for name, declared in fields.items():
        if declared.is_array:
            element = _ELEMENT_TYPES[declared]
            bounds = {"max_capacity": MAX_FILTER_LIST, **_length(element)}
            schema.add_field(name, DataType.ARRAY, element_type=element, **bounds)
        else:
            schema.add_field(name, _SCALAR_TYPES[declared], **_length(_SCALAR_TYPES[declared]))
        schema.add_field(name + SET_SUFFIX, DataType.BOOL)
    return schema


def indexed_fields(fields: DeclaredFields, dialect: Dialect) -> list[str]:
    """The scalar fields that get an inverted index."""
    declared = [name for name, kind in fields.items() if dialect.array_index or not kind.is_array]
    companions = [name + SET_SUFFIX for name in fields]
    return ["tenant", "document_id", "domain", *declared, *companions]


def stored_types(fields: DeclaredFields) -> dict[str, tuple[DataType, DataType | None]]:
    """Type and element type that a collection must have for each declared field."""
    return {
        name: (DataType.ARRAY, _ELEMENT_TYPES[kind]) if kind.is_array else (_SCALAR_TYPES[kind], None)
        for name, kind in fields.items()
    }


def _length(kind: DataType) -> dict[str, int]:
    return {"max_length": MAX_FILTER_STRING_BYTES} if kind == DataType.VARCHAR else {}


def _common_row(row: IndexRow, fields: DeclaredFields) -> Row:
    values: Row = {
        ID_FIELD: row.chunk_id,
        "tenant": row.tenant,
        "document_id": row.document_id,
        "version": row.version,
        "domain": row.domain,
    }
    for name, kind in fields.items():
        value = row.fields.get(name)
        stored = _ZEROS[kind] if value is None else value
        values[name] = list(stored) if kind.is_array and not isinstance(stored, str | int | float) else stored
        values[name + SET_SUFFIX] = value is not None
    return values


def _whole_terms(terms: str) -> str:
    """Terms up to the engine's bound, the last one whole. What is cut off is not found by its last words only."""
    if len(terms.encode()) <= _MAX_VARCHAR_BYTES:
        return terms
    return _cut(terms, _MAX_VARCHAR_BYTES).rpartition(" ")[0]


def _cut(text: str, max_bytes: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode(errors="ignore")
