"""`/docs`: Swagger UI, its files served by us: FastAPI's page would load them from elsewhere.

They come out of the package fastapi-swagger (Swagger UI 5; swagger-ui-bundle's 4.15 cannot read OpenAPI 3.1).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from advanced_rag.exceptions import NotFound

_PACKAGE: Final = "fastapi_swagger"
_MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_STARTER: Final = """window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
    validatorUrl: null,
  });
});
"""
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon-32x32.png">
</head>
<body>
<div id="ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
# Swagger UI writes style attributes; everything else comes from here or not at all.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {"Content-Security-Policy": _POLICY}
_FILE_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}


def docs_router(title: str) -> APIRouter:
    """The page and its files."""
    router = APIRouter(include_in_schema=False)
    files = _files()

    @router.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE.format(title=title), headers=_PAGE_HEADERS)

    @router.get("/docs/assets/start.js")
    async def start() -> Response:
        return Response(_STARTER, media_type="text/javascript", headers=_FILE_HEADERS)

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> FileResponse:
        if name not in files:
            raise NotFound("There is no such file.")
        return FileResponse(files[name], media_type=_MEDIA_TYPES[name], headers=_FILE_HEADERS)

    return router


def _files() -> dict[str, Path]:
    # Found, not imported: only the package's files are used.
    spec = find_spec(_PACKAGE)
    folders = [Path(place) / "resources" for place in (spec.submodule_search_locations or ())] if spec else []
    return {name: folder / name for folder in folders for name in _MEDIA_TYPES if (folder / name).is_file()}
