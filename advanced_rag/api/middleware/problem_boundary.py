"""The last catch: whatever is raised further in becomes a problem document, and nothing else of it leaves."""

from __future__ import annotations

import logging
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.errors import is_ours, problem_of
from advanced_rag.api.problem_response import ProblemResponse

logger: Final = logging.getLogger(__name__)


class ProblemBoundaryMiddleware:
    """Answers errors of the middleware inside it, and bugs; those of endpoints the same table has answered before."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, guard HTTP."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        watched = _StartedSend(send)
        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:  # what passes here the server would answer, in its own form
            if not is_ours(error):
                logger.exception("unexpected error")
            if watched.started:
                # Half an answer is out; without its end the server closes the connection, which the client can tell.
                logger.warning("the answer broke off: %s", type(error).__name__)
                return
            await ProblemResponse(problem_of(error))(scope, receive, send)


class _StartedSend:
    """Remembers whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = self.started or message["type"] == "http.response.start"
        await self.send(message)
