"""`/problems/<name>`: what the `type` of a problem document points to."""

from __future__ import annotations

import html
import pathlib
from typing import Annotated, Final

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from advanced_rag.api.openapi import problems
from advanced_rag.api.problem_types import PROBLEM_TYPES, ProblemType
from advanced_rag.exceptions import NotFound

_MAX_NAME_CHARS: Final = 64
DEFAULT_PAGES: Final = pathlib.Path(__file__).resolve().parents[3] / "docs" / "problems"

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><pre>{text}</pre></body></html>
"""


def problems_router(pages: pathlib.Path) -> APIRouter:
    """The pages of a folder of Markdown files by name; one that is missing is made from the table of problems."""
    rendered = {name: _page(kind, pages / f"{name}.md") for name, kind in PROBLEM_TYPES.items()}
    router = APIRouter(tags=["problems"])

    @router.get("/problems/{name}", response_class=HTMLResponse, responses=problems(404, 422))
    async def problem_page(name: Annotated[str, Path(max_length=_MAX_NAME_CHARS)]) -> HTMLResponse:
        """What a problem means and what to do about it."""
        if name not in rendered:
            raise NotFound("There is no problem of that name.")
        return HTMLResponse(rendered[name])

    return router


def _page(kind: ProblemType, file: pathlib.Path) -> str:
    text = file.read_text(encoding="utf-8") if file.is_file() else f"# {kind.title}\n\n{kind.summary}\n"
    return _PAGE.format(title=html.escape(kind.title), text=html.escape(text))
