from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect, make_url, select

from advanced_rag.adapters.sql.column_types import Instant, among, seconds_from_now
from advanced_rag.adapters.sql.tables import chunks, documents

SQLITE = make_url("sqlite+aiosqlite:///x").get_dialect()()
POSTGRES = make_url("postgresql+asyncpg://").get_dialect()()
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))


@given(moments, moments)
def test_on_sqlite_moments_sort_as_they_lie_in_time_and_come_back_exactly(first: datetime, second: datetime) -> None:
    instant = Instant()
    stored = [instant.process_bind_param(moment, SQLITE) for moment in (first, second)]
    assert all(isinstance(number, int) for number in stored)
    assert (stored[0] < stored[1]) == (first < second)
    try:
        expected = first.astimezone(UTC)
    except OverflowError:  # the first hours of year 1, seen from the east
        return
    assert instant.process_result_value(stored[0], SQLITE) == expected


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_no_moment_is_none(dialect: Dialect) -> None:
    assert Instant().process_bind_param(None, dialect) is None
    assert Instant().process_result_value(None, dialect) is None


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_any_number_of_values_is_one_parameter(dialect: Any) -> None:
    statement = select(chunks.c.id).where(among(chunks.c.id, [f"c{number}" for number in range(100_000)]))
    compiled = statement.compile(dialect=dialect)
    assert len(compiled.params) == 1
    assert " = 1" not in str(compiled)  # a comparison with the result would keep SQLite from using an index


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_the_clock_is_the_databases(dialect: Any) -> None:
    statement = str(
        select(documents.c.id).where(documents.c.created_at < seconds_from_now("later_s")).compile(dialect=dialect)
    )
    assert ("statement_timestamp()" in statement) or ("strftime('%s', 'now')" in statement.replace("%%", "%"))
