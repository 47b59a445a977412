"""Uploads: a folder for files, children that read them, and the service between these and indexing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.parser import NAME, ChildProcessFileParser
from advanced_rag.adapters.upload_folder import upload_folder
from advanced_rag.bootstrap.guards import Guards
from advanced_rag.concurrency.uninterrupted import uninterrupted
from advanced_rag.config import Settings
from advanced_rag.resilience.bulkhead import Bulkhead, BulkheadValues
from advanced_rag.services.indexing import IndexingService
from advanced_rag.services.uploads import UploadService, UploadValues
from advanced_rag.telemetry.metrics import Metrics


@asynccontextmanager
async def open_uploads(
    settings: Settings, guards: Guards, metrics: Metrics
) -> AsyncIterator[Callable[[IndexingService], UploadService]]:
    """Makes the service over what takes the documents in.

    What a process that was killed has left is removed now; what this one has, at the end.
    """
    uploads = settings.uploads
    metrics.declare_bulkhead(NAME)
    places = BulkheadValues(uploads.parsers, uploads.max_waiting_files, uploads.parse_wait_s)
    parser = ChildProcessFileParser(
        ParseLimits(
            wall_s=uploads.parse_wall_s,
            cpu_s=uploads.parse_cpu_s,
            memory_bytes=uploads.parse_memory_bytes,
            text_bytes=uploads.max_text_bytes,
        ),
        Bulkhead(NAME, places, listener=guards.events),
    )
    values = UploadValues(files_in_flight=uploads.parsers, max_text_chars=uploads.max_upload_text_chars)
    folder = upload_folder(settings.data_dir.absolute() / "uploads")
    place = await uninterrupted(asyncio.to_thread(folder.__enter__))

    def service(indexing: IndexingService) -> UploadService:
        return UploadService(
            folder=place,
            parser=parser,
            indexing=indexing,
            declared=settings.filters.fields,
            values=values,
            observe=metrics.observe_parsed_file,
            room=indexing.room,
        )

    try:
        yield service
    finally:
        await uninterrupted(asyncio.to_thread(folder.__exit__, None, None, None))
