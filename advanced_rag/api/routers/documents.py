"""`/v1/documents`: what is stored, and its end."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from advanced_rag.api.dependencies import Context, CurrentTenant, Documents, Indexer
from advanced_rag.api.openapi import problems
from advanced_rag.api.schemas.base import Identifier
from advanced_rag.api.schemas.documents import DeletedAnswer, DocumentPageAnswer, WholeDocumentAnswer
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import NotFound

MAX_PAGE: Final = 1_000
DEFAULT_PAGE: Final = 50
MAX_CURSOR_CHARS: Final = 1_024

router = APIRouter(prefix="/documents", tags=["documents"])

PathId = Annotated[Identifier, Path(description="May contain `/`.")]


@router.get("", responses=problems(422, 503, 504))
async def list_documents(
    tenant: CurrentTenant,
    documents: Documents,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    domain: Annotated[Identifier | None, Query()] = None,
) -> DocumentPageAnswer:
    """The documents as they stand, by id."""
    page = await documents.documents(tenant, limit=limit, cursor=cursor, domain=domain)
    return DocumentPageAnswer.of(page, request_id=context.request_id)


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
