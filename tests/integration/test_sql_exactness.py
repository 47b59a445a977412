"""Whatever text is taken is given back character by character; on both databases."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.domain.documents import ChunkSpan, Document, DocumentId
from advanced_rag.domain.identity import document_hash
from advanced_rag.ports.documents import Draft, StagedVersion
from tests.contracts.conversation_store import ACME, said
from tests.contracts.document_store import LONG_S
from tests.integration.databases import migrated_sqlite, opened_pool
from tests.integration.test_sql_conversation_store import ports_on as conversation_ports_on
from tests.integration.test_sql_document_store import ports_on as document_ports_on

STRINGS = 5_000
PER_CALL = 500
SEED = 20_260_701
SURROGATES = range(0xD800, 0xE000)

characters = st.characters(codec="utf-8", exclude_characters="\0")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(characters),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(characters, max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture(params=["sqlite", "postgres"])
async def pool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DbPool]:
    url = await migrated_sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with opened_pool(url) as opened:
        yield opened


def random_text(dice: random.Random) -> str:
    """Any code points but NUL and surrogates, the low ones as likely as all the others together."""
    top = dice.choice((0x80, 0x800, 0x10000, sys.maxunicode))
    codes = (dice.randint(1, top) for _ in range(dice.randint(1, 40)))
    return "".join(chr(code) for code in codes if code not in SURROGATES) or "x"


@pytest.mark.req("R8.6")
async def test_five_thousand_random_strings_come_back_as_they_were(pool: DbPool) -> None:
    dice = random.Random(SEED)
    texts = [random_text(dice) for _ in range(STRINGS)]
    ports = document_ports_on(pool)
    for first in range(0, STRINGS, PER_CALL):
        documents = [
            Document(DocumentId(f"d{number}"), text, title=text, metadata={text: [text]})
            for number, text in enumerate(texts[first : first + PER_CALL], start=first)
        ]
        drafts = [
            Draft(document, document_hash(document), (ChunkSpan(0, len(document.text), document.text, 1),))
            for document in documents
        ]
        staged = await ports.store.stage(ACME, drafts, lease_s=LONG_S)
        await ports.store.activate(ACME, [entry for entry in staged if isinstance(entry, StagedVersion)])
    titles: dict[str, tuple[str, Any]] = {}
    cursor = None
    while True:
        page = await ports.reader.documents(ACME, limit=1_000, cursor=cursor)
        titles |= {record.id: (record.title, record.metadata) for record in page.items}
        cursor = page.next_cursor
        if cursor is None:
            break
    assert titles == {f"d{number}": (text, {text: [text]}) for number, text in enumerate(texts)}
    for number in range(0, STRINGS, 50):
        found = await ports.reader.document(ACME, DocumentId(f"d{number}"))
        chunks = await ports.reader.chunks(ACME, DocumentId(f"d{number}"))
        assert found is not None
        assert chunks is not None
        assert found[1] == chunks[0].text == chunks[0].heading == texts[number]

    conversations = conversation_ports_on(pool).conversations
    session = await conversations.create(ACME)
    for first in range(0, STRINGS, PER_CALL):
        new = [said(f"m{first + number}", text) for number, text in enumerate(texts[first : first + PER_CALL])]
        await conversations.append(ACME, session.id, new)
    stored = (await conversations.messages(ACME, session.id, limit=STRINGS)).items
    assert [message.content for message in stored] == texts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metadata=st.dictionaries(st.text(characters, max_size=8), json_values, max_size=4), citations=st.lists(json_values)
)
async def test_json_comes_back_with_its_types_and_digits(pool: DbPool, metadata: Any, citations: Any) -> None:
    conversations = conversation_ports_on(pool).conversations
    made = await conversations.create(ACME, metadata=metadata)
    found = await conversations.session(ACME, made.id)
    assert found is not None
    assert repr(sorted(found.metadata.items())) == repr(sorted(metadata.items()))
    await conversations.append(ACME, made.id, [said(f"{made.id}-m", citations=citations)])
    (message,) = (await conversations.messages(ACME, made.id, limit=1)).items
    assert repr(message.citations) == repr(citations)
