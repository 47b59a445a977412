"""`POST /v1/ingest/files`."""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response

from advanced_rag.api.dependencies import Context, CurrentState, CurrentTenant, Uploader
from advanced_rag.api.idempotency import answer_once
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.ingestion import IngestResponse
from advanced_rag.api.schemas.uploads import fingerprint_of_form, form_description, upload_answer, upload_of
from advanced_rag.api.upload_reception import received_form
from advanced_rag.ports.idempotency import KeyClaim

ROUTE: Final = "/v1/ingest/files"

router = APIRouter(tags=["documents"])


@router.post(
    "/ingest/files",
    response_model=IngestResponse,
    responses=problems(*BODY_STATUSES, 409, 503, 504, 507),
    openapi_extra={"requestBody": form_description()},
)
async def ingest_files(
    request: Request, tenant: CurrentTenant, uploader: Uploader, state: CurrentState, context: Context
) -> Response:
    """Take files in. Each has its own line in the answer; one that is refused says why and keeps no other out.

    `Idempotency-Key` makes it safe to repeat for 24 hours.
    """
    await state.executor.run(uploader.room.require)
    async with received_form(request, below=uploader.folder, executor=state.executor) as form:
        upload = upload_of(form)

        async def answer(_claim: KeyClaim | None) -> Response:
            lines = upload_answer(await uploader.ingest(tenant, upload), request_id=context.request_id)
            return Response(lines.model_dump_json(exclude_unset=True), media_type="application/json")

        async def fingerprint(_request: Request) -> str:
            return await state.executor.run(partial(fingerprint_of_form, form))

        return await answer_once(request, tenant, ROUTE, answer, fingerprint=fingerprint)
