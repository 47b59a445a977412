"""The application over fakes, served on a port of its own for clients that block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from advanced_rag.api.app import create_app
from advanced_rag.telemetry.metrics import Metrics
from tests.unit.api.fake_services import FakeServices


@dataclass
class Served:
    url: str
    services: FakeServices


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    services = FakeServices(upload_folder=Path(tmp_path_factory.mktemp("uploads")))

    @asynccontextmanager
    async def open_services() -> AsyncIterator[FakeServices]:
        yield services

    app = create_app(open_services, metrics=Metrics(version="test"))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listening]),))
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", services)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()
    assert not thread.is_alive()
