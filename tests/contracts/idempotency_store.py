"""What every store of idempotency keys keeps to: the fake, SQLite and Postgres."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import ValidationError
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import IdempotencyStore, KeyClaim, KeyedRequest, KeyRunning, KeyTaken

LONG_S = 600.0
OVER_S = -1.0
REQUEST = KeyedRequest(Tenant("acme"), "/v1/ingest", "k" * 255, "fingerprint")


async def claim(
    store: IdempotencyStore, request: KeyedRequest = REQUEST, *, lease_s: float = LONG_S, keep_s: float = LONG_S
) -> KeyClaim | KeptAnswer | KeyRunning | KeyTaken:
    return await store.claim(request, lease_s=lease_s, keep_s=keep_s)


async def own(store: IdempotencyStore, request: KeyedRequest = REQUEST, *, lease_s: float = LONG_S) -> KeyClaim:
    """The claim, which must be free."""
    got = await claim(store, request, lease_s=lease_s)
    assert isinstance(got, KeyClaim)
    return got


class IdempotencyStoreContract:
    """A subclass gives an empty `store`."""

    @pytest.mark.req("R6.5")
    async def test_the_first_runs_and_those_after_it_get_its_answer(self, store: IdempotencyStore) -> None:
        first = await own(store)
        assert await claim(store) == KeyRunning()
        await store.finish(first.kept(200, {"A": "b"}, "Ä 🗝"))
        kept = await claim(store)
        assert isinstance(kept, KeptAnswer)
        assert (kept.status, dict(kept.headers), kept.body) == (200, {"A": "b"}, "Ä 🗝")

    @pytest.mark.req("R6.5")
    async def test_another_request_under_the_key_is_refused_whatever_became_of_the_first(
        self, store: IdempotencyStore
    ) -> None:
        other = replace(REQUEST, fingerprint="other")
        first = await own(store)
        assert await claim(store, other) == KeyTaken()
        await store.finish(first.kept(200, {}, ""))
        assert await claim(store, other) == KeyTaken()
        died = replace(REQUEST, key="died")
        await own(store, died, lease_s=OVER_S)
        assert await claim(store, replace(died, fingerprint="other")) == KeyTaken()

    @pytest.mark.req("R8.1")
    async def test_tenants_and_routes_have_keys_of_their_own(self, store: IdempotencyStore) -> None:
        await own(store)
        await own(store, replace(REQUEST, tenant=Tenant("globex"), fingerprint="other"))
        await own(store, replace(REQUEST, route="/v1/feedback", fingerprint="other"))

    @pytest.mark.req("R6.5")
    async def test_of_a_hundred_at_once_one_runs(self, store: IdempotencyStore) -> None:
        got = await asyncio.gather(*(claim(store) for _ in range(100)))
        assert sum(isinstance(one, KeyClaim) for one in got) == 1
        assert all(isinstance(one, KeyClaim | KeyRunning) for one in got)

    @pytest.mark.req("R6.3", "K1")
    async def test_a_request_that_died_is_run_again_when_its_lease_is_over(self, store: IdempotencyStore) -> None:
        dead = await own(store, lease_s=OVER_S)
        alive = await own(store)
        assert alive.owner != dead.owner
        assert not await store.renew(dead, lease_s=LONG_S)
        await store.finish(dead.kept(200, {}, "of the dead"))
        await store.release(dead)
        assert await claim(store) == KeyRunning()
        await store.finish(alive.kept(200, {}, "of the living"))
        kept = await claim(store)
        assert isinstance(kept, KeptAnswer)
        assert kept.body == "of the living"

    async def test_a_claim_is_renewed_while_it_runs(self, store: IdempotencyStore) -> None:
        first = await own(store, lease_s=OVER_S)
        assert await store.renew(first, lease_s=LONG_S)
        assert await claim(store) == KeyRunning()
        await store.finish(first.kept(200, {}, ""))
        assert not await store.renew(first, lease_s=LONG_S)

    async def test_an_answer_is_kept_once(self, store: IdempotencyStore) -> None:
        first = await own(store)
        for body in ("first", "second"):
            await store.finish(first.kept(200, {}, body))
        await store.release(first)
        kept = await claim(store)
        assert isinstance(kept, KeptAnswer)
        assert kept.body == "first"

    async def test_a_released_key_is_free(self, store: IdempotencyStore) -> None:
        await store.release(await own(store))
        await own(store, replace(REQUEST, fingerprint="other"))

    @pytest.mark.req("R6.5")
    async def test_old_answers_are_forgotten_and_running_ones_never(self, store: IdempotencyStore) -> None:
        finished = await own(store)
        await store.finish(finished.kept(200, {}, ""))
        running = replace(REQUEST, key="running")
        await own(store, running)
        await own(store, replace(REQUEST, key="died"), lease_s=OVER_S)
        assert await store.expire(keep_s=LONG_S, limit=10) == 0
        assert await store.expire(keep_s=OVER_S, limit=10) == 2
        assert await claim(store, running, keep_s=OVER_S) == KeyRunning()
        await own(store)

    async def test_a_forgotten_answer_does_not_wait_for_the_sweep(self, store: IdempotencyStore) -> None:
        first = await own(store)
        await store.finish(first.kept(200, {}, ""))
        other = replace(REQUEST, fingerprint="other")
        assert await claim(store, other) == KeyTaken()
        assert isinstance(await claim(store, other, keep_s=OVER_S), KeyClaim)

    async def test_what_cannot_be_stored_is_refused(self, store: IdempotencyStore) -> None:
        with pytest.raises(ValidationError):
            await claim(store, replace(REQUEST, key="a\0b"))
