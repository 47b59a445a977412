"""One vote a caller on a chunk, as on a message.

Of several votes that one caller already has on the same chunk and query the newest stays.
"""

from __future__ import annotations

import hashlib
from typing import Final

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
    _drop_older()
    _fill()
    _set_subject(_HAS_QUERY_HASH)
    op.create_index("idx_feedback_chunk", "feedback", ["tenant", "chunk_id", "query_hash", "caller"], unique=True)


def downgrade() -> None:
    op.drop_index("idx_feedback_chunk", table_name="feedback")
    _set_subject(_HAS_QUERY)
    with op.batch_alter_table("feedback") as batch:
        batch.drop_column("query_hash")


def _drop_older() -> None:
    newer = _feedback.alias("newer")
    f, n = _feedback.c, newer.c
    same = (n.tenant == f.tenant, n.caller == f.caller, n.chunk_id == f.chunk_id, n.query == f.query)
    later = sa.or_(n.created_at > f.created_at, sa.and_(n.created_at == f.created_at, n.id > f.id))
    op.execute(sa.delete(_feedback).where(sa.exists().where(*same, later)))


def _fill() -> None:
    f = _feedback.c
    on_chunk = (f.chunk_id.is_not(None), f.query.is_not(None))
    if op.get_context().dialect.name != "sqlite":
        digest = sa.func.encode(sa.func.sha256(sa.func.convert_to(f.query, "UTF8")), "hex")
        op.execute(sa.update(_feedback).where(*on_chunk).values(query_hash=digest))
        return
    connection = op.get_bind()  # SQLite knows no digest
    rows = [
        {"of_tenant": tenant, "of_id": vote_id, "digest": hashlib.sha256(query.encode()).hexdigest()}
        for tenant, vote_id, query in connection.execute(sa.select(f.tenant, f.id, f.query).where(*on_chunk))
    ]
    own = (f.tenant == sa.bindparam("of_tenant"), f.id == sa.bindparam("of_id"))
    if rows:
        connection.execute(sa.update(_feedback).where(*own).values(query_hash=sa.bindparam("digest")), rows)


def _set_subject(condition: str) -> None:
    with op.batch_alter_table("feedback") as batch:
        batch.drop_constraint(op.f("ck_feedback_subject"), type_="check")
        batch.create_check_constraint(op.f("ck_feedback_subject"), condition)
