"""One vote a caller on a chunk, as on a message.

Of several votes that one caller already has on the same chunk and query the newest stays.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HAS_QUERY: Final = "message_id IS NOT NULL OR (chunk_id IS NOT NULL AND query IS NOT NULL)"
_HAS_QUERY_HASH: Final = "message_id IS NOT NULL OR (chunk_id IS NOT NULL AND query_hash IS NOT NULL)"

_feedback: Final = sa.table(
    "feedback",
    *(sa.column(name) for name in ("tenant", "id", "caller", "chunk_id", "query", "query_hash", "created_at")),
)


def upgrade() -> None:
    op.add_column("feedback", sa.Column("query_hash", sa.Text()))
    _fill()
    _set_subject(_HAS_QUERY_HASH)
    op.create_index("idx_feedback_chunk", "feedback", ["tenant", "chunk_id", "query_hash", "caller"], unique=True)


def downgrade() -> None:
    op.drop_index("idx_feedback_chunk", table_name="feedback")
    _set_subject(_HAS_QUERY)
    with op.batch_alter_table("feedback") as batch:
        batch.drop_column("query_hash")


def _fill() -> None:
    connection = op.get_bind()
    f = _feedback.c
    votes = connection.execute(
        sa.select(f.tenant, f.id, f.caller, f.chunk_id, f.query)
        .where(f.chunk_id.is_not(None), f.query.is_not(None))
        .order_by(f.created_at.desc(), f.id.desc())
    ).all()
    seen: set[tuple[Any, ...]] = set()
    for tenant, vote_id, caller, chunk_id, query in votes:
        digest = hashlib.sha256(query.encode()).hexdigest()
        own = (f.tenant == tenant, f.id == vote_id)
        if (tenant, caller, chunk_id, digest) in seen:
            connection.execute(sa.delete(_feedback).where(*own))
        else:
            connection.execute(sa.update(_feedback).where(*own).values(query_hash=digest))
        seen.add((tenant, caller, chunk_id, digest))


def _set_subject(condition: str) -> None:
    with op.batch_alter_table("feedback") as batch:
        batch.drop_constraint(op.f("ck_feedback_subject"), type_="check")
        batch.create_check_constraint(op.f("ck_feedback_subject"), condition)
