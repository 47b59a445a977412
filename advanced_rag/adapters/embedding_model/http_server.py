"""The connection to an embedding server: answers are bounded, waits are short, the server learns how long we wait."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx

from advanced_rag.adapters.embedding_model.http_failures import connection_failure
from advanced_rag.adapters.embedding_model.vector_checks import DEPENDENCY
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.resilience.deadline import remaining_s
from advanced_rag.telemetry.context import current_request

DEADLINE_HEADER: Final = "X-Request-Timeout-Ms"
REQUEST_ID_HEADER: Final = "X-Request-ID"
TRACE_HEADER: Final = "traceparent"
_MS_PER_S: Final = 1_000


@dataclass(frozen=True, slots=True)
class EmbeddingServerValues:
    """Where the server is and how it is talked to. `api_key` is a secret: it is not in the repr."""

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    dialect: Literal["auto", "openai", "tei"] = "auto"
    max_tokens: int = 512
    """The model's window, where the server does not tell it."""
    batch_size: int = 32
    requests_in_flight: int = 4
    max_connections: int = 64
    connect_timeout_s: float = 1.0
    pool_timeout_s: float = 0.1
    read_timeout_s: float = 120.0
    """A last resort: each attempt's own limit is its guard's."""
    query_prompt: str = ""
    document_prompt: str = ""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class EmbeddingServer:
    """HTTP to one server, without retries of its own."""

    def __init__(self, values: EmbeddingServerValues) -> None:
        self._read_timeout_s = values.read_timeout_s
        # Not compressed: a small answer could unpack into a huge one. No redirects, no proxies of the environment.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if values.api_key:
            headers["Authorization"] = f"Bearer {values.api_key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(values.read_timeout_s, connect=values.connect_timeout_s, pool=values.pool_timeout_s),
            limits=httpx.Limits(
                max_connections=values.max_connections, max_keepalive_connections=values.max_connections
            ),
            follow_redirects=False,
            trust_env=False,
        )

    async def get(self, url: str, *, max_bytes: int) -> ServerAnswer:
        """As `post`."""
        return await self._exchange(self._client.build_request("GET", url, headers=_about_us()), max_bytes)

    async def post(self, url: str, body: bytes, *, max_bytes: int) -> ServerAnswer:
        """One exchange.

        Raises:
            DependencyUnavailable, DependencyTimeout: it did not come to its end.
            BulkheadFull: every connection is in use.
            DependencyInvalid: the answer is longer than `max_bytes`.
            EmbeddingGenerationError: the URL is wrong.
        """
        headers = {"Content-Type": "application/json", **_about_us()}
        return await self._exchange(self._client.build_request("POST", url, content=body, headers=headers), max_bytes)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _exchange(self, request: httpx.Request, max_bytes: int) -> ServerAnswer:
        content = bytearray()
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise DependencyInvalid(DEPENDENCY, "the embedding server compressed its answer unasked")
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > max_bytes:
                        raise DependencyInvalid(DEPENDENCY, "the embedding server's answer is too long")
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise connection_failure(error, read_timeout_s=self._read_timeout_s) from error
        return ServerAnswer(response.status_code, response.headers, bytes(content))


def _about_us() -> dict[str, str]:
    """What is left of the request's time, its id and its trace."""
    headers: dict[str, str] = {}
    left_s = remaining_s()
    if math.isfinite(left_s):
        headers[DEADLINE_HEADER] = str(max(0, int(left_s * _MS_PER_S)))
    if (request := current_request()) is not None:
        headers |= {REQUEST_ID_HEADER: request.request_id, TRACE_HEADER: request.trace.traceparent}
    return headers
