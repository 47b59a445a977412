"""`serve`: uvicorn with the options that the service needs; what can be known to be wrong is said before it starts."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

import uvicorn

from advanced_rag.bootstrap.database import check_database
from advanced_rag.config import METRICS_DIRECTORY_VARIABLE, Settings

_GRACEFUL_SHUTDOWN_S: Final = 30  # reliability R7.3: without it one open stream keeps the process for ever


def serve(settings: Settings) -> None:
    """Serve until a signal ends it. Raises SchemaMismatch."""
    asyncio.run(check_database(settings))
    if settings.server.workers > 1:
        _gather_metrics_in(settings.data_dir.absolute() / "metrics")
    uvicorn.run(
        "advanced_rag.bootstrap.application:app",
        host=settings.server.host,
        port=settings.server.port,
        workers=settings.server.workers,
        proxy_headers=False,  # reliability M13: uvicorn would believe X-Forwarded-For from the loopback
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACEFUL_SHUTDOWN_S,
    )


def _gather_metrics_in(directory: Path) -> None:
    """Workers put their metrics together in a folder; what workers of an earlier start left there is not theirs."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ[METRICS_DIRECTORY_VARIABLE] = str(directory)  # workers inherit it and read it when they import
