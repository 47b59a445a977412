"""Every table. The migrations make them; a test shows that both say the same.

Each row has its tenant, and every key begins with it. Offsets count code points, times are the database's.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    column,
)

from advanced_rag.adapters.sql.column_types import Identifier, Instant

SCHEMA_VERSION_TABLE: Final = "schema_version"  # alembic's own table, under this name

metadata = MetaData(
    naming_convention={
        "ix": "idx_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Json: Final = JSON(none_as_null=True)  # Postgres: json, which keeps the text as given; jsonb would rewrite numbers

# building: being filled, not read yet. active: what its lane reads. retired: kept for a rollback.
BUILDING: Final = "building"
ACTIVE: Final = "active"
RETIRED: Final = "retired"

collections = Table(
    "collections",
    metadata,
    Column("lane", Identifier, nullable=False),
    Column("domain", Identifier, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("physical_name", Identifier, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("lane", "domain", "generation"),
    CheckConstraint("state IN ('building', 'active', 'retired')", name="state"),
    Index("uq_collections_physical_name", "physical_name", unique=True),
    Index(
        "uq_collections_active",
        "lane",
        "domain",
        unique=True,
        postgresql_where=column("state") == ACTIVE,
        sqlite_where=column("state") == ACTIVE,
    ),
)

# A document's row outlives its versions, so that a number is never given twice. What is copied from the active version
# (content_hash to metadata) is empty while there is none.
documents = Table(
    "documents",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("active_version", Integer),
    Column("latest_version", Integer, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("domain", Identifier, nullable=False),
    Column("metadata", _Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    PrimaryKeyConstraint("tenant", "id"),
    Index("idx_documents_domain", "tenant", "domain", "id"),
)

# staged: stored and invisible. active. retired: replaced, readable for a grace. condemned: never to be read again,
# to be swept; nothing leads out of it, so what the sweep has begun to remove can no longer become active.
STAGED: Final = "staged"
CONDEMNED: Final = "condemned"

document_versions = Table(
    "document_versions",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("document_id", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("domain", Identifier, nullable=False),
    Column("metadata", _Json, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("retired_at", Instant),
    PrimaryKeyConstraint("tenant", "document_id", "version"),
    ForeignKeyConstraint(["tenant", "document_id"], ["documents.tenant", "documents.id"]),
    CheckConstraint("state IN ('staged', 'active', 'retired', 'condemned')", name="state"),
    Index(
        "idx_document_versions_sweep",
        "created_at",
        postgresql_where=column("state") != ACTIVE,
        sqlite_where=column("state") != ACTIVE,
    ),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Identifier, nullable=False),
    Column("tenant", Identifier, nullable=False),
    Column("document_id", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("heading", Text, nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("diagnostics", _Json),
    PrimaryKeyConstraint("id"),
    ForeignKeyConstraint(
        ["tenant", "document_id", "version"],
        ["document_versions.tenant", "document_versions.document_id", "document_versions.version"],
        ondelete="CASCADE",
    ),
    Index("idx_chunks_document", "tenant", "document_id", "version", "ordinal", unique=True),
)

# `token` grows with every lease: what a runner whose lease was taken over still writes carries an old one (R6.15).
ingest_jobs = Table(
    "ingest_jobs",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("state", Text, nullable=False),
    Column("input", _Json, nullable=False),
    Column("documents_total", Integer, nullable=False),
    Column("documents_done", Integer, nullable=False),
    Column("documents_failed", Integer, nullable=False),
    Column("results", _Json),
    Column("error", Text),
    Column("attempts", Integer, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
    Index("idx_ingest_jobs_created", "tenant", "created_at", "id"),
    Index(
        "idx_ingest_jobs_waiting",
        "created_at",
        postgresql_where=column("state").in_(("queued", "running")),
        sqlite_where=column("state").in_(("queued", "running")),
    ),
)

# While a key is `running`, its `body` is the mark of whoever runs the request; then the answer's body.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("route", Identifier, nullable=False),
    Column("key", Identifier, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Integer),
    Column("headers", _Json),
    Column("body", Text),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant", "route", "key"),
    CheckConstraint("state IN ('running', 'finished')", name="state"),
    Index("idx_idempotency_keys_created", "created_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("user_id", Identifier),
    Column("title", Text, nullable=False),
    Column("metadata", _Json, nullable=False),
    Column("last_sequence", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    # Newest activity first, of one user or of all; and over all tenants the longest silent first.
    Index("idx_sessions_user_created", "tenant", "user_id", "updated_at", "id"),
    Index("idx_sessions_activity", "tenant", "updated_at", "id"),
    Index("idx_sessions_retention", "updated_at"),
)

messages = Table(
    "messages",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("session_id", Identifier, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("citations", _Json, nullable=False),
    Column("status", Text, nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    ForeignKeyConstraint(["tenant", "session_id"], ["sessions.tenant", "sessions.id"], ondelete="CASCADE"),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    CheckConstraint("status IN ('complete', 'interrupted', 'failed')", name="status"),
    # The order in which messages were created is their sequence: clocks may stand still or go back, it does not.
    Index("idx_messages_session_created", "tenant", "session_id", "sequence", unique=True),
)

# A vote is on a message, or on a chunk as the answer to a query; of each a caller has one. `query_hash` is the query's
# SHA-256 in hex: a query itself may be longer than an index can hold.
feedback = Table(
    "feedback",
    metadata,
    Column("tenant", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("caller", Identifier, nullable=False),
    Column("message_id", Identifier),
    Column("chunk_id", Identifier),
    Column("query", Text),
    Column("vote", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("query_hash", Text),
    PrimaryKeyConstraint("tenant", "id"),
    ForeignKeyConstraint(["tenant", "message_id"], ["messages.tenant", "messages.id"], ondelete="CASCADE"),
    CheckConstraint("vote IN ('up', 'down')", name="vote"),
    CheckConstraint("message_id IS NOT NULL OR (chunk_id IS NOT NULL AND query_hash IS NOT NULL)", name="subject"),
    Index("idx_feedback_chunk", "tenant", "chunk_id", "query_hash", "caller", unique=True),
    Index("idx_feedback_message", "tenant", "message_id", "caller", unique=True),
)

# Looked up by id before any tenant is known; the secret itself is never stored.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Identifier, nullable=False),
    Column("tenant", Identifier, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", _Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    PrimaryKeyConstraint("id"),
    Index("idx_api_keys_tenant", "tenant", "id"),
)
