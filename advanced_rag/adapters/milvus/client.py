"""One connection to Milvus for all lanes of a process: made at the first use, never retrying by itself."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import grpc
from pymilvus import AsyncMilvusClient

from advanced_rag.adapters.milvus.dialect import Dialect, dialect_of
from advanced_rag.adapters.milvus.errors import translated
from advanced_rag.exceptions import MilvusConnectionError
from advanced_rag.resilience.timeout import AttemptTimeout

T = TypeVar("T")

# On every call: without them pymilvus tries up to 75 times, and with a `timeout` until it is over. Our guards do both.
ONE_ATTEMPT: Final[Mapping[str, Any]] = {"timeout": None, "retry_times": 0, "retry_on_rate_limit": False}

_NAME: Final = "milvus"
# The default backoff of gRPC keeps a client away for up to 11 s after the server is back.
_RECONNECT: Final[Mapping[str, int]] = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # Channels to one address otherwise share their backoff: a new client would wait for what a former one ran into.
    "grpc.use_local_subchannel_pool": 1,
}
# pymilvus pings every 10 s; the embedded engine answers GOAWAY `too_many_pings`, and a local socket needs no ping.
_RARE_PINGS: Final[Mapping[str, int]] = {
    "grpc.keepalive_time_ms": 300_000,
    "grpc.keepalive_permit_without_calls": 0,
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long connecting and loading may take, in seconds."""

    connect_s: float = 2.0
    load_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Connected:
    """A client that has been answered, and what answered."""

    client: AsyncMilvusClient
    dialect: Dialect


@dataclass(slots=True)
class _State:
    connected: Connected | None = None
    connecting: asyncio.Task[Connected] | None = None
    loading: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    loaded_at: dict[str, float] = field(default_factory=dict)
    closed: bool = False


class MilvusConnection:
    """The client of a process, shared by its lanes. Belongs to one event loop; safe for any number of its tasks.

    Connecting and loading are done once for all who wait, in an empty context: the deadline of the request that
    happened to come first does not end them.
    Nothing is sent before the first `open()`: a service that starts while Milvus is down starts, and heals.
    """

    def __init__(
        self, uri: str, *, token: str = "", embedded: bool = False, limits: ConnectionLimits | None = None
    ) -> None:
        silence_driver()
        self._uri = uri
        self._token = token
        self._options = {**_RECONNECT, **_RARE_PINGS} if embedded else dict(_RECONNECT)
        self._limits = limits or ConnectionLimits()
        self._state = _State()

    async def open(self) -> Connected:
        """The connected client; callers at the same time share one attempt.

        Raises:
            DependencyError: nobody answered within the limit, or it was refused.
        """
        state = self._state
        if state.connected is not None:
            return state.connected
        if state.closed:
            raise MilvusConnectionError(_NAME, "the connection to Milvus is closed", transient=False)
        if state.connecting is None:
            state.connecting = asyncio.create_task(self._connect(), name="milvus-connect", context=Context())
            state.connecting.add_done_callback(self._connect_ended)
        return await _shared(state.connecting)

    async def load(self, collection: str, *, missed_at: float | None = None) -> None:
        """Have a collection served; callers at the same time share one load, which outlives any of them.

        Args:
            collection: its name.
            missed_at: when (`time.monotonic`) the call was sent that found it not loaded: a load that has succeeded
                since then is enough, none is made.

        Raises:
            DependencyError: it is missing, or not loaded within the limit.
        """
        if missed_at is not None and self._state.loaded_at.get(collection, -math.inf) >= missed_at:
            return
        loading = self._state.loading
        if collection not in loading:
            task = asyncio.create_task(self._load(collection), name=f"milvus-load-{collection}", context=Context())
            loading[collection] = task
            task.add_done_callback(partial(self._load_ended, collection))
        await _shared(loading[collection])

    async def reconnect(self) -> None:
        """Throw the client away: the next `open()` makes one and learns anew who answers. Calls in flight fail."""
        connected, self._state.connected = self._state.connected, None
        if connected is not None:
            await connected.client.close()

    async def close(self) -> None:
        """End what is under way and the client. Repeatable."""
        state = self._state
        state.closed = True
        tasks: list[asyncio.Task[Any]] = list(state.loading.values())
        if state.connecting is not None:
            tasks.append(state.connecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reconnect()

    async def _connect(self) -> Connected:
        client = AsyncMilvusClient(
            self._uri,
            token=self._token,
            timeout=self._limits.connect_s,  # of connecting only; calls are given none
            dedicated=True,  # else pymilvus shares channels between clients, and closing one does not close it
            grpc_options=self._options,
        )
        try:
            version = await AttemptTimeout(_NAME, self._limits.connect_s).run(lambda: _version(client))
        except BaseException:
            await client.close()
            raise
        connected = self._state.connected = Connected(client, dialect_of(version))
        return connected

    def _connect_ended(self, task: asyncio.Task[Connected]) -> None:
        self._state.connecting = None
        _retrieve(task)

    async def _load(self, collection: str) -> None:
        async def load() -> None:
            connected = await self.open()
            with translated(_NAME):
                await connected.client.load_collection(collection, **ONE_ATTEMPT)
            self._state.loaded_at[collection] = time.monotonic()

        await AttemptTimeout(_NAME, self._limits.load_s).run(load)

    def _load_ended(self, collection: str, task: asyncio.Task[None]) -> None:
        del self._state.loading[collection]
        _retrieve(task)


def silence_driver() -> None:
    """Have the driver say nothing: it logs some 80 lines for a failed call; `errors.translated` says it in one."""
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)


async def _version(client: AsyncMilvusClient) -> str | None:
    """What GetVersion answers; None where there is no such method."""
    with translated(_NAME):
        try:
            return str(await client.get_server_version(**ONE_ATTEMPT))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise


async def _shared(task: asyncio.Task[T]) -> T:
    """The task's result; the caller's cancellation does not end the task, which others wait for too."""
    with translated(_NAME):
        return await asyncio.shield(task)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Whoever waited has the error; where nobody was left to wait, it must not be reported as never retrieved."""
    if not task.cancelled():
        task.exception()
