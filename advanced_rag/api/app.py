"""The application: routers, their errors, the middleware around them, and the services behind them while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from advanced_rag.api.endpoints import VERSION_PREFIX, EndpointTable, endpoint_of
from advanced_rag.api.errors import documented_problems, problem_of
from advanced_rag.api.middleware import install_middleware
from advanced_rag.api.middleware.body_gate import ArrivalLimits
from advanced_rag.api.middleware.deadline import Deadlines
from advanced_rag.api.openapi import describe_api
from advanced_rag.api.problem_response import ProblemResponse
from advanced_rag.api.refusals import MethodNotAllowed
from advanced_rag.api.routers import (
    chat,
    conversations,
    documents,
    feedback,
    health,
    ingestion,
    jobs,
    retrieval,
    uploads,
)
from advanced_rag.api.routers.docs_ui import docs_router
from advanced_rag.api.routers.metrics import metrics_router
from advanced_rag.api.routers.problems import DEFAULT_PAGES, problems_router
from advanced_rag.api.state import ApiServices, ApiState
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.exceptions import RAGException
from advanced_rag.telemetry.metrics import Metrics

TITLE: Final = "Advanced RAG"
_METHOD_NOT_ALLOWED: Final = 405
_THREADS: Final = 2
_MAX_WAITING: Final = 64
_CLOSE_GRACE_S: Final = 1.0

OpenServices = Callable[[], AbstractAsyncContextManager[ApiServices]]


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What can be set about the HTTP layer. `metrics_token` empty: private addresses may scrape."""

    version: str = "0"
    deadlines: Deadlines = field(default_factory=Deadlines)
    arrival: ArrivalLimits = field(default_factory=ArrivalLimits)
    docs_ui: bool = True
    metrics_token: str = field(default="", repr=False)
    multiprocess_dir: Path | None = None
    problem_pages: Path = DEFAULT_PAGES


def create_app(open_services: OpenServices, *, metrics: Metrics, options: ApiOptions | None = None) -> FastAPI:
    """The application. `open_services` is entered when it starts and left when it ends: requests come in between."""
    options = options or ApiOptions()
    app = FastAPI(
        title=TITLE,
        version=options.version,
        summary="Hybrid retrieval and cited answers over your documents.",
        lifespan=_lifespan(open_services),
        openapi_url="/openapi.json" if options.docs_ui else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    for error in (RAGException, RequestValidationError, HTTPException):
        app.add_exception_handler(error, _answer_problem)
    app.add_exception_handler(_METHOD_NOT_ALLOWED, _answer_wrong_method)
    _include_routers(app, metrics, options)
    describe_api(app)
    endpoints = EndpointTable.of(app.routes)
    for endpoint in endpoints.endpoints:
        problems = [kind.name for kind in documented_problems(endpoint.documented_statuses)]
        metrics.declare_endpoint(endpoint.template, methods=endpoint.methods, problems=problems)
    install_middleware(app, endpoints=endpoints, metrics=metrics, deadlines=options.deadlines, arrival=options.arrival)
    return app


def _lifespan(open_services: OpenServices) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        executor = AsyncExecutor("http", threads=_THREADS, max_waiting=_MAX_WAITING)
        try:
            async with open_services() as services:
                app.state.api = ApiState(services, executor)
                yield
        finally:
            app.state.api = None
            await executor.close(grace_s=_CLOSE_GRACE_S)

    return lifespan


def _include_routers(app: FastAPI, metrics: Metrics, options: ApiOptions) -> None:
    # Routes are tried in this order, and each level of nesting is searched twice: the busiest first, and flat.
    for router in (
        retrieval.router,
        chat.router,
        ingestion.router,
        uploads.router,
        jobs.router,
        documents.router,
        conversations.router,
        feedback.router,
    ):
        app.include_router(router, prefix=VERSION_PREFIX)
    for router in (retrieval.router, chat.router, ingestion.router):  # the aliases without a version
        app.include_router(router, include_in_schema=False)
    app.include_router(health.router)
    app.include_router(metrics_router(metrics, token=options.metrics_token, multiprocess_dir=options.multiprocess_dir))
    app.include_router(problems_router(options.problem_pages))
    if options.docs_ui:
        app.include_router(docs_router(TITLE))


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _answer_problem(_request: Request, error: Exception) -> Response:
    return ProblemResponse(problem_of(error))


async def _answer_wrong_method(request: Request, _error: Exception) -> Response:
    # The framework names the methods of one route only; a path may have several, one a method.
    return ProblemResponse(problem_of(MethodNotAllowed(endpoint_of(request.scope).methods)))
