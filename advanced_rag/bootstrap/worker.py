"""A process that only runs jobs: no HTTP. Ingestion scales apart from serving."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Final

from advanced_rag import __version__
from advanced_rag.bootstrap.services import open_services
from advanced_rag.config import Settings
from advanced_rag.telemetry.logs import LogPipeline
from advanced_rag.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


async def work(settings: Settings) -> None:
    """Run jobs until a signal ends it; the group under way is finished, its job goes back to the queue.

    Raises SchemaMismatch. At least one runner works, whatever `jobs.runners` says for the serving process.
    """
    runners = max(1, settings.jobs.runners)
    jobs = settings.jobs.model_copy(update={"runners": runners})
    metrics = Metrics(version=__version__)
    logs = LogPipeline(
        level=settings.log.level,
        capacity=settings.log.queue_size,
        on_drop=lambda level: metrics.log_dropped.labels(level).inc(),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, ended.set)
    logs.start()
    try:
        async with open_services(settings.model_copy(update={"jobs": jobs}), metrics):
            logger.info("working on jobs with %d runners", runners)
            await ended.wait()
            logger.info("ending")
    finally:
        logs.stop()
        for number in _ENDING:
            loop.remove_signal_handler(number)
