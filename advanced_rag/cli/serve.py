"""`serve`: uvicorn with the options that the service needs; what can be known to be wrong is said before it starts."""

from __future__ import annotations

import asyncio
from typing import Final

import uvicorn

from advanced_rag.bootstrap.database import check_database
from advanced_rag.config import Settings

_GRACEFUL_SHUTDOWN_S: Final = 30  # reliability R7.3: without it one open stream keeps the process for ever


def serve(settings: Settings) -> None:
    """Serve until a signal ends it. Raises SchemaMismatch."""
    asyncio.run(check_database(settings))
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
