"""Ids that are made, not drawn: the same input has the same id on every machine."""

from __future__ import annotations

import hashlib
import json

from advanced_rag.domain.documents import ChunkId, Document, DocumentId, Metadata, Tenant

_ID_HEX_DIGITS = 32  # 128 bits: no collision to be expected below 2^64 ids


def _digest(*parts: str) -> str:
    # Length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hasher.update(str(len(encoded)).encode() + b":" + encoded)
    return hasher.hexdigest()


def content_hash(*, text: str, title: str, domain: str, metadata: Metadata) -> str:
    """SHA-256 in hex over all that a reader can see of a document; the order of metadata keys does not matter."""
    return _digest(text, title, domain, json.dumps(metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def document_hash(document: Document) -> str:
    """`content_hash` of a document."""
    return content_hash(text=document.text, title=document.title, domain=document.domain, metadata=document.metadata)


def document_id(tenant: Tenant, content: str) -> DocumentId:
    """Id of a document that came without one, from tenant and content hash: a repeat is the same document."""
    return DocumentId("d_" + _digest(tenant, content)[:_ID_HEX_DIGITS])


def chunk_id(tenant: Tenant, document: DocumentId, version: int, ordinal: int) -> ChunkId:
    """Id of a chunk. It contains the version: version 2 must not overwrite version 1's rows (reliability R6.2)."""
    return ChunkId("c_" + _digest(tenant, document, str(version), str(ordinal))[:_ID_HEX_DIGITS])
