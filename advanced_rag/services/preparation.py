"""From a given document to what is stored and indexed: identity, chunks, terms. Pure CPU, run in an executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advanced_rag.domain.chunking import chunk_spans, embedded_text
from advanced_rag.domain.documents import (
    Chunk,
    ChunkSpan,
    Document,
    DocumentId,
    FieldValue,
    IndexRow,
    Metadata,
    Passage,
    Tenant,
    Terms,
    Vector,
)
from advanced_rag.domain.filter_fields import field_values, readable_field_values
from advanced_rag.domain.filters import DeclaredFields
from advanced_rag.domain.identity import content_hash, document_hash, document_id
from advanced_rag.domain.terms import document_terms
from advanced_rag.ports.documents import Draft, StagedVersion
from advanced_rag.ports.models import Tokenizer

_SPECIAL_TOKENS = 2  # the model frames every text with these
_MAX_PREFIX_SHARE = 4  # title and heading path may each take at most a quarter of the model's window


@dataclass(frozen=True, slots=True)
class GivenDocument:
    """A document as a caller gave it: without an id it gets one from its content. Strings are storable (R8.6)."""

    text: str
    id: str | None
    title: str
    domain: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Preparation:
    """How documents are cut. `window_tokens` is the model's; a chunk and the prefix embedded with it fit into it."""

    tokenizer: Tokenizer
    declared: DeclaredFields
    max_tokens: int
    overlap_tokens: int
    window_tokens: int

    def identified(self, tenant: Tenant, given: GivenDocument) -> tuple[Document, str]:
        """The document with its id, and its content hash. Raises ValidationError for metadata of the wrong type."""
        field_values(given.metadata, self.declared)
        content = content_hash(text=given.text, title=given.title, domain=given.domain, metadata=given.metadata)
        identity = DocumentId(given.id) if given.id else document_id(tenant, content)
        return Document(identity, given.text, given.title, given.domain, given.metadata), content

    def draft(self, document: Document) -> Draft:
        """The document cut into chunks that fit the model's window together with their title and headings."""
        title_tokens = self._prefix_tokens(document.title)
        spans = self._spans(document.text, title_tokens)
        heading_tokens = max(map(self._prefix_tokens, {span.heading for span in spans}), default=0)
        longest = max((span.token_count for span in spans), default=0)
        if heading_tokens and longest + title_tokens + heading_tokens > self.window_tokens - _SPECIAL_TOKENS:
            spans = self._spans(document.text, title_tokens + heading_tokens)
        return Draft(document, document_hash(document), tuple(spans))

    def _spans(self, text: str, prefix_tokens: int) -> list[ChunkSpan]:
        return chunk_spans(
            text,
            token_offsets=self.tokenizer.token_offsets,
            max_tokens=min(self.max_tokens, self.window_tokens - _SPECIAL_TOKENS - prefix_tokens),
            overlap_tokens=self.overlap_tokens,
        )

    def _prefix_tokens(self, prefix: str) -> int:
        """What a title or heading path takes of the window; of an overlong one the chunk's tail pays the rest."""
        return min(len(self.tokenizer.token_offsets(prefix)), self.window_tokens // _MAX_PREFIX_SHARE)

    def analysed(self, staged: StagedVersion) -> PreparedVersion:
        """What the encoder and the indexes are given of each chunk."""
        document = staged.document
        texts = [embedded_text(document.title, chunk.heading, chunk.text) for chunk in staged.chunks]
        return PreparedVersion(
            staged=staged,
            texts=texts,
            terms=[document_terms(text) for text in texts],
            fields=readable_field_values(document.metadata, self.declared),
        )


@dataclass(frozen=True, slots=True)
class PreparedVersion:
    """A staged version with its chunks' texts as they are embedded and analysed."""

    staged: StagedVersion
    texts: Sequence[str]
    terms: Sequence[Terms]
    fields: Mapping[str, FieldValue]

    def rows(self, tenant: Tenant, vectors: Sequence[Vector]) -> list[IndexRow]:
        """One row a chunk; `vectors` in the order of the chunks."""
        return [
            self._row(tenant, chunk, terms, vector)
            for chunk, terms, vector in zip(self.staged.chunks, self.terms, vectors, strict=True)
        ]

    def _row(self, tenant: Tenant, chunk: Chunk, terms: Terms, vector: Vector) -> IndexRow:
        document = self.staged.document
        passage = Passage(
            chunk_id=chunk.id,
            document_id=document.id,
            version=chunk.version,
            title=document.title,
            domain=document.domain,
            text=chunk.text,
            start=chunk.start,
            end=chunk.end,
            heading=chunk.heading,
            metadata=document.metadata,
            stale=True,
        )
        return IndexRow(
            chunk_id=chunk.id,
            tenant=tenant,
            document_id=document.id,
            version=chunk.version,
            domain=document.domain,
            fields=self.fields,
            vector=vector,
            terms=terms,
            passage=passage,
        )
