"""Arguments to commands. Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 the schema is not this version's."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import yaml

from advanced_rag.cli.client_commands import add_client_commands, run_client_command
from advanced_rag.cli.doctor import add_doctor_command, run_doctor
from advanced_rag.cli.ingest import add_ingest_command, run_ingest
from advanced_rag.cli.serve import serve
from advanced_rag.config import ConfigurationError, Settings, effective_settings, load_settings
from advanced_rag.exceptions import SchemaMismatch

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SCHEMA = 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m advanced_rag", description="Hybrid retrieval that stays up.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve HTTP, as set by server.host, server.port and server.workers")
    commands.add_parser("worker", help="run ingest jobs and serve nothing; any number beside services")
    commands.add_parser("config", help="print the settings in force, secrets masked")
    commands.add_parser("migrate", help="bring the database to this version's schema")
    add_doctor_command(commands)
    add_ingest_command(commands)
    add_client_commands(commands)
    return parser


def _config(settings: Settings) -> None:
    sys.stdout.write(yaml.safe_dump(effective_settings(settings), sort_keys=False, allow_unicode=True))


def _migrate(settings: Settings) -> None:
    from advanced_rag.adapters.sql.migrate import migrate  # noqa: PLC0415  # alembic, which only this command needs

    if settings.database_is_embedded:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(migrate(settings.database_url))
    sys.stdout.write("the database is at this version's schema\n")


def _work(settings: Settings) -> None:
    from advanced_rag.bootstrap.worker import work  # noqa: PLC0415  # seconds of imports, which no other command needs

    asyncio.run(work(settings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        match chosen.command:
            case "serve":
                serve(settings)
            case "worker":
                _work(settings)
            case "config":
                _config(settings)
            case "migrate":
                _migrate(settings)
            case "doctor":
                return run_doctor(settings)
            case "ingest":
                return run_ingest(settings, chosen)
            case _:
                return run_client_command(settings, chosen)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except SchemaMismatch as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_SCHEMA
    return 0
