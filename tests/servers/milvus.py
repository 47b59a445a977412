"""Milvus: the native engine that the service embeds, on a TCP port, so that a proxy fits; and a scripted one."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import IO, Any, Self

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from tests.servers.processes import ServerProcess

_PROBE_LIMIT_S = 1.0

Message = Any  # protobuf's generated classes come without types


def engine_folder() -> Path:
    """Where the installed package keeps the binary and its libraries."""
    binary = next(file for file in files("milvus-lite") or () if file.as_posix() == "milvus_lite/lib/milvus")
    return Path(str(binary.locate())).parent


class MilvusServer(ServerProcess):
    """The native engine on `uri`; its data survives `kill9()` and `restart()`."""

    def __init__(self, folder: Path | None = None, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        super().__init__(folder, host=host, port=port)
        self._lock: IO[bytes] | None = None

    @property
    def uri(self) -> str:
        """What a client is given."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        lock = self.folder / "lock"
        return engine_folder() / "milvus", self.folder / "data.db", f"{self.host}:{self.port}", "ERROR", lock

    def environment(self) -> Mapping[str, str]:
        # Its logger otherwise leaves a file for every start in the temporary folder.
        return {"LD_LIBRARY_PATH": str(engine_folder()), "GLOG_logtostderr": "1", "GLOG_minloglevel": "2"}

    def prepare(self) -> None:
        if self._lock is None:  # the engine ends when nobody holds it; opened once: closing any descriptor drops it
            self._lock = (self.folder / "lock").open("ab")
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def answers(self) -> bool:
        with grpc.insecure_channel(f"{self.host}:{self.port}") as channel:
            try:
                milvus_pb2_grpc.MilvusServiceStub(channel).ShowCollections(
                    milvus_pb2.ShowCollectionsRequest(), timeout=_PROBE_LIMIT_S
                )
            except grpc.RpcError:
                return False
        return True

    def close(self) -> None:
        super().close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class ScriptedMilvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]  # generated, untyped
    """A Milvus that answers as it is told and counts what it is asked. An async context manager, in the test's loop.

    `outcomes[method]` are the answers to come, one a call, the last one for ever: a response, a Milvus error code, or a
    gRPC status. Without any, a call succeeds with an empty response. `version` None: GetVersion is not implemented.
    """

    def __init__(self, *, version: str | None = None) -> None:
        self.version = version
        self.calls: Counter[str] = Counter()
        self.outcomes: dict[str, list[Message]] = {}
        self.requests: dict[str, list[Message]] = {}
        self.before: dict[str, list[Callable[[], object]]] = {}  # what is called, and awaited, before a method answers
        self.cancelled = asyncio.Event()  # a client has given up on a call
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def uri(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.stop(grace=0)

    async def GetVersion(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:  # noqa: N802
        """The version, by the word of the test."""
        if self.version is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        return await self._answer("GetVersion", request, context, milvus_pb2.GetVersionResponse(version=self.version))

    async def Connect(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:  # noqa: N802
        """Every client's first call."""
        return await self._answer("Connect", request, context, milvus_pb2.ConnectResponse())

    async def ShowCollections(  # noqa: N802
        self, request: Message, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        """None."""
        return await self._answer("ShowCollections", request, context, milvus_pb2.ShowCollectionsResponse())

    async def Search(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:  # noqa: N802
        """No hit unless told otherwise."""
        return await self._answer("Search", request, context, search_results([]))

    async def Query(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:  # noqa: N802
        """No row unless told otherwise."""
        return await self._answer("Query", request, context, query_results())

    async def Delete(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:  # noqa: N802
        """Done at once."""
        return await self._answer("Delete", request, context, milvus_pb2.MutationResult())

    async def LoadCollection(  # noqa: N802
        self, request: Message, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        """Done at once."""
        return await self._answer("LoadCollection", request, context, common_pb2.Status())

    async def GetLoadingProgress(  # noqa: N802
        self, request: Message, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        """Always finished."""
        done = milvus_pb2.GetLoadingProgressResponse(progress=100)
        return await self._answer("GetLoadingProgress", request, context, done)

    async def _answer(
        self, method: str, request: Message, context: grpc.aio.ServicerContext[Any, Any], default: Message
    ) -> Message:
        self.calls[method] += 1
        self.requests.setdefault(method, []).append(request)
        try:
            for step in self.before.get(method, []):
                if inspect.isawaitable(pending := step()):
                    await pending
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        script = self.outcomes.get(method, [])
        outcome = script.pop(0) if len(script) > 1 else script[0] if script else default
        if isinstance(outcome, grpc.StatusCode):
            await context.abort(outcome)
        if isinstance(outcome, int):
            status = common_pb2.Status(
                code=outcome, error_code=common_pb2.UnexpectedError, reason=f"scripted {outcome}"
            )
            return status if isinstance(default, common_pb2.Status) else type(default)(status=status)
        return outcome


def query_results(*ids: str) -> Message:
    """A query's answer: rows with these ids and nothing else."""
    results = milvus_pb2.QueryResults()
    column = results.fields_data.add(type=schema_pb2.VarChar, field_name="id")
    column.scalars.string_data.data.extend(ids)
    return results


def search_results(hits: Sequence[tuple[str, float]], *, with_entity: bool = True) -> Message:
    """A search's answer of (id, distance), each of document `d`, version 1."""
    data = schema_pb2.SearchResultData(num_queries=1, top_k=len(hits), topks=[len(hits)], primary_field_name="id")
    data.ids.str_id.data.extend(chunk_id for chunk_id, _ in hits)
    data.scores.extend(score for _, score in hits)
    if with_entity:
        document = data.fields_data.add(type=schema_pb2.VarChar, field_name="document_id")
        document.scalars.string_data.data.extend("d" for _ in hits)
        version = data.fields_data.add(type=schema_pb2.Int64, field_name="version")
        version.scalars.long_data.data.extend(1 for _ in hits)
    return milvus_pb2.SearchResults(results=data)
