"""Bringing a database to the schema of this version, or to another one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

import advanced_rag
from advanced_rag.adapters.sql.engine import engine_url
from advanced_rag.adapters.sql.errors import DEPENDENCY, translated
from advanced_rag.exceptions import SchemaMismatch

# Beside the package, in a checkout and in the image alike.
MIGRATIONS: Final = Path(advanced_rag.__file__).resolve().parent.parent / "migrations"
HEAD: Final = "head"
BASE: Final = "base"


def alembic_config(url: str) -> Config:
    """Alembic's configuration for that database."""
    config = Config()
    # Percent signs are interpolated by alembic; a path may hold them.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


async def migrate(url: str, revision: str = HEAD) -> None:
    """Run what is pending up to `revision`, all in one transaction.

    Safe to call from several processes at once: one migrates, the others wait and find nothing left to do. Runs in a
    thread of its own, so it may be called from an event loop; a cancellation does not stop it.

    Raises:
        FileNotFoundError: the `migrations` folder is not beside the package.
        SchemaMismatch: the database is at a version that this release does not know.
        DependencyError: the database could not be reached or refused; its schema is what it was.
    """
    await _in_a_thread(url, revision, up=True)


async def downgrade(url: str, revision: str) -> None:
    """Undo migrations down to `revision` (`base`: all of them), all in one transaction. What they added is lost."""
    await _in_a_thread(url, revision, up=False)


async def _in_a_thread(url: str, revision: str, *, up: bool) -> None:
    if not (MIGRATIONS / "env.py").is_file():
        raise FileNotFoundError(f"the folder {MIGRATIONS.name} is not beside the package")
    _make_folder_of(url)
    work = command.upgrade if up else command.downgrade
    executor = ThreadPoolExecutor(1, thread_name_prefix="migrate")
    try:
        with translated(statement_timeout_s=0):
            await asyncio.get_running_loop().run_in_executor(executor, work, alembic_config(url), revision)
    except CommandError as error:
        # Most of all a database that a later release has migrated already.
        raise SchemaMismatch(DEPENDENCY, f"the database cannot be migrated: {error}", transient=False) from error
    finally:
        executor.shutdown(wait=False)  # waiting would hold the loop where this was cancelled


def _make_folder_of(url: str) -> None:
    parsed = engine_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
