"""`/v1/documents`: what is stored, what is said of it, and its end."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from advanced_rag.api.dependencies import Amender, Context, CurrentTenant, Documents, Indexer, Remover
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.amendments import AmendedAnswer, AmendRequest
from advanced_rag.api.schemas.base import Identifier
from advanced_rag.api.schemas.documents import (
    ChunksAnswer,
    DeletedAnswer,
    DeleteManyAnswer,
    DeleteManyRequest,
    DocumentPageAnswer,
    WholeDocumentAnswer,
    parsed_filters,
)
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import NotFound

MAX_PAGE: Final = 1_000
DEFAULT_PAGE: Final = 50
MAX_CURSOR_CHARS: Final = 1_024
MAX_FILTER_CHARS: Final = 4_000

router = APIRouter(prefix="/documents", tags=["documents"], route_class=NativeRoute)

PathId = Annotated[Identifier, Path(description="May contain `/`.")]


@router.get("", responses=problems(422, 503, 504))
async def list_documents(
    tenant: CurrentTenant,
    documents: Documents,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    domain: Annotated[Identifier | None, Query()] = None,
    filters: Annotated[str | None, Query(max_length=MAX_FILTER_CHARS, description="A filter, as JSON.")] = None,
) -> DocumentPageAnswer:
    """The documents as they stand, by id.

    With `filters` a page may be short, even empty, although more follow: go by `next_cursor`.
    """
    where = None if filters is None else parsed_filters(filters)
    page = await documents.documents(tenant, limit=limit, cursor=cursor, domain=domain, filters=where)
    return DocumentPageAnswer.of(page, request_id=context.request_id)


@router.post("/delete", responses=problems(*BODY_STATUSES, 503, 504))
async def delete_documents(
    body: DeleteManyRequest, tenant: CurrentTenant, remover: Remover, context: Context
) -> DeleteManyAnswer:
    """Delete documents by their ids or by a filter; a `dry_run` only counts them."""
    if body.ids is not None:
        ids = [DocumentId(document_id) for document_id in body.ids]
        count = await remover.by_ids(tenant, ids, dry_run=body.dry_run)
    else:
        count = await remover.by_filter(tenant, body.filters, domain=body.domain, dry_run=body.dry_run)
    return DeleteManyAnswer(count=count, dry_run=body.dry_run, request_id=context.request_id)


@router.get("/{id:path}/chunks", responses=problems(404, 422, 503, 504))
async def get_document_chunks(
    id: PathId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    documents: Documents,
    context: Context,
) -> ChunksAnswer:
    """The pieces that a document is searched by."""
    return ChunksAnswer.of(id, await documents.chunks(tenant, DocumentId(id)), request_id=context.request_id)


@router.get("/{id:path}", responses=problems(404, 422, 503, 504))
async def get_document(
    id: PathId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    documents: Documents,
    context: Context,
) -> WholeDocumentAnswer:
    """One document with its text."""
    record, text = await documents.document(tenant, DocumentId(id))
    return WholeDocumentAnswer.whole(record, text, request_id=context.request_id)


@router.patch("/{id:path}", responses=problems(*BODY_STATUSES, 404, 409, 503, 504, 507))
async def amend_document(
    id: PathId,  # noqa: A002  # the contract's name
    body: AmendRequest,
    tenant: CurrentTenant,
    amender: Amender,
    context: Context,
) -> AmendedAnswer:
    """Change a document's title, domain or metadata: a new version of it with the same text.

    What is left out stays. `metadata` is a JSON merge patch: null takes a member away.
    """
    outcome = await amender.amend(tenant, DocumentId(id), body.amendment())
    return AmendedAnswer.of(outcome, request_id=context.request_id)


@router.delete("/{id:path}", responses=problems(404, 422, 503, 504))
async def delete_document(
    id: PathId,  # noqa: A002  # the contract's name
    tenant: CurrentTenant,
    indexer: Indexer,
    context: Context,
) -> DeletedAnswer:
    """Delete a document: once answered, nobody sees it any more."""
    if not await indexer.delete(tenant, DocumentId(id)):
        raise NotFound("There is no such document.")
    return DeletedAnswer(id=id, request_id=context.request_id)
