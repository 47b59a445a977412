from __future__ import annotations

import pytest

from advanced_rag.adapters.sql.engine import engine_url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h:1/d", "postgresql+asyncpg://u:p@h:1/d"),
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+asyncpg://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
        ("postgresql://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite:////tmp/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db"),
    ],
)
def test_a_url_gets_the_asynchronous_driver(given: str, expected: str) -> None:
    assert engine_url(given).render_as_string(hide_password=False) == expected


@pytest.mark.parametrize(
    "given", ["mysql://h/d", "postgresql+psycopg://h/d", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"]
)
def test_another_database_or_one_in_memory_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="database"):
        engine_url(given)
