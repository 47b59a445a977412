"""Every hot statement finds its rows through an index: 100,000 messages, 5,000 sessions, 20,000 documents on Postgres.

What is explained is what the stores really send: their statements are recorded and explained with the same parameters.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from advanced_rag.adapters.sql.collection_registry import SqlCollectionRegistry
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.domain.documents import ChunkId, Document, DocumentId, Tenant
from advanced_rag.ports.conversations import Vote
from advanced_rag.ports.documents import ChunkRef, Draft, RetiredVersion, StagedVersion
from tests.contracts.conversation_store import ConversationPorts, said
from tests.contracts.document_store import DocumentPorts
from tests.integration.databases import opened_pool
from tests.integration.test_sql_conversation_store import ports_on as conversation_ports_on
from tests.integration.test_sql_document_store import ports_on as document_ports_on
from tests.servers.postgres import PostgresServer

# Ten tenants; `t0` has a tenth of everything.
SEED = (
    """INSERT INTO sessions
       SELECT 't' || n % 10, 's' || n, 'u' || n % 500, '', '{}', 20, now() - n * interval '1 min',
              now() - n * interval '1 min'
       FROM generate_series(0, 4999) n""",
    """INSERT INTO messages
       SELECT 't' || n % 10, 'm' || n || '-' || k, 's' || n, k, 'user', 'text', '[]', 'complete', 10, now()
       FROM generate_series(0, 4999) n, generate_series(1, 20) k""",
    """INSERT INTO feedback
       SELECT 't' || n % 10, 'f' || n, 'u1', 'm' || n || '-1', NULL, NULL, 'up', '', now()
       FROM generate_series(0, 4999) n""",
    """INSERT INTO documents
       SELECT 't' || n % 10, 'd' || n, 1, 1, 'hash', 3, 'title', 'domain' || n % 200, '{}', now(), now(), NULL
       FROM generate_series(0, 19999) n""",
    """INSERT INTO document_versions
       SELECT 't' || n % 10, 'd' || n, 1, CASE WHEN n < 40 THEN 'condemned' ELSE 'active' END, 'text', 'title',
              'domain' || n % 200, '{}', 'hash', 3, NULL, now(), NULL
       FROM generate_series(0, 19999) n""",
    """INSERT INTO chunks
       SELECT 'c' || n || '-' || k, 't' || n % 10, 'd' || n, 1, k, 'text of a chunk', 0, 9, '', 5, NULL
       FROM generate_series(0, 19999) n, generate_series(0, 2) k""",
    "ANALYZE",
)
MANY_ROWS = {"sessions", "messages", "feedback", "documents", "document_versions", "chunks"}
T0 = Tenant("t0")


@dataclass(frozen=True, slots=True)
class Seeded:
    """The stores over a database with many rows, and what they send."""

    pool: DbPool
    documents: DocumentPorts
    conversations: ConversationPorts
    sent: list[tuple[str, Any]] = field(default_factory=list)


Call = Callable[[Seeded], Awaitable[Any]]
_BARE = Draft(Document(DocumentId("d100"), "text"), "another hash", ())
_STAGED = StagedVersion(Document(DocumentId("d100"), "text"), 1, (), replaces=False)

HOT: dict[str, tuple[Call, set[str]]] = {
    "a session's messages": (
        lambda s: s.conversations.conversations.messages(T0, "s10", limit=50),
        {"idx_messages_session_created"},
    ),
    "a session's history": (
        lambda s: s.conversations.conversations.history(T0, "s10", max_tokens=100, max_messages=50),
        {"idx_messages_session_created"},
    ),
    "appending": (lambda s: s.conversations.conversations.append(T0, "s10", [said("new")]), {"pk_sessions"}),
    "a user's sessions": (
        lambda s: s.conversations.conversations.sessions(T0, user_id="u10", limit=5),
        {"idx_sessions_user_created"},
    ),
    "a tenant's sessions": (
        lambda s: _all_pages(s, lambda cursor: s.conversations.conversations.sessions(T0, limit=5, cursor=cursor)),
        {"idx_sessions_activity"},
    ),
    "silent sessions": (
        lambda s: s.conversations.retention.expire(retention_days=3, limit=5),
        {"idx_sessions_retention", "pk_sessions"},
    ),
    "votes on a message": (lambda s: s.conversations.feedback.votes(T0, "m10-1"), {"idx_feedback_message"}),
    "voting": (
        lambda s: s.conversations.feedback.vote(T0, message_id="m10-1", caller="u1", vote=Vote.UP, comment=""),
        {"pk_messages", "idx_feedback_message"},
    ),
    "visible chunks": (
        lambda s: s.documents.reader.visible(
            T0, [ChunkRef(ChunkId(f"c{n}0-0"), DocumentId(f"d{n}0"), 1) for n in range(100)], grace_s=60
        ),
        {"pk_chunks", "pk_document_versions", "pk_documents"},
    ),
    "a document": (
        lambda s: s.documents.reader.document(T0, DocumentId("d100")),
        {"pk_documents", "pk_document_versions"},
    ),
    "a document's chunks": (
        lambda s: s.documents.reader.chunks(T0, DocumentId("d100")),
        {"pk_documents", "idx_chunks_document"},
    ),
    "a tenant's documents": (
        lambda s: _all_pages(s, lambda cursor: s.documents.reader.documents(T0, limit=20, cursor=cursor)),
        {"pk_documents"},
    ),
    "a domain's documents": (
        lambda s: s.documents.reader.documents(T0, limit=20, domain="domain10"),
        {"idx_documents_domain"},
    ),
    "unchanged documents": (
        lambda s: s.documents.store.unchanged(T0, {DocumentId(f"d{n}0"): "hash" for n in range(8)}),
        {"pk_documents"},
    ),
    "staging": (lambda s: s.documents.store.stage(T0, [_BARE], lease_s=60), {"pk_documents"}),
    "activating": (
        lambda s: s.documents.store.activate(T0, [_STAGED]),
        {"pk_documents", "pk_document_versions"},
    ),
    "deleting a document": (
        lambda s: s.documents.store.delete(T0, DocumentId("d200")),
        {"pk_documents", "pk_document_versions"},
    ),
    "sweeping": (
        lambda s: s.documents.sweep.sweepable(grace_s=60, limit=20),
        {"idx_document_versions_sweep", "idx_chunks_document"},
    ),
    "purging": (
        lambda s: s.documents.sweep.purge([RetiredVersion(T0, DocumentId("d10"), 1, ())]),
        {"pk_document_versions"},
    ),
    "deleting a session": (lambda s: s.conversations.conversations.delete(T0, "s20"), {"pk_sessions"}),
    "active collections": (lambda s: SqlCollectionRegistry(s.pool).active(), set()),
}
NAMED = {
    "idx_messages_session_created": "a session's messages",
    "idx_sessions_user_created": "a user's sessions",
    "idx_feedback_message": "votes on a message",
    "idx_sessions_activity": "a tenant's sessions",
    "idx_sessions_retention": "silent sessions",
    "idx_documents_domain": "a domain's documents",
    "idx_chunks_document": "a document's chunks",
    "idx_document_versions_sweep": "sweeping",
}


async def _all_pages(seeded: Seeded, page: Callable[[str | None], Awaitable[Any]]) -> None:
    first = await page(None)
    seeded.sent.clear()  # the statement of a later page is the one with a position in it
    await page(first.next_cursor)


@pytest.fixture(scope="module")
def many_rows(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database with many rows."""
    url = postgres_server.create_database()
    for statement in SEED:
        postgres_server.run_sql(statement, database=url.rpartition("/")[2])
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def seeded(many_rows: str) -> AsyncIterator[Seeded]:
    async with opened_pool(many_rows, application_name="explained") as pool:
        stores = Seeded(pool, document_ports_on(pool), conversation_ports_on(pool))

        def record(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
            if connection.engine.url.database == many_rows.rpartition("/")[2] and not statement.startswith("EXPLAIN"):
                stores.sent.append((statement, parameters[0] if many else parameters))

        event.listen(Engine, "before_cursor_execute", record)
        try:
            yield stores
        finally:
            event.remove(Engine, "before_cursor_execute", record)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def explained(seeded: Seeded, call: Call, *, without: str | None = None) -> tuple[set[str], set[str]]:
    """(indexes used, tables of many rows that are read from end to end) of all that the call sends."""
    seeded.sent.clear()
    await call(seeded)
    sent = [(statement, values) for statement, values in seeded.sent if "pg_catalog" not in statement]
    indexes: set[str] = set()
    scanned: set[str] = set()
    async with seeded.pool.read() as connection:  # rolled back, and the dropped index with it
        if without is not None:
            await connection.exec_driver_sql(f"DROP INDEX {without}")
        for statement, values in sent:
            found = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values)
            answer = found.scalar_one()
            plans = json.loads(answer) if isinstance(answer, str) else answer
            for node in nodes(plans[0]["Plan"]):
                indexes |= {node["Index Name"]} if "Index Name" in node else set()
                indexes |= set(node.get("Conflict Arbiter Indexes", ()))
                if node["Node Type"] == "Seq Scan":
                    scanned |= {node["Relation Name"]} & MANY_ROWS
    return indexes, scanned


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_uses_its_indexes_and_scans_no_table(seeded: Seeded, name: str) -> None:
    call, expected = HOT[name]
    indexes, scanned = await explained(seeded, call)
    assert expected <= indexes
    assert scanned == set()


@pytest.mark.parametrize("index", NAMED)
async def test_the_statement_would_be_found_out_without_its_index(seeded: Seeded, index: str) -> None:
    call, expected = HOT[NAMED[index]]
    assert index in expected
    indexes, _ = await explained(seeded, call, without=index)
    assert not expected <= indexes


async def test_every_index_has_a_statement_that_needs_it(seeded: Seeded, postgres_server: PostgresServer) -> None:
    database = seeded.pool.values.url.rpartition("/")[2]
    listing = "SELECT string_agg(indexname, ' ') FROM pg_indexes WHERE schemaname = 'public'"
    existing = {name for name in postgres_server.run_sql(listing, database=database).split() if name.startswith("idx_")}
    # Of what is still to be built: jobs, idempotency, keys, votes on chunks.
    later = {
        "idx_ingest_jobs_created",
        "idx_ingest_jobs_waiting",
        "idx_idempotency_keys_created",
        "idx_api_keys_tenant",
        "idx_feedback_chunk",
    }
    assert existing - later == set(NAMED)
