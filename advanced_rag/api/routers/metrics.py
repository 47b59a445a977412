"""`/metrics`, for whoever scrapes: the holder of the token, or, without one, private addresses (reliability R8.19)."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response

from advanced_rag.api.openapi import problems
from advanced_rag.api.refusals import Forbidden, Unauthorized
from advanced_rag.api.state import state_of
from advanced_rag.telemetry.metrics import CONTENT_TYPE, Metrics


def metrics_router(metrics: Metrics, *, token: str = "", multiprocess_dir: Path | None = None) -> APIRouter:
    """The router of one application's metrics. `multiprocess_dir`: where the workers of one service add up."""
    router = APIRouter(tags=["operations"])
    admit = _admit_token(token) if token else _admit_private

    @router.get("/metrics", response_class=Response, responses=problems(401, 403, 503) | {200: _PLAIN_TEXT})
    async def scrape(request: Request) -> Response:
        """The metrics in Prometheus's text format."""
        await admit(request)
        text = await state_of(request).executor.run(partial(metrics.exposition, multiprocess_dir))
        return Response(text, media_type=CONTENT_TYPE)

    return router


_PLAIN_TEXT = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _admit_token(token: str) -> Callable[[Request], Awaitable[None]]:
    expected = f"Bearer {token}".encode()

    async def admit(request: Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, expected):
            raise Unauthorized("Send the metrics token.")

    return admit


async def _admit_private(request: Request) -> None:
    if request.client is None:  # a socket in the file system
        return
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        raise Forbidden("Metrics are for private addresses.") from None
    if not address.is_private and not address.is_loopback:
        raise Forbidden("Metrics are for private addresses.")
