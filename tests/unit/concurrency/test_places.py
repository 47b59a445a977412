from __future__ import annotations

import asyncio

import pytest

from advanced_rag.concurrency.places import Places
from advanced_rag.exceptions import BulkheadFull, ShuttingDown


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_places_are_given_out_in_order_of_arrival_however_few_are_wanted() -> None:
    places = Places(4, max_waiting=10)
    await places.enter(3)
    many, few = asyncio.create_task(places.enter(3)), asyncio.create_task(places.enter(1))
    await settle()
    assert not few.done()  # there would be room for it, but it came later
    places.leave(3)
    await asyncio.gather(many, few)
    assert places.taken == 4


async def test_who_is_cancelled_while_waiting_makes_way() -> None:
    places = Places(4, max_waiting=10)
    await places.enter(3)
    many, few = asyncio.create_task(places.enter(3)), asyncio.create_task(places.enter(1))
    await settle()
    many.cancel()
    await asyncio.wait({many, few})
    assert many.cancelled()
    assert places.taken == 4


async def test_who_is_cancelled_in_the_moment_of_the_grant_gives_it_back() -> None:
    places = Places(4, max_waiting=10)
    await places.enter(4)
    waiting, next_one = asyncio.create_task(places.enter(4)), asyncio.create_task(places.enter(2))
    await settle()
    places.leave(4)  # granted, but `waiting` has not run since
    waiting.cancel()
    await asyncio.wait({waiting, next_one})
    assert waiting.cancelled()
    assert places.taken == 2


@pytest.mark.req("R4.6")
async def test_those_who_wait_are_bounded_and_refused_on_closing() -> None:
    places = Places(1, max_waiting=1)
    await places.enter(1)
    waiting = asyncio.create_task(places.enter(1))
    await settle()
    with pytest.raises(BulkheadFull):
        await places.enter(1)
    places.close()
    with pytest.raises(ShuttingDown):
        await waiting
