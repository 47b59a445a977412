from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from random import Random

import pytest

from advanced_rag.concurrency.micro_batcher import (
    BatcherValues,
    BatchLimits,
    BatchReport,
    MicroBatcher,
    Priority,
)
from advanced_rag.exceptions import BulkheadFull, DependencyUnavailable, ShuttingDown
from tests.fakes.virtual_time import run_virtually

Clock = Callable[[], float]

BATCH_S = 0.010
VALUES = BatcherValues(high=BatchLimits(32, 10_000), low=BatchLimits(8, 10_000))


class Model:
    """Upper-cases texts, a batch in `BATCH_S` seconds; "bad" cannot be done."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.batches: list[list[str]] = []
        self.started_at: list[float] = []
        self.running = self.most_running = 0
        self.cancelled = 0
        self.error: Exception | None = None

    async def __call__(self, texts: Sequence[str]) -> list[str]:
        self.batches.append(list(texts))
        self.started_at.append(self.clock())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(BATCH_S)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        if "bad" in texts:
            raise ValueError("bad text")
        return [text.upper() for text in texts]


def made(
    model: Model, values: BatcherValues = VALUES, reports: list[BatchReport] | None = None
) -> MicroBatcher[str, str]:
    return MicroBatcher(model, cost_of=len, values=values, observer=None if reports is None else reports.append)


def test_an_idle_batcher_starts_at_once() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        assert await batcher.submit(["a"]) == ["A"]
        await asyncio.sleep(1.0)
        assert await batcher.submit(["b"]) == ["B"]
        assert model.started_at == [pytest.approx(0.0), pytest.approx(1.0 + BATCH_S)]

    run_virtually(main, at_most_s=60)


def test_what_comes_at_the_same_time_goes_together_longest_first() -> None:
    async def main(clock: Clock) -> None:
        model, reports = Model(clock), list[BatchReport]()
        batcher = made(model, reports=reports)
        answers = await asyncio.gather(*(batcher.submit([text]) for text in ("a", "ccc", "bb")))
        assert answers == [["A"], ["CCC"], ["BB"]]
        assert model.batches == [["ccc", "bb", "a"]]
        assert reports == [BatchReport(items=3, cost=9, priority=Priority.HIGH, waited_s=0.0)]

    run_virtually(main, at_most_s=60)


def test_while_a_batch_runs_the_next_one_gathers() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        first = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.sleep(BATCH_S / 2)
        rest = [asyncio.create_task(batcher.submit([text])) for text in "bcd"]
        await asyncio.gather(first, *rest)
        assert model.batches == [["a"], ["b", "c", "d"]]
        assert model.started_at[1] == pytest.approx(BATCH_S)
        assert model.most_running == 1

    run_virtually(main, at_most_s=60)


def test_callers_who_come_back_together_are_waited_for_two_milliseconds_at_most() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)

        async def caller(pause_s: float) -> None:
            for _ in range(5):
                await batcher.submit(["text"])
                await asyncio.sleep(pause_s)

        # Eight callers in a closed loop, each back after a pause of its own below two milliseconds.
        await asyncio.gather(*(caller(number * 0.0002) for number in range(8)))
        assert len(model.batches) == 5
        assert all(len(batch) == 8 for batch in model.batches)

        # One who comes alone after a batch of several waits two milliseconds, and not more.
        await asyncio.gather(batcher.submit(["a"]), batcher.submit(["b"]))
        before = clock()
        await batcher.submit(["c"])
        assert clock() - before == pytest.approx(0.002 + BATCH_S)
        before = clock()
        await batcher.submit(["d"])
        assert clock() - before == pytest.approx(BATCH_S)

    run_virtually(main, at_most_s=60)


def test_a_batch_keeps_to_its_budget_of_padded_tokens() -> None:
    async def main(clock: Clock) -> None:
        model, reports = Model(clock), list[BatchReport]()
        limits = BatchLimits(max_items=4, max_cost=200)
        batcher = made(model, BatcherValues(high=limits, low=limits), reports)
        dice = Random(5)
        texts = ["x" * dice.randint(1, 60) for _ in range(60)] + ["y" * 500]
        answers = await asyncio.gather(*(batcher.submit([text]) for text in texts))
        assert answers == [[text.upper()] for text in texts]
        for batch, report in zip(model.batches, reports, strict=True):
            assert report.cost == len(batch) * max(map(len, batch))
            assert len(batch) <= 4
            assert report.cost <= 200 or len(batch) == 1
        padding = sum(report.cost for report in reports) / sum(map(len, texts))
        assert padding < 1.25  # items of like length go together: in order of arrival it would be 1.5

    run_virtually(main, at_most_s=60)


@pytest.mark.req("R4.6")
def test_a_full_queue_sheds_at_once() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        running = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.submit(["b"])) for _ in range(256)]
        await asyncio.sleep(0.001)
        assert batcher.queued == 256
        with pytest.raises(BulkheadFull):
            await batcher.submit(["c"])
        await asyncio.gather(running, *waiting)
        assert batcher.queued == 0

    run_virtually(main, at_most_s=60)


@pytest.mark.req("R4.6")
def test_a_long_call_is_fed_in_parts_and_leaves_room_for_queries() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        texts = [f"chunk {number}" for number in range(1_000)]
        ingests = [asyncio.create_task(batcher.submit(texts, priority=Priority.LOW)) for _ in range(3)]
        most = 0
        while not all(ingest.done() for ingest in ingests):
            await asyncio.sleep(BATCH_S)
            most = max(most, batcher.queued)
            assert await batcher.submit(["query"]) == ["QUERY"]
        assert 32 <= most <= 128
        for ingest in ingests:
            assert ingest.result() == [text.upper() for text in texts]

    run_virtually(main, at_most_s=60)


@pytest.mark.req("R4.6")
def test_calls_that_wait_for_room_are_bounded_too() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        values = BatcherValues(high=BatchLimits(4, 100), low=BatchLimits(4, 100), max_queued=8, max_waiting_calls=2)
        batcher = made(model, values)
        calls = [asyncio.create_task(batcher.submit(["a"], priority=Priority.LOW)) for _ in range(7)]
        await asyncio.sleep(0)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(end, BulkheadFull) for end in ends] == [False] * 6 + [True]

    run_virtually(main, at_most_s=60)


def test_queries_go_before_documents_and_documents_get_their_share() -> None:
    async def main(clock: Clock) -> None:
        model, reports = Model(clock), list[BatchReport]()
        batcher = made(model, reports=reports)
        stop = False

        async def asker() -> None:
            while not stop:
                await batcher.submit(["query"])

        askers = [asyncio.create_task(asker()) for _ in range(64)]
        ingest = asyncio.create_task(batcher.submit(["chunk"] * 80, priority=Priority.LOW))
        await ingest
        stop = True
        await asyncio.gather(*askers)
        order = [report.priority for report in reports]
        last = max(place for place, priority in enumerate(order) if priority is Priority.LOW)
        share = order[: last + 1].count(Priority.LOW) / (last + 1)
        assert 1 / 6 <= share <= 1 / 4
        assert order[0] is Priority.HIGH

    run_virtually(main, at_most_s=60)


def test_documents_never_take_the_last_place_among_the_running() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        values = BatcherValues(high=BatchLimits(32, 10_000), low=BatchLimits(8, 10_000), max_running=2)
        batcher = made(model, values)
        ingest = asyncio.create_task(batcher.submit(["chunk"] * 64, priority=Priority.LOW))
        await asyncio.sleep(BATCH_S / 2)
        assert model.running == 1
        before = clock()
        await batcher.submit(["query"])
        assert clock() - before == pytest.approx(BATCH_S)
        await ingest
        assert model.most_running == 2

    run_virtually(main, at_most_s=60)


def test_who_has_left_is_dropped_before_the_batch() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        running = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.sleep(0.001)
        callers = {text: asyncio.create_task(batcher.submit([text, text * 2])) for text in "bcd"}
        await asyncio.sleep(0.001)
        callers["c"].cancel()
        await asyncio.gather(running, *callers.values(), return_exceptions=True)
        assert model.batches == [["a"], ["bb", "dd", "b", "d"]]
        assert callers["c"].cancelled()

    run_virtually(main, at_most_s=60)


@pytest.mark.req("R3.4")
def test_a_batch_that_nobody_waits_for_any_more_is_cancelled_and_only_then() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        callers = [asyncio.create_task(batcher.submit([text])) for text in "abc"]
        await asyncio.sleep(0.001)
        callers[0].cancel()
        callers[1].cancel()
        await asyncio.sleep(0.001)
        assert model.cancelled == 0
        callers[2].cancel()
        await asyncio.sleep(0.001)
        assert model.cancelled == 1
        assert await batcher.submit(["d"]) == ["D"]

    run_virtually(main, at_most_s=60)


def test_one_bad_text_fails_alone() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        texts = [*"abcdefg", "bad", *"hijklmn"]
        ends = await asyncio.gather(*(batcher.submit([text]) for text in texts), return_exceptions=True)
        for text, end in zip(texts, ends, strict=True):
            if text == "bad":
                assert isinstance(end, ValueError)
            else:
                assert end == [text.upper()]
        assert len(model.batches) <= 1 + 2 * 4  # halves of 15 texts: four times two

    run_virtually(main, at_most_s=60)


def test_when_everything_fails_alike_nothing_is_tried_again_in_parts() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        model.error = DependencyUnavailable("embedding")
        batcher = made(model)
        ends = await asyncio.gather(*(batcher.submit([text]) for text in "abcd"), return_exceptions=True)
        assert all(isinstance(end, DependencyUnavailable) for end in ends)
        assert len(model.batches) == 1

    run_virtually(main, at_most_s=60)


def test_a_wrong_number_of_results_is_an_error_for_each() -> None:
    async def main(_: Clock) -> None:
        async def short(texts: Sequence[str]) -> list[str]:
            return list(texts)[1:]

        batcher: MicroBatcher[str, str] = MicroBatcher(short, cost_of=len, values=VALUES)
        ends = await asyncio.gather(*(batcher.submit([text]) for text in "ab"), return_exceptions=True)
        assert all(isinstance(end, ValueError) for end in ends)

    run_virtually(main, at_most_s=60)


def test_a_call_with_one_bad_text_fails_and_the_others_of_its_batch_do_not() -> None:
    async def main(clock: Clock) -> None:
        batcher = made(Model(clock))
        ends = await asyncio.gather(batcher.submit(["a", "bad", "b"]), batcher.submit(["c"]), return_exceptions=True)
        assert isinstance(ends[0], ValueError)
        assert ends[1] == ["C"]

    run_virtually(main, at_most_s=60)


def test_batches_run_in_the_batchers_context_and_not_in_a_callers() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    async def main(_: Clock) -> None:
        async def who(texts: Sequence[str]) -> list[str]:
            return [request.get()] * len(texts)

        batcher: MicroBatcher[str, str] = MicroBatcher(who, cost_of=len, values=VALUES)
        request.set("a caller's")
        assert await batcher.submit(["a"]) == ["none"]

    run_virtually(main, at_most_s=60)


def test_closing_refuses_what_waits_and_lets_what_runs_end() -> None:
    async def main(clock: Clock) -> None:
        batcher = made(Model(clock))
        running = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.sleep(0.001)
        waiting = [
            asyncio.create_task(batcher.submit(["b"])),
            *(asyncio.create_task(batcher.submit(["c"] * 200, priority=Priority.LOW)) for _ in range(6)),
        ]
        await asyncio.sleep(0.001)
        await batcher.close(grace_s=1.0)
        assert await running == ["A"]
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, ShuttingDown) for end in ends)
        with pytest.raises(ShuttingDown):
            await batcher.submit(["d"])

    run_virtually(main, at_most_s=60)


def test_closing_cancels_what_does_not_end() -> None:
    async def main(clock: Clock) -> None:
        model = Model(clock)
        batcher = made(model)
        running = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.sleep(0.001)
        await batcher.close(grace_s=0.001)
        with pytest.raises(ShuttingDown):
            await running
        assert model.cancelled == 1

    run_virtually(main, at_most_s=60)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_callers_do_everyone_gets_the_own_results_and_nothing_stays(seed: int) -> None:
    async def main(clock: Clock) -> None:
        dice = Random(seed)
        model = Model(clock)
        limits = BatchLimits(max_items=5, max_cost=60)
        batcher = made(model, BatcherValues(high=limits, low=limits, max_queued=24, max_running=2))
        outcomes = {"answered": 0, "cancelled": 0, "shed": 0, "bad": 0}

        async def caller(texts: list[str], priority: Priority) -> None:
            try:
                assert await batcher.submit(texts, priority=priority) == [text.upper() for text in texts]
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1
            except BulkheadFull:
                outcomes["shed"] += 1
            except ValueError:
                assert "bad" in texts
                outcomes["bad"] += 1
            else:
                outcomes["answered"] += 1

        tasks: list[asyncio.Task[None]] = []
        for _ in range(2_000):
            words = [dice.choice(["a", "bb" * 5, "c" * 30, "bad"]) for _ in range(dice.choice([1, 1, 1, 3, 9]))]
            tasks.append(asyncio.create_task(caller(words, dice.choice(list(Priority)))))
            if dice.random() < 0.3:
                dice.choice(tasks[-20:]).cancel()
            if dice.random() < 0.7:
                await asyncio.sleep(dice.choice([0, 0.001, 0.02]))
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1.0)
        assert batcher.queued == 0
        assert model.running == 0
        assert model.most_running <= 2
        assert min(outcomes.values()) > 20, outcomes
        assert await batcher.submit(["z"] * 12, priority=Priority.LOW) == ["Z"] * 12  # all places are free again

    run_virtually(main, at_most_s=60)
