"""What may be shown while the database is gone."""

from __future__ import annotations

import pytest

from advanced_rag.domain.documents import ChunkId, DocumentId, Passage, Tenant
from advanced_rag.services.version_map import VersionMap
from tests.fakes.clock import FakeClock

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
KEYS = DocumentId("keys")

pytestmark = pytest.mark.req("R5.1")


def stored(version: int, document: str = "keys") -> Passage:
    return Passage(
        ChunkId(f"{document}-{version}"), DocumentId(document), version, "", "", "text", 0, 4, "", {}, stale=True
    )


def test_the_active_version_is_shown_as_fresh_and_an_older_one_not_at_all() -> None:
    seen = VersionMap()
    seen.saw(ACME, KEYS, 2)
    (shown,) = seen.judged(ACME, [stored(1), stored(2)])
    assert (shown.version, shown.stale) == (2, False)


def test_an_unknown_document_is_shown_as_stale() -> None:
    (shown,) = VersionMap().judged(ACME, [stored(1)])
    assert shown.stale


def test_a_deleted_document_is_never_shown_until_it_is_written_again() -> None:
    seen = VersionMap()
    seen.saw(ACME, KEYS, 3)
    seen.saw_deleted(ACME, KEYS)
    assert seen.judged(ACME, [stored(3)]) == []
    seen.saw(ACME, KEYS, 4)
    assert [passage.version for passage in seen.judged(ACME, [stored(3), stored(4)])] == [4]


def test_an_answer_that_comes_late_does_not_bring_an_old_version_back() -> None:
    seen = VersionMap()
    seen.saw(ACME, KEYS, 5)
    seen.saw(ACME, KEYS, 4)
    assert [passage.version for passage in seen.judged(ACME, [stored(4), stored(5)])] == [5]


def test_tenants_do_not_share_what_was_seen() -> None:
    seen = VersionMap()
    seen.saw_deleted(ACME, KEYS)
    assert len(seen.judged(GLOBEX, [stored(1)])) == 1


def test_after_fifteen_minutes_what_was_seen_is_no_longer_believed() -> None:
    clock = FakeClock()
    seen = VersionMap(clock=clock)
    seen.saw(ACME, KEYS, 2)
    clock.advance(901)
    assert [passage.stale for passage in seen.judged(ACME, [stored(1), stored(2)])] == [True, True]


def test_it_is_bounded() -> None:
    seen = VersionMap(max_entries=10)
    for number in range(100):
        seen.saw(ACME, DocumentId(f"d{number}"), 2)
    assert [passage.stale for passage in seen.judged(ACME, [stored(2, "d0"), stored(2, "d99")])] == [True, False]
