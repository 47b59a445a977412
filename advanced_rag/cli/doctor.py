"""`doctor`: does every index hold what the database says; what it does not, is mended and said."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from advanced_rag.config import Settings
from advanced_rag.exceptions import DependencyError, LoadShed, SchemaMismatch
from advanced_rag.services.reconciliation import LaneReport

EXIT_DIFFERENCES: Final = 1


def add_doctor_command(commands: Any) -> None:
    """It has no arguments."""
    commands.add_parser(
        "doctor",
        help="compare every index with the database, mend what differs, exit 1 if anything did; "
        "may run beside a service",
    )


def run_doctor(settings: Settings) -> int:
    """0: all agreed. 1: something differed, or could not be looked at. Raises SchemaMismatch."""
    try:
        swept, reports = asyncio.run(_examined(settings))
    except SchemaMismatch:
        raise
    except (DependencyError, LoadShed) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_DIFFERENCES
    sys.stdout.write("\n".join(_summary(swept, reports)) + "\n")
    return 0 if all(report.clean for report in reports.values()) else EXIT_DIFFERENCES


async def _examined(settings: Settings) -> tuple[int, dict[str, LaneReport]]:
    from advanced_rag.bootstrap.reconciliation import open_doctor  # noqa: PLC0415  # every adapter: only for this

    async with open_doctor(settings) as doctor:
        return (0, {}) if doctor is None else await doctor.examine()


def _summary(swept: int, reports: dict[str, LaneReport]) -> list[str]:
    if not reports:
        return ["nothing has been stored yet"]
    lines = [f"swept\t{swept} versions that were over"] if swept else []
    for name, report in reports.items():
        lines.append(f"{name}\t{report.active} active chunks, {report.missing} were missing, {report.extra} too many")
    clean = all(report.clean for report in reports.values())
    return [*lines, "every index agrees with the database" if clean else "the differences are mended"]
