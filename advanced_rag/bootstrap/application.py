"""The ASGI application of this process, made from the settings in force."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from advanced_rag import __version__
from advanced_rag.api.app import ApiOptions, create_app
from advanced_rag.api.middleware.deadline import Deadlines
from advanced_rag.bootstrap.services import Services, open_services
from advanced_rag.config import ConfigurationError, Settings, load_settings, metrics_directory
from advanced_rag.telemetry.logs import LogPipeline
from advanced_rag.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

EXIT_USAGE: Final = 2


def build_app(settings: Settings) -> FastAPI:
    """The application; nothing is opened before its lifespan begins."""
    metrics = Metrics(version=__version__)
    server = settings.server
    options = ApiOptions(
        version=__version__,
        deadlines=Deadlines(
            retrieve_s=server.retrieve_deadline_s,
            chat_s=server.chat_deadline_s,
            ingest_s=server.ingest_deadline_s,
            other_s=server.default_deadline_s,
            max_s=server.max_deadline_s,
        ),
        multiprocess_dir=metrics_directory(),
    )

    @asynccontextmanager
    async def opened() -> AsyncIterator[Services]:
        # Started here and not at import: a forked worker needs a writer thread of its own (reliability R10.5).
        logs = LogPipeline(
            level=settings.log.level,
            capacity=settings.log.queue_size,
            on_drop=lambda level: metrics.log_dropped.labels(level).inc(),
        )
        logs.start()
        try:
            _warn_of_what_has_no_effect(settings)
            async with open_services(settings, metrics) as services:
                logger.info("ready on http://%s:%d", server.host, server.port)
                yield services
        finally:
            logs.stop()

    return create_app(opened, metrics=metrics, options=options)


def _warn_of_what_has_no_effect(settings: Settings) -> None:
    """A setting that is taken and does nothing would be a lie; one that is refused would stop who is ahead of us."""
    logger.warning("no API keys yet: every caller is the tenant `default`; listen on the loopback only")
    pending = {
        "RAG__REDIS__URL": settings.redis.url,
        "RAG__RATE_LIMIT__ENABLED": settings.rate_limit.enabled,
        "RAG__LLM__BASE_URL": settings.llm.base_url,
        "RAG__FEATURES__ENABLE_RERANKING": settings.features.enable_reranking,
        "RAG__FEATURES__ENABLE_MMR": settings.features.enable_mmr,
    }
    for name, value in pending.items():
        if value:
            logger.warning("%s is set and has no effect in version %s", name, __version__)


def _app() -> FastAPI:
    try:
        return build_app(load_settings())
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_USAGE) from None


app = _app()
