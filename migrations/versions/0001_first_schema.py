"""The first schema: everything of the data model."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# `op.f` marks a name as final: the naming convention would put it together once more.
# What was true when this was written stays true here, whatever `tables.py` says by now.
_ID: Final = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_INSTANT: Final = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
_IS_ACTIVE: Final = sa.text("state = 'active'")
_IS_NOT_ACTIVE: Final = sa.text("state != 'active'")
_IS_WAITING: Final = sa.text("state IN ('queued', 'running')")

_TABLES: Final = (
    "api_keys",
    "collections",
    "documents",
    "idempotency_keys",
    "ingest_jobs",
    "sessions",
    "document_versions",
    "messages",
    "chunks",
    "feedback",
)


def upgrade() -> None:
    _create_api_keys()
    _create_collections()
    _create_documents()
    _create_idempotency_keys()
    _create_ingest_jobs()
    _create_sessions()
    _create_document_versions()
    _create_messages()
    _create_chunks()
    _create_feedback()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("idx_api_keys_tenant", "api_keys", ["tenant", "id"])


def _create_collections() -> None:
    op.create_table(
        "collections",
        sa.Column("lane", _ID, nullable=False),
        sa.Column("domain", _ID, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("physical_name", _ID, nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.CheckConstraint("state IN ('building', 'active', 'retired')", name=op.f("ck_collections_state")),
        sa.PrimaryKeyConstraint("lane", "domain", "generation", name="pk_collections"),
    )
    op.create_index(
        "uq_collections_active",
        "collections",
        ["lane", "domain"],
        unique=True,
        postgresql_where=_IS_ACTIVE,
        sqlite_where=_IS_ACTIVE,
    )
    op.create_index("uq_collections_physical_name", "collections", ["physical_name"], unique=True)


def _create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("active_version", sa.Integer()),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("domain", _ID, nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.Column("deleted_at", _INSTANT),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_documents"),
    )
    op.create_index("idx_documents_domain", "documents", ["tenant", "domain", "id"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("route", _ID, nullable=False),
        sa.Column("key", _ID, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", sa.JSON()),
        sa.Column("body", sa.Text()),
        sa.Column("lease_until", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("state IN ('running', 'finished')", name=op.f("ck_idempotency_keys_state")),
        sa.PrimaryKeyConstraint("tenant", "route", "key", name="pk_idempotency_keys"),
    )
    op.create_index("idx_idempotency_keys_created", "idempotency_keys", ["created_at"])


def _create_ingest_jobs() -> None:
    op.create_table(
        "ingest_jobs",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("input", sa.JSON(), nullable=False),
        sa.Column("documents_total", sa.Integer(), nullable=False),
        sa.Column("documents_done", sa.Integer(), nullable=False),
        sa.Column("documents_failed", sa.Integer(), nullable=False),
        sa.Column("results", sa.JSON()),
        sa.Column("error", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_ingest_jobs_state")
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_ingest_jobs"),
    )
    op.create_index("idx_ingest_jobs_created", "ingest_jobs", ["tenant", "created_at", "id"])
    op.create_index(
        "idx_ingest_jobs_waiting", "ingest_jobs", ["created_at"], postgresql_where=_IS_WAITING, sqlite_where=_IS_WAITING
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_sessions"),
    )
    op.create_index("idx_sessions_activity", "sessions", ["tenant", "updated_at", "id"])
    op.create_index("idx_sessions_retention", "sessions", ["updated_at"])
    op.create_index("idx_sessions_user_created", "sessions", ["tenant", "user_id", "updated_at", "id"])


def _create_document_versions() -> None:
    op.create_table(
        "document_versions",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("document_id", _ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("domain", _ID, nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("lease_until", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("retired_at", _INSTANT),
        sa.CheckConstraint(
            "state IN ('staged', 'active', 'retired', 'condemned')", name=op.f("ck_document_versions_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "document_id"], ["documents.tenant", "documents.id"], name="fk_document_versions_documents"
        ),
        sa.PrimaryKeyConstraint("tenant", "document_id", "version", name="pk_document_versions"),
    )
    op.create_index(
        "idx_document_versions_sweep",
        "document_versions",
        ["created_at"],
        postgresql_where=_IS_NOT_ACTIVE,
        sqlite_where=_IS_NOT_ACTIVE,
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("role IN ('user', 'assistant')", name=op.f("ck_messages_role")),
        sa.CheckConstraint("status IN ('complete', 'interrupted', 'failed')", name=op.f("ck_messages_status")),
        sa.ForeignKeyConstraint(
            ["tenant", "session_id"],
            ["sessions.tenant", "sessions.id"],
            name="fk_messages_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_messages"),
    )
    op.create_index("idx_messages_session_created", "messages", ["tenant", "session_id", "sequence"], unique=True)


def _create_chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("document_id", _ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("diagnostics", sa.JSON()),
        sa.ForeignKeyConstraint(
            ["tenant", "document_id", "version"],
            ["document_versions.tenant", "document_versions.document_id", "document_versions.version"],
            name="fk_chunks_document_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chunks"),
    )
    op.create_index("idx_chunks_document", "chunks", ["tenant", "document_id", "version", "ordinal"], unique=True)


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("caller", _ID, nullable=False),
        sa.Column("message_id", _ID),
        sa.Column("chunk_id", _ID),
        sa.Column("query", sa.Text()),
        sa.Column("vote", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("vote IN ('up', 'down')", name=op.f("ck_feedback_vote")),
        sa.CheckConstraint(
            "message_id IS NOT NULL OR (chunk_id IS NOT NULL AND query IS NOT NULL)", name=op.f("ck_feedback_subject")
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "message_id"],
            ["messages.tenant", "messages.id"],
            name="fk_feedback_messages",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_feedback"),
    )
    op.create_index("idx_feedback_message", "feedback", ["tenant", "message_id", "caller"], unique=True)
