"""Which schema this version of the service is written for, and which one the database has."""

from __future__ import annotations

from typing import Final

from sqlalchemy import String, column, select, table
from sqlalchemy.exc import DBAPIError

from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.errors import DEPENDENCY, lacks_schema
from advanced_rag.adapters.sql.tables import SCHEMA_VERSION_TABLE
from advanced_rag.exceptions import SchemaMismatch

# The newest migration's number. A test shows that it is.
EXPECTED_VERSION: Final = "0002"
MIGRATE_COMMAND: Final = "python -m advanced_rag migrate"

_NO_VERSION: Final = "none"


async def current_version(pool: DbPool) -> str | None:
    """The database's version; None where no migration has ever run. Raises as `DbPool.read`."""
    statement = select(column("version_num", String())).select_from(table(SCHEMA_VERSION_TABLE))
    async with pool.read() as connection:
        try:
            found: str | None = (await connection.execute(statement)).scalar_one_or_none()
        except DBAPIError as error:
            if lacks_schema(error):
                return None
            raise
    return found


async def check_schema(pool: DbPool, *, tolerate_next: bool = False) -> None:
    """Raises SchemaMismatch, naming both versions and the command that mends it, unless the database fits.

    Args:
        pool: whose database.
        tolerate_next: whether the version after ours fits too. By the rule of MIGRATIONS.md every migration leaves the
            release before it running; so what has started stays ready while the next release rolls out.
    """
    found = await current_version(pool)
    if found == EXPECTED_VERSION or (tolerate_next and found == next_version(EXPECTED_VERSION)):
        return
    raise SchemaMismatch(
        DEPENDENCY,
        f"the database's schema is at version {found or _NO_VERSION}, this service needs {EXPECTED_VERSION}: "
        f"run `{MIGRATE_COMMAND}`",
        transient=False,
    )


def next_version(version: str) -> str:
    """The number of the migration that follows."""
    return f"{int(version) + 1:0{len(version)}}"
