"""Asking the embedded engine whether it is there, apart from the service's own connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self

import grpc
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),  # no other channel's backoff
)
_FIRST_ANSWER_POLL_S: Final = 0.02


class EngineProbe:
    """A channel of its own, for two questions; an async context manager."""

    def __init__(self, uri: str, *, timeout_s: float) -> None:
        self._uri = uri
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._uri, options=_OPTIONS)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def answers(self) -> bool:
        """Whether it answers at all. Connect takes no lock of the engine's, so that loading does not hold it up."""
        return await self._asked(self._stub.Connect, milvus_pb2.ConnectRequest(), self._timeout_s)

    async def works(self, within_s: float) -> bool:
        """Whether a call that needs the engine's own lock gets through. Loading a collection holds that lock."""
        return await self._asked(self._stub.ShowCollections, milvus_pb2.ShowCollectionsRequest(), within_s)

    async def answered(self) -> None:
        """Returns at the first answer."""
        while True:
            if await self.answers():
                return
            await asyncio.sleep(_FIRST_ANSWER_POLL_S)

    async def lost(self, *, after_s: float, interval_s: float) -> None:
        """Returns when it has not answered for `after_s`; the last question is asked after that time.

        So a machine or an event loop that stood still meanwhile does not look like a hung engine.
        """
        lost_since: float | None = None
        while True:
            if await self.answers():
                lost_since = None
            elif lost_since is None:
                lost_since = time.monotonic()
            elif time.monotonic() - lost_since >= after_s:
                return
            await asyncio.sleep(interval_s)

    async def stalled(self, *, after_s: float, interval_s: float) -> None:
        """Returns when a call has not got through for `after_s`, though the engine answers."""
        while True:
            asked_at = time.monotonic()
            if not await self.works(after_s) and time.monotonic() - asked_at >= after_s:
                return
            await asyncio.sleep(interval_s)

    async def _asked(self, method: Callable[..., Awaitable[object]], request: object, timeout_s: float) -> bool:
        try:
            await method(request, timeout=timeout_s)
        except grpc.RpcError:
            return False
        return True
