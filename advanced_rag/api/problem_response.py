"""A problem as an answer."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from advanced_rag.api.errors import Problem
from advanced_rag.api.problem_types import PROBLEM_MEDIA_TYPE
from advanced_rag.telemetry.context import current_request


class ProblemResponse(Response):
    """RFC 9457, with the request id as `instance`; names the problem for metrics and the request's log line."""

    media_type = PROBLEM_MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        context = current_request()
        if context is not None:
            context.problem = problem.type.name
        headers = dict(problem.headers)
        if problem.retry_after_s is not None:
            headers["Retry-After"] = str(problem.retry_after_s)
        if problem.closes:
            headers["Connection"] = "close"
        document = problem_document(problem, context.request_id if context else "")
        super().__init__(json.dumps(document).encode(), problem.type.status, headers)


def problem_document(problem: Problem, request_id: str) -> dict[str, Any]:
    """The members of the document, the fixed ones first."""
    return {
        "type": problem.type.uri,
        "title": problem.type.title,
        "status": problem.type.status,
        "detail": problem.detail,
        "instance": request_id,
        "request_id": request_id,
        **problem.members,
    }
