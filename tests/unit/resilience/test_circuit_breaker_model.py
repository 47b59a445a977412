"""The breaker against a model that keeps plain lists and works everything out from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from advanced_rag.exceptions import CircuitOpen
from advanced_rag.resilience.circuit_breaker import BreakerState, BreakerValues, CircuitBreaker, Permit
from tests.fakes.clock import FakeClock

VALUES = BreakerValues(
    max_calls=12, minimum_calls=5, unanswered_in_a_row=4, window_s=30.0, probes=3, probe_limit_s=10.0, slow_s=0.5
)
SEED = 7
SLOW_S = 0.6
QUICK_S = 0.1
FOREVER = float("inf")
RETRY_AFTER_S = {"asks for 8 s": 8.0, "asks for 50 s": 50.0}
FAILURES = {"failure", *RETRY_AFTER_S}
ENDS = st.sampled_from(["success", "slow", "cut_off", "ignore", *sorted(FAILURES)])
STEPS_S = st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 6.0, 9.9, 10.0, 12.0, 24.0, 30.0, 31.0, 40.0])


@dataclass
class Record:
    at: float
    end: str


@dataclass
class Model:
    now: float
    state: str = "closed"
    generation: int = 0
    records: list[Record] = field(default_factory=list)  # since the last transition
    probes: list[tuple[int, float]] = field(default_factory=list)  # number of the permit, issued at
    opened_at: float = 0.0
    open_until: float = 0.0
    closed_since: float = 0.0
    failed_half_opens: int = 0
    floors: list[float] = field(default_factory=list)
    dice: Random = field(default_factory=lambda: Random(SEED))

    def window(self) -> list[Record]:
        return [record for record in self.records[-VALUES.max_calls :] if record.at >= self.now - VALUES.window_s]

    def row(self) -> int:
        length = 0
        after: Record | None = None
        for record in reversed(self.records):
            too_old = after is not None and after.at - record.at > VALUES.window_s
            if record.end in {"success", "slow"} or too_old:
                break
            length += 1
            after = record
        return length

    def enter(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.records = []
        self.probes = []

    def open(self) -> None:
        if self.state == "closed" and self.now - self.closed_since >= VALUES.window_s:
            self.failed_half_opens = 0
        seconds = min(30.0, 5.0 * 2**self.failed_half_opens) * self.dice.uniform(0.8, 1.2)
        self.opened_at = self.now
        self.open_until = max([self.now + seconds, *self.floors])
        self.enter("open")

    def catch_up(self) -> None:
        if any(self.now >= issued_at + VALUES.probe_limit_s for _, issued_at in self.probes):
            self.failed_half_opens += 1
            self.open()

    def acquire(self, number: int) -> float | None:
        """None: let through; otherwise the seconds to wait."""
        self.catch_up()
        if self.state == "open" and self.now >= self.open_until:
            self.enter("half_open")
        if self.state == "open":
            return self.refusal_s()
        if self.state == "half_open":
            if len(self.probes) == VALUES.probes:
                return VALUES.probe_retry_after_s
            self.probes.append((number, self.now))
        return None

    def refusal_s(self) -> float:
        return VALUES.open_max_s if self.open_until == FOREVER else max(0.0, self.open_until - self.now)

    def edges(self) -> list[float]:
        """Instants at which time alone changes something."""
        instants = [issued_at + VALUES.probe_limit_s for _, issued_at in self.probes]
        instants += [record.at + VALUES.window_s for record in self.records]
        instants += [self.closed_since + VALUES.window_s, self.opened_at + VALUES.hint_after_s, self.open_until]
        return sorted(instant for instant in instants if self.now < instant < FOREVER)

    def settle(self, number: int, generation: int, end: str) -> None:
        self.catch_up()
        if generation != self.generation:
            return
        if end in RETRY_AFTER_S:
            self.floors.append(self.now + RETRY_AFTER_S[end])
        self.probes = [probe for probe in self.probes if probe[0] != number]
        if end == "ignore":
            return
        self.records.append(Record(self.now, end))
        if self.state == "half_open":
            if end != "success":
                self.failed_half_opens += 1
                self.open()
            elif len(self.records) == VALUES.probes:
                self.closed_since = self.now
                self.enter("closed")
            return
        window = self.window()
        failures = sum(record.end in FAILURES for record in window)
        slow = sum(record.end in {"slow", "cut_off"} for record in window)
        enough = len(window) >= VALUES.minimum_calls
        if self.row() >= VALUES.unanswered_in_a_row or (enough and max(failures, slow) * 10 >= 8 * len(window)):
            self.open()

    def hint(self) -> None:
        self.catch_up()
        ripe = self.now - self.opened_at >= 1.0 and self.now >= max([0.0, *self.floors])
        if self.state == "open" and self.open_until != FOREVER and ripe:
            self.enter("half_open")

    def force_open(self) -> None:
        if self.state != "open":
            self.open()
        self.open_until = FOREVER

    def force_close(self) -> None:
        self.failed_half_opens = 0
        self.floors = []
        if self.state == "closed":
            self.records = []
        else:
            self.closed_since = self.now
            self.enter("closed")


@dataclass(frozen=True)
class Issued:
    number: int
    generation: int
    permit: Permit = field(compare=False)


class BreakerAgainstModel(RuleBasedStateMachine):
    permits = Bundle("permits")
    settled = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = CircuitBreaker("lane", VALUES, random=Random(SEED), clock=self.clock)
        self.model = Model(self.clock.now, closed_since=self.clock.now)
        self.issued = 0

    @rule(target=permits, times=st.integers(1, 4))
    def acquire(self, times: int) -> object:
        issued = []
        for _ in range(times):
            self.issued += 1
            expected = self.model.acquire(self.issued)
            if expected is None:
                issued.append(Issued(self.issued, self.model.generation, self.breaker.acquire()))
            else:
                with pytest.raises(CircuitOpen) as refused:
                    self.breaker.acquire()
                assert refused.value.retry_after_s == pytest.approx(expected)
        return multiple(*issued)

    @rule(target=settled, issued=consumes(permits), end=ENDS)
    def settle(self, issued: Issued, end: str) -> Issued:
        self.model.settle(issued.number, issued.generation, end)
        apply(issued.permit, end)
        return issued

    @rule(ends=st.lists(ENDS, min_size=1, max_size=4).flatmap(lambda ends: st.sampled_from([ends, ends * 3])))
    def calls_in_a_row(self, ends: list[str]) -> None:
        for end in ends:
            self.issued += 1
            if self.model.acquire(self.issued) is None:
                generation = self.model.generation
                permit = self.breaker.acquire()
                self.model.settle(self.issued, generation, end)
                apply(permit, end)
            else:
                with pytest.raises(CircuitOpen):
                    self.breaker.acquire()

    @rule(issued=settled, end=ENDS)
    def settle_again(self, issued: Issued, end: str) -> None:
        apply(issued.permit, end)

    @rule(seconds=STEPS_S)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock.now

    @rule(number=st.integers(0, 3))
    def advance_to_an_edge(self, number: int) -> None:
        for edge in self.model.edges()[number : number + 1]:
            self.clock.now = self.model.now = edge

    @rule()
    def hint(self) -> None:
        self.model.hint()
        self.breaker.hint_healthy()

    @rule()
    def force_open(self) -> None:
        self.model.force_open()
        self.breaker.force_open()

    @rule()
    def force_close(self) -> None:
        self.model.force_close()
        self.breaker.force_close()

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state == BreakerState(self.model.state)
        self.model.catch_up()
        snapshot = self.breaker.snapshot()
        assert snapshot.state == BreakerState(self.model.state)
        assert snapshot.generation == self.model.generation
        assert snapshot.retry_after_s == pytest.approx(self.model.refusal_s() if self.model.state == "open" else 0.0)
        if self.model.state == "closed":
            window = self.model.window()
            assert snapshot.calls == len(window)
            assert snapshot.failures == sum(record.end in FAILURES for record in window)
            assert snapshot.slow == sum(record.end in {"slow", "cut_off"} for record in window)
            assert snapshot.unanswered_in_a_row == self.model.row()


def apply(permit: Permit, end: str) -> None:
    match end:
        case "success":
            permit.success(QUICK_S)
        case "slow":
            permit.success(SLOW_S)
        case "failure":
            permit.failure(QUICK_S)
        case "cut_off":
            permit.cut_off(QUICK_S)
        case "ignore":
            permit.ignore()
        case _:
            permit.failure(QUICK_S, retry_after_s=RETRY_AFTER_S[end])


TestBreakerAgainstModel = pytest.mark.req("R1.13")(BreakerAgainstModel.TestCase)
TestBreakerAgainstModel.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
