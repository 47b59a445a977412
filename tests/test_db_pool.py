"""The pool on real Postgres: bounded, whole after whatever happened to its users or to the server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from advanced_rag.adapters.sql.db_pool import DbPool, PoolSnapshot
from advanced_rag.exceptions import DependencyTimeout, DependencyUnavailable, LoadShed, PoolExhausted, RAGException
from tests.integration.databases import opened_pool
from tests.servers.postgres import PostgresServer

RECOVERY_S = 5.0  # issue: at most that long after the database is back
SLACK_S = 0.5  # two cores shared with whatever else runs


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[DbPool]:
    async with opened_pool(postgres_url, pool_size=10, pool_timeout_s=10.0) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server to be killed and stopped."""
    with PostgresServer() as server:
        yield server


async def sleep_in_database(pool: DbPool, seconds: float = 0.0) -> int:
    """A query of that length; the process id of the connection that served it."""
    async with pool.read() as connection:
        found = await connection.execute(text("SELECT pg_backend_pid(), pg_sleep(:s)"), {"s": seconds})
        pid: int = found.one()[0]
        return pid


def gauges(snapshot: PoolSnapshot) -> tuple[int, int]:
    return snapshot.checked_out, snapshot.waiting


async def assert_whole(pool: DbPool) -> None:
    """Every connection that the pool may have can be had at once, and none is out afterwards."""
    size = pool.snapshot().size
    pids = await asyncio.gather(*(sleep_in_database(pool, 0.2) for _ in range(size)))
    assert len(set(pids)) == size
    assert gauges(pool.snapshot()) == (0, 0)


def count_of_connections(server: PostgresServer, condition: str = "true") -> int:
    listing = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests' AND {condition}"
    return int(server.run_sql(listing))


async def until(condition_s: float, pool: DbPool) -> float:
    """How long it takes until the pool answers again."""
    started = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(1.0):
                await pool.check()
        except (RAGException, TimeoutError):
            assert time.monotonic() - started < condition_s
            await asyncio.sleep(0.02)
        else:
            return time.monotonic() - started


async def test_a_hundred_at_once_on_ten_connections_are_all_answered_and_none_leaks(
    pool: DbPool, postgres_server: PostgresServer, postgres_url: str
) -> None:
    for _ in range(3):
        pids = await asyncio.gather(*(sleep_in_database(pool, 0.01) for _ in range(100)))
        assert len(pids) == 100
        assert len(set(pids)) <= 10
    own = f"datname = '{postgres_url.rpartition('/')[2]}'"
    assert count_of_connections(postgres_server, own) <= 10
    snapshot = pool.snapshot()
    assert gauges(snapshot) == (0, 0)
    assert snapshot.fresh_checkouts <= 10
    assert snapshot.reused_checkouts / (snapshot.reused_checkouts + snapshot.fresh_checkouts) > 0.9
    assert snapshot.refused_checkouts == 0
    await assert_whole(pool)


async def test_what_does_not_fit_is_refused_within_the_wait_and_the_pool_is_whole_afterwards(
    postgres_url: str,
) -> None:
    wait_s = 0.3
    async with opened_pool(postgres_url, pool_size=2, pool_timeout_s=wait_s) as pool:
        await pool.check()
        refusals: list[LoadShed] = []

        async def caller() -> tuple[str, float]:
            started = time.monotonic()
            try:
                await sleep_in_database(pool, 1.0)
            except PoolExhausted as refusal:
                refusals.append(refusal)
                return "refused", time.monotonic() - started
            return "answered", time.monotonic() - started

        outcomes = await asyncio.gather(*(caller() for _ in range(20)))
        assert [kind for kind, _ in outcomes].count("answered") == 2
        assert all(wait_s - 0.05 <= took_s < wait_s + SLACK_S for kind, took_s in outcomes if kind == "refused")
        assert all(refusal.retry_after_s is not None for refusal in refusals)
        assert pool.snapshot().refused_checkouts == 18
        await assert_whole(pool)


async def test_connections_are_given_in_the_order_of_asking(postgres_url: str) -> None:
    async with opened_pool(postgres_url, pool_size=1) as pool:
        order: list[int] = []

        async def caller(number: int) -> None:
            async with pool.read() as connection:
                order.append(number)
                await connection.execute(text("SELECT pg_sleep(0.005)"))

        holder = asyncio.create_task(sleep_in_database(pool, 0.2))
        await asyncio.sleep(0.05)
        callers = [asyncio.create_task(caller(number)) for number in range(10)]
        await asyncio.sleep(0.05)
        assert pool.snapshot().waiting == 10
        await asyncio.gather(holder, *callers)
        assert order == list(range(10))


@pytest.mark.req("R2.3")
async def test_callers_that_leave_at_any_moment_give_their_connections_back(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    dice = random.Random(17)
    async with opened_pool(postgres_url, pool_size=3, pool_timeout_s=0.1) as pool:

        async def caller() -> None:
            async with asyncio.timeout(dice.uniform(0, 0.08)):
                await sleep_in_database(pool, dice.uniform(0, 0.05))

        for _ in range(8):
            outcomes = await asyncio.gather(*(caller() for _ in range(25)), return_exceptions=True)
            assert all(outcome is None or isinstance(outcome, (TimeoutError, PoolExhausted)) for outcome in outcomes)
        assert gauges(pool.snapshot()) == (0, 0)
        await assert_whole(pool)
        own = f"datname = '{postgres_url.rpartition('/')[2]}'"
        assert count_of_connections(postgres_server, own) <= 3


@pytest.mark.req("R3.4")
async def test_a_cancelled_statement_does_not_go_on_in_the_server(
    pool: DbPool, postgres_server: PostgresServer
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sleep_in_database(pool, 8.0)
    deadline = time.monotonic() + 1.0
    while count_of_connections(postgres_server, "state = 'active' AND query LIKE '%pg_sleep%'"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_an_error_inside_a_transaction_undoes_it_and_frees_the_connection(pool: DbPool) -> None:
    async with pool.write() as connection:
        await connection.execute(text("CREATE TABLE t (n int)"))

    async def fail_after_writing() -> None:
        async with pool.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_writing()
    async with pool.read() as connection:
        await connection.execute(text("INSERT INTO t VALUES (2)"))  # reading is rolled back
    async with pool.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 0
    await assert_whole(pool)


async def test_the_server_ends_a_statement_that_is_too_long(postgres_url: str) -> None:
    async with opened_pool(postgres_url, pool_size=1, statement_timeout_s=0.3) as pool:
        started = time.monotonic()
        with pytest.raises(DependencyTimeout) as failure:
            await sleep_in_database(pool, 10.0)
        assert time.monotonic() - started < 0.3 + SLACK_S
        assert not failure.value.transient  # slow once is slow again
        assert failure.value.limit_s == 0.3
        await assert_whole(pool)


async def test_the_limit_is_the_transactions_and_does_not_stay_on_the_servers_session(postgres_url: str) -> None:
    setting = "SELECT current_setting('statement_timeout')"
    async with opened_pool(postgres_url, pool_size=1, statement_timeout_s=7.0) as pool:
        async with pool.read() as connection:
            assert (await connection.execute(text(setting))).scalar_one() == "7s"
        async with pool.read() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            assert await raw.fetchval(setting) == "0"  # the driver's own: before the transaction begins


@pytest.mark.parametrize("allowed", [False, True])
async def test_statements_are_prepared_in_the_server_only_where_allowed(postgres_url: str, allowed: bool) -> None:
    async with opened_pool(postgres_url, pool_size=1, prepared_statements=allowed) as pool:
        for _ in range(3):
            await sleep_in_database(pool)
        async with pool.read() as connection:
            found = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
            assert (found.scalar_one() > 0) is allowed


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced_unnoticed(
    pool: DbPool, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await assert_whole(pool)
    own = f"datname = '{postgres_url.rpartition('/')[2]}' AND application_name = 'tests'"
    postgres_server.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}")
    await asyncio.sleep(0.1)
    await assert_whole(pool)
    await pool.check()


async def test_a_socket_folder_will_do_as_host(postgres_server: PostgresServer, postgres_url: str) -> None:
    by_socket = postgres_server.url(postgres_url.rpartition("/")[2], by_socket=True)
    async with opened_pool(by_socket) as pool:
        await pool.check()


async def test_nobody_listening_is_told_at_once() -> None:
    async with opened_pool("postgresql+asyncpg://postgres@127.0.0.1:1/postgres") as pool:
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable) as failure:
            await pool.check()
        assert failure.value.transient
        assert time.monotonic() - started < 0.1 + SLACK_S
        assert gauges(pool.snapshot()) == (0, 0)


async def test_killed_and_restarted_under_load_it_recovers_by_itself(own_server: PostgresServer) -> None:
    url = own_server.create_database()
    async with opened_pool(url, pool_size=5, pool_timeout_s=0.5) as pool:
        stop = asyncio.Event()
        failures: list[RAGException] = []
        answers: list[float] = []

        async def load() -> None:
            while not stop.is_set():
                try:
                    async with asyncio.timeout(2.0):
                        await sleep_in_database(pool, 0.01)
                except RAGException as error:
                    failures.append(error)
                    await asyncio.sleep(0.01)
                else:
                    answers.append(time.monotonic())

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(load())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_server.kill9)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_server.start)
            back = time.monotonic()
            await until(RECOVERY_S, pool)
            await asyncio.sleep(0.5)
            stop.set()
        assert failures
        assert all(isinstance(error, (DependencyUnavailable, PoolExhausted)) for error in failures)
        assert min(moment for moment in answers if moment > back) - back < RECOVERY_S
        await assert_whole(pool)


@pytest.mark.req("R3.3")
async def test_a_server_that_hangs_costs_a_caller_no_more_than_its_deadline(own_server: PostgresServer) -> None:
    url = own_server.create_database()
    deadline_s = 0.5
    async with opened_pool(url, pool_size=3, pool_timeout_s=0.3) as pool:
        await assert_whole(pool)

        async def caller() -> float:
            started = time.monotonic()
            with pytest.raises((TimeoutError, RAGException)):
                async with asyncio.timeout(deadline_s):
                    await pool.check()
            return time.monotonic() - started

        own_server.stop()
        try:
            # With connections at hand, then without any: now opening one hangs.
            for _ in range(3):
                took_s = await asyncio.gather(*(caller() for _ in range(6)))
                assert max(took_s) < deadline_s + 0.1 + SLACK_S / 2
            assert gauges(pool.snapshot()) == (0, 0)
        finally:
            own_server.cont()
        assert await until(RECOVERY_S, pool) < RECOVERY_S
        await assert_whole(pool)


@pytest.mark.req("R3.7")
async def test_a_connection_lost_during_commit_is_reported_as_unknown_and_never_as_repeatable(
    pool: DbPool, postgres_server: PostgresServer
) -> None:
    async with pool.write() as connection:
        await connection.execute(text("CREATE TABLE t (n int)"))
        await connection.execute(
            text(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(5); RETURN NULL; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION slow()"
            )
        )

    async def insert_one() -> None:
        async with pool.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))

    writing = asyncio.create_task(insert_one())
    committing = "query LIKE 'COMMIT%' AND state = 'active' AND application_name = 'tests'"
    while not count_of_connections(postgres_server, committing):
        await asyncio.sleep(0.02)
    postgres_server.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {committing}")
    with pytest.raises(DependencyUnavailable, match="not known") as failure:
        await writing
    assert not failure.value.transient
    await assert_whole(pool)


async def test_after_a_failover_the_connections_to_the_old_primary_are_dropped(
    pool: DbPool, postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with pool.write() as connection:
        await connection.execute(text("CREATE TABLE t (n int)"))
    await assert_whole(pool)
    before = pool.snapshot().fresh_checkouts
    database = postgres_url.rpartition("/")[2]
    async with pool.read() as connection:  # this session is a standby's now, so to speak
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute("SET default_transaction_read_only = on")
    with pytest.raises(DependencyUnavailable) as failure:
        async with pool.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
    assert failure.value.transient
    async with pool.write() as connection:
        await connection.execute(text("INSERT INTO t VALUES (1)"))
    assert pool.snapshot().fresh_checkouts > before
    assert postgres_server.run_sql("SELECT count(*) FROM t", database=database) == "1"


async def test_whoever_listens_is_told_of_every_checkout(postgres_url: str) -> None:
    class Listener:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def checked_out(self, *, reused: bool) -> None:
            self.heard.append("reused" if reused else "fresh")

        def refused(self) -> None:
            self.heard.append("refused")

    listener = Listener()
    async with opened_pool(postgres_url, listener, pool_size=1, pool_timeout_s=0.05) as pool:
        await pool.check()
        holder = asyncio.create_task(sleep_in_database(pool, 0.3))
        await asyncio.sleep(0.05)
        with pytest.raises(PoolExhausted):
            await pool.check()
        await holder
    assert listener.heard == ["fresh", "reused", "refused"]
