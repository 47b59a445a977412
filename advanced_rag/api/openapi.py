"""How operations say which problems they answer with, and the finished OpenAPI document."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from advanced_rag.api.errors import documented_problems
from advanced_rag.api.problem_types import PROBLEM_MEDIA_TYPE
from advanced_rag.api.schemas.problem import Problem

BODY_STATUSES: Final = (400, 408, 413, 415, 422)
_ALWAYS: Final = (431, 500)
_REFERENCE: Final = "#/components/schemas/"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation: each status with the problems it stands for. 431 and 500 can always happen."""
    kinds = documented_problems((*statuses, *_ALWAYS))
    return {
        status: {
            "description": "; ".join(f"`{kind.name}`: {kind.summary}" for kind in same_status),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}{Problem.__name__}"}}},
        }
        for status, same_status in ((status, list(group)) for status, group in groupby(kinds, lambda k: k.status))
    }


def describe_api(app: FastAPI) -> None:
    """Let the application's own description include the problem document, to which `problems` only refers."""
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            problem = Problem.model_json_schema(ref_template=f"{_REFERENCE}{{model}}")
            definitions = problem.pop("$defs", {})
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions | {Problem.__name__: problem})
            described.update(document)
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
