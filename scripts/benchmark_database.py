"""What pooling and indexes are worth, on a real Postgres that this starts itself.

    python scripts/benchmark_database.py [--pairs N] [--messages N]

Prints the latency of the same reads through the pool and over a connection made for each of them, in interleaved
pairs; the share of checkouts that were given a used connection; and how long it takes to list the last 50 messages of a
session among 10 thousand and among 1 million messages. Connections are made as in production, with a password (SCRAM).
Ends with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advanced_rag.adapters.sql.conversation_store import SqlConversationStore
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.engine import EngineValues
from advanced_rag.domain.documents import Tenant
from tests.servers.postgres import PostgresServer

TENANT: Final = Tenant("bench")
LAST_MESSAGES: Final = 50
MESSAGES_PER_SESSION: Final = 100
FEW_MESSAGES: Final = 10_000
MANY_MESSAGES: Final = 1_000_000
READS_PER_RUN: Final = 100
POOL_SIZE: Final = 10
BOOTSTRAP_SAMPLES: Final = 2_000
SEED: Final = 17
CALIBRATION_NUMBERS: Final = 1_000_000
CALM_TOLERANCE: Final = 1.15
CALM_PAUSE_S: Final = 0.2
CALM_LIMIT_S: Final = 5.0
ROLE: Final = "bench"
SEED_LIMIT_S: Final = 600.0
SEED_SESSIONS: Final = """
    INSERT INTO sessions SELECT 'bench', 's' || n, 'u' || n % 100, '', '{{}}', {messages}, now(), now()
    FROM generate_series(0, {sessions} - 1) n"""
# What the foreign key would check a million times is so by construction.
SEED_MESSAGES: Final = """
    SET session_replication_role = replica;
    INSERT INTO messages
    SELECT 'bench', 'm' || n || '-' || k, 's' || n, k, 'user', repeat('word ', 40), '[]', 'complete', 50, now()
    FROM generate_series(0, {sessions} - 1) n, generate_series(1, {messages}) k"""

MIN_SAVING: Final = 0.8
MIN_REUSE: Final = 0.9
MAX_GROWTH: Final = 2.0

Read = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios with its 95 % interval."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Ratio:
        """First over second of each pair, resampled."""
        dice = random.Random(SEED)
        ratios = [first / second for first, second in pairs]
        medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(BOOTSTRAP_SAMPLES))
        low, high = (medians[int(len(medians) * share)] for share in (0.025, 0.975))
        return cls(statistics.median(ratios), low, high)

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def with_password(server: PostgresServer, url: str) -> str:
    """The URL for a role that has to give a password, as roles do outside of tests."""
    if not server.run_sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"):  # noqa: S608  # a constant
        server.run_sql(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{ROLE}'")
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {ROLE} all scram-sha-256\n{rules.read_text()}")
        server.run_sql("SELECT pg_reload_conf()")
    return url.replace("//postgres@", f"//{ROLE}:{ROLE}@")


def seed(server: PostgresServer, *, sessions: int, messages_per_session: int) -> str:
    """URL of a database with that many messages."""
    url = server.create_database()
    database = url.rpartition("/")[2]
    server.run_sql(SEED_SESSIONS.format(sessions=sessions, messages=messages_per_session), database=database)
    server.run_sql(
        SEED_MESSAGES.format(sessions=sessions, messages=messages_per_session), database=database, limit_s=SEED_LIMIT_S
    )
    server.run_sql("VACUUM ANALYZE", database=database, limit_s=SEED_LIMIT_S)
    return with_password(server, url)


def make_pool(url: str) -> DbPool:
    """As the service makes it by default."""
    return DbPool(
        EngineValues(
            url=url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout_s=60.0,
            pool_recycle_s=1_800.0,
            pre_ping=True,
            statement_timeout_s=60.0,
            prepared_statements=False,
            application_name="benchmark",
        )
    )


def last_messages(pool: DbPool) -> Read:
    """Read the tail of a session."""
    store = SqlConversationStore(pool)

    async def read(session: int) -> None:
        found = await store.history(TENANT, f"s{session}", max_tokens=1_000_000, max_messages=LAST_MESSAGES)
        if len(found) != LAST_MESSAGES:
            raise AssertionError(f"{len(found)} messages instead of {LAST_MESSAGES}")

    return read


def look_up(pool: DbPool) -> Read:
    """Read a session's row, as every turn of a conversation does."""
    store = SqlConversationStore(pool)

    async def read(session: int) -> None:
        if await store.session(TENANT, f"s{session}") is None:
            raise AssertionError("no such session")

    return read


async def median_ms(read: Read, sessions: int, *, clients: int, reads: int = READS_PER_RUN) -> float:
    """Median latency of that many reads of random sessions by so many clients."""
    dice = random.Random(SEED)
    took_ms: list[float] = []

    async def client() -> None:
        for _ in range(reads // clients):
            started = time.perf_counter()
            await read(dice.randrange(sessions))
            took_ms.append((time.perf_counter() - started) * 1_000)

    await asyncio.gather(*(client() for _ in range(clients)))
    return statistics.median(took_ms)


class Calm:
    """Waits, not for ever, until a fixed piece of work takes about as long as it has taken until now."""

    def __init__(self) -> None:
        self._took_s: list[float] = []

    async def awaited(self) -> None:
        """Return when the machine is no busier than usual."""
        deadline = time.monotonic() + CALM_LIMIT_S
        while True:
            started = time.perf_counter()
            sum(range(CALIBRATION_NUMBERS))
            self._took_s.append(time.perf_counter() - started)
            usual_s = statistics.median(self._took_s)
            if self._took_s[-1] <= usual_s * CALM_TOLERANCE or time.monotonic() > deadline:
                return
            await asyncio.sleep(CALM_PAUSE_S)


async def paired(
    first: Callable[[], Awaitable[float]], second: Callable[[], Awaitable[float]], pairs: int
) -> list[tuple[float, float]]:
    """ABBA: whatever else the machine does falls on both alike."""
    found = []
    calm = Calm()
    for number in range(pairs):
        await calm.awaited()
        if number % 2:
            b = await second()
            found.append((await first(), b))
        else:
            a = await first()
            found.append((a, await second()))
    return found


def report(name: str, first: str, second: str, pairs: Sequence[tuple[float, float]], unit: str = "ms") -> Ratio:
    """Print medians and the ratio."""
    ratio = Ratio.of(pairs)
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    print(f"{name}: {first} {medians[0]:.2f} {unit}, {second} {medians[1]:.2f} {unit}, ratio {ratio}", flush=True)
    return ratio


async def compare_pooling(url: str, sessions: int, pairs: int) -> bool:
    """Pooled against a connection a read, alone and with ten clients."""
    pooled, fresh = make_pool(url), make_pool(url)

    def closing(read: Read) -> Read:
        async def read_and_close(session: int) -> None:
            await read(session)
            await fresh.close()  # the idle connections are closed; the next read opens another one

        return read_and_close

    met = True
    # The target is about what a connection costs: one caller, one small statement. With fifty rows more of the time is
    # work that both do alike, and ten clients queue for the processor: for information only.
    for judged, name, make_read, clients in (
        (True, "a session", look_up, 1),
        (False, f"last {LAST_MESSAGES} messages", last_messages, 1),
        (False, "a session", look_up, POOL_SIZE),
        (False, f"last {LAST_MESSAGES} messages", last_messages, POOL_SIZE),
    ):
        runs = await paired(
            partial(median_ms, make_read(pooled), sessions, clients=clients),
            partial(median_ms, closing(make_read(fresh)), sessions, clients=clients),
            pairs,
        )
        ratio = report(f"{name}, {clients} client(s)", "pooled", "a connection each", runs)
        saving = 1 - ratio.high
        said = verdict(saving >= MIN_SAVING) if judged else "for information"
        print(f"  {1 - ratio.median:.1%} lower, at least {saving:.1%}: {said}", flush=True)
        met = met and (saving >= MIN_SAVING or not judged)
    snapshot = pooled.snapshot()
    reuse = snapshot.reused_checkouts / (snapshot.reused_checkouts + snapshot.fresh_checkouts)
    print(f"checkouts that were given a used connection: {reuse:.2%}: {verdict(reuse > MIN_REUSE)}")
    await pooled.close()
    await fresh.close()
    return met and reuse > MIN_REUSE


async def compare_sizes(few: tuple[str, int], many: tuple[str, int], name: str, pairs: int) -> bool:
    """The same listing among few messages and among many."""
    pools = [make_pool(url) for url, _ in (many, few)]
    runs = await paired(
        lambda: median_ms(last_messages(pools[0]), many[1], clients=1),
        lambda: median_ms(last_messages(pools[1]), few[1], clients=1),
        pairs,
    )
    ratio = report(f"last {LAST_MESSAGES} messages, {name}", "among many", "among few", runs)
    print(f"  grows {ratio.median:.2f} times, at most {ratio.high:.2f}: {verdict(ratio.high < MAX_GROWTH)}")
    for pool in pools:
        await pool.close()
    return ratio.high < MAX_GROWTH


def verdict(met: bool) -> str:
    """In words."""
    return "met" if met else "not met on this machine"


async def measure(server: PostgresServer, pairs: int, many: int) -> bool:
    """Everything; whether all targets are met."""
    few_sessions, many_sessions = FEW_MESSAGES // MESSAGES_PER_SESSION, many // MESSAGES_PER_SESSION
    few_url = seed(server, sessions=few_sessions, messages_per_session=MESSAGES_PER_SESSION)
    met = await compare_pooling(few_url, few_sessions, pairs)
    print(f"seeding {many:,} messages twice", flush=True)
    many_url = seed(server, sessions=many_sessions, messages_per_session=MESSAGES_PER_SESSION)
    met &= await compare_sizes((few_url, few_sessions), (many_url, many_sessions), "in sessions of 100", pairs)
    few_in_one = seed(server, sessions=1, messages_per_session=FEW_MESSAGES)
    many_in_one = seed(server, sessions=1, messages_per_session=many)
    met &= await compare_sizes((few_in_one, 1), (many_in_one, 1), "all in one session", pairs)
    return met


def main() -> int:
    """Run it; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="interleaved pairs of runs a comparison")
    parser.add_argument("--messages", type=int, default=MANY_MESSAGES, help="how many messages many are")
    chosen = parser.parse_args()
    with PostgresServer(fsync="on", shared_buffers="256MB") as server:
        version = server.run_sql("SHOW server_version")
        load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
        software = f"Python {platform.python_version()}, Postgres {version}"
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, {software}")
        return 0 if asyncio.run(measure(server, chosen.pairs, chosen.messages)) else 1


if __name__ == "__main__":
    sys.exit(main())
