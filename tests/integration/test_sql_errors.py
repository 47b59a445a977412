"""Real errors of real databases, and what they become (reliability R3.7)."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from advanced_rag.adapters.sql.column_types import database_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.errors import translated
from advanced_rag.adapters.sql.tables import api_keys, sessions
from advanced_rag.exceptions import (
    Conflict,
    DependencyTimeout,
    DependencyUnavailable,
    InsufficientStorage,
    RAGException,
    SchemaMismatch,
    ValidationError,
)
from tests.integration.databases import migrated_sqlite, opened_pool


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[DbPool]:
    async with opened_pool(postgres_url) as pool:
        yield pool


async def raise_in_database(pool: DbPool, code: str) -> None:
    async with pool.write() as connection:
        await connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"))


@pytest.mark.req("R3.7")
@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        ("08000", DependencyUnavailable, True),
        ("08006", DependencyUnavailable, True),
        ("40001", DependencyUnavailable, True),
        ("40P01", DependencyUnavailable, True),
        ("55P03", DependencyUnavailable, True),
        ("53300", DependencyUnavailable, True),
        ("57P01", DependencyUnavailable, True),
        ("57P02", DependencyUnavailable, True),
        ("57P03", DependencyUnavailable, True),
        ("25006", DependencyUnavailable, True),
        ("57014", DependencyTimeout, False),
        ("53200", DependencyUnavailable, False),
        ("58030", DependencyUnavailable, False),
        ("XX000", DependencyUnavailable, False),
        ("42501", DependencyUnavailable, False),
        ("42P01", SchemaMismatch, False),
        ("42703", SchemaMismatch, False),
        ("53100", InsufficientStorage, None),
        ("23505", Conflict, None),
        ("23503", Conflict, None),
        ("22003", ValidationError, None),
        ("22021", ValidationError, None),
    ],
)
async def test_each_sqlstate_has_its_meaning(
    postgres: DbPool, code: str, kind: type[RAGException], transient: bool | None
) -> None:
    with pytest.raises(kind) as failure:
        await raise_in_database(postgres, code)
    assert type(failure.value) is kind
    assert getattr(failure.value, "transient", None) is transient
    assert code not in str(failure.value)  # what a caller is shown has no internals
    await postgres.check()


async def test_a_statement_that_is_wrong_is_a_bug_and_stays_one(postgres: DbPool, tmp_path: Path) -> None:
    async with opened_pool(await migrated_sqlite(tmp_path)) as sqlite_pool:
        for pool in (postgres, sqlite_pool):
            with pytest.raises(DBAPIError):
                async with pool.read() as connection:
                    await connection.execute(text("SELEC 1"))
            await pool.check()


async def test_a_table_that_is_not_there_is_another_schema(postgres: DbPool, tmp_path: Path) -> None:
    async with opened_pool(await migrated_sqlite(tmp_path)) as sqlite_pool:
        for pool in (postgres, sqlite_pool):
            for statement in ("SELECT 1 FROM none_such", "SELECT none_such FROM sessions"):
                with pytest.raises(SchemaMismatch):
                    async with pool.read() as connection:
                        await connection.execute(text(statement))


async def test_a_wrong_password_or_database_is_not_worth_repeating(postgres_url: str) -> None:
    async with opened_pool(postgres_url + "_of_nobody") as pool:
        with pytest.raises(DependencyUnavailable) as failure:
            await pool.check()
        assert not failure.value.transient


@pytest.mark.req("R3.7")
async def test_a_server_that_lets_a_new_connection_wait_is_not_tried_again() -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # the kernel accepts, nobody reads
    url = f"postgresql+asyncpg://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"
    with listener:
        async with opened_pool(url, pool_timeout_s=0.2) as pool:
            with pytest.raises(DependencyUnavailable) as failure:
                await pool.check()
    assert not failure.value.transient


async def test_a_row_that_contradicts_another_is_a_conflict(postgres: DbPool, tmp_path: Path) -> None:
    key = {"id": "k", "tenant": "t", "name": "", "secret_hash": "", "scopes": []}
    adding = insert(api_keys).values(created_at=database_now())
    async with opened_pool(await migrated_sqlite(tmp_path)) as sqlite_pool:
        for pool in (postgres, sqlite_pool):
            async with pool.write() as connection:
                await connection.execute(adding, key)
            with pytest.raises(Conflict):
                async with pool.write() as connection:
                    await connection.execute(adding, key)


async def test_two_transactions_that_wait_for_each_other_are_told_to_repeat(postgres: DbPool) -> None:
    async with postgres.write() as connection:
        await connection.execute(text("CREATE TABLE t AS SELECT n, 0 AS v FROM generate_series(1, 2) n"))
    both_hold = asyncio.Barrier(2)

    async def change(first: int, second: int) -> None:
        async with postgres.write() as connection:
            await connection.execute(text("UPDATE t SET v = v + 1 WHERE n = :n"), {"n": first})
            await both_hold.wait()
            await connection.execute(text("UPDATE t SET v = v + 1 WHERE n = :n"), {"n": second})

    outcomes = await asyncio.gather(change(1, 2), change(2, 1), return_exceptions=True)
    (failure,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(failure, DependencyUnavailable)
    assert failure.transient


def locked(folder: Path) -> None:
    holder = sqlite3.connect(folder / "f", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        sqlite3.connect(folder / "f", timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")
    finally:
        holder.close()


def full(folder: Path) -> None:
    connection = sqlite3.connect(folder / "f")
    connection.execute("PRAGMA max_page_count = 3")
    connection.execute("CREATE TABLE t (b)")
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def read_only(folder: Path) -> None:
    sqlite3.connect(folder / "f").execute("CREATE TABLE t (b)").connection.close()
    sqlite3.connect(f"file:{folder / 'f'}?mode=ro", uri=True).execute("INSERT INTO t VALUES (1)")


def no_database(folder: Path) -> None:
    (folder / "f").write_bytes(b"not a database, and long enough to be looked at" * 100)
    sqlite3.connect(folder / "f").execute("SELECT * FROM sqlite_master")


def nowhere(folder: Path) -> None:
    sqlite3.connect(folder / "none" / "f")


def too_big(folder: Path) -> None:
    connection = sqlite3.connect(folder / "f")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
    connection.execute("SELECT ?", ("x" * 1_000,))


@pytest.mark.req("R3.7")
@pytest.mark.parametrize(
    ("provoke", "kind", "transient"),
    [
        (locked, DependencyUnavailable, True),
        (full, InsufficientStorage, None),
        (read_only, DependencyUnavailable, False),
        (no_database, DependencyUnavailable, False),
        (nowhere, DependencyUnavailable, False),
        (too_big, ValidationError, None),
    ],
)
def test_each_error_of_sqlite_has_its_meaning(
    provoke: Callable[[Path], None], kind: type[RAGException], transient: bool | None, tmp_path: Path
) -> None:
    with pytest.raises(kind) as failure, translated(statement_timeout_s=1):
        provoke(tmp_path)
    assert type(failure.value) is kind
    assert getattr(failure.value, "transient", None) is transient


async def test_another_process_that_writes_to_the_file_is_waited_for(tmp_path: Path) -> None:
    url = await migrated_sqlite(tmp_path)
    holder = sqlite3.connect(tmp_path / "test.sqlite3", isolation_level=None, check_same_thread=False)
    async with opened_pool(url) as pool:
        holder.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.3, holder.execute, "COMMIT")
        async with pool.write() as connection:
            await connection.execute(update(sessions).values(title="x"))
        holder.execute("BEGIN IMMEDIATE")
        async with pool.read() as connection:  # a reader is never in a writer's way, nor a writer in a reader's
            assert (await connection.execute(select(sessions))).all() == []
    holder.close()


async def test_cancellation_is_never_translated(postgres: DbPool) -> None:
    task = asyncio.create_task(raise_in_database(postgres, "08000"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
