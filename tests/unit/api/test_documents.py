"""`/v1/documents`."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from advanced_rag.exceptions import ValidationError
from tests.unit.api.fake_services import Api


async def test_documents_are_listed_with_a_cursor(api: Api) -> None:
    response = await api.client.get("/v1/documents", params={"limit": 5, "cursor": "c1", "domain": "legal"})
    assert response.status_code == 200
    document = response.json()
    assert document["next_cursor"] == "c1"
    assert document["documents"] == [
        {
            "id": "keys",
            "version": 1,
            "title": "Key register",
            "domain": "",
            "metadata": {"lang": "en"},
            "chunks": 1,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-02T00:00:00Z",
        }
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1.5", "domain=a%20b", "cursor=" + "x" * 2_000]
)
async def test_a_bad_parameter_is_named(api: Api, query: str) -> None:
    response = await api.client.get(f"/v1/documents?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == f"/{query.partition('=')[0]}"


async def test_a_cursor_that_is_not_ours_is_named(api: Api) -> None:
    api.services.error = ValidationError.of("/cursor", "invalid-cursor", "It is not one of ours.")
    response = await api.client.get("/v1/documents?cursor=x")
    assert response.json()["errors"][0]["loc"] == "/cursor"


async def test_a_document_is_shown_with_its_text_and_then_deleted(api: Api) -> None:
    shown = await api.client.get("/v1/documents/keys")
    assert shown.json()["text"] == "Spare keys hang in cabinet B."
    deleted = await api.client.delete("/v1/documents/keys")
    assert (deleted.status_code, deleted.json()["status"]) == (200, "deleted")
    assert (await api.client.get("/v1/documents/keys")).status_code == 404
    assert (await api.client.delete("/v1/documents/keys")).status_code == 404


@pytest.mark.parametrize("document_id", ["a/b/c", "café", "x:y@z.-_", "a//b", "1"])
async def test_ids_may_hold_slashes_and_letters_of_any_script(api: Api, document_id: str) -> None:
    api.services.stored[document_id] = "text"
    assert (await api.client.get(f"/v1/documents/{quote(document_id)}")).status_code == 200
    assert (await api.client.get(f"/v1/documents/{quote(document_id, safe='')}")).status_code == 200
    assert (await api.client.delete(f"/v1/documents/{quote(document_id)}")).json()["id"] == document_id


@pytest.mark.req("R8.5")
@pytest.mark.parametrize("document_id", ["a b", "x" * 129, "a\0b", "' or 1=1 --", "a\nb", "\ufffd\u200b", '"', ""])
async def test_what_cannot_be_an_id_is_refused_and_asked_of_nobody(api: Api, document_id: str) -> None:
    for method in ("GET", "DELETE"):
        response = await api.client.request(method, f"/v1/documents/{quote(document_id, safe='')}")
        if document_id == "a\nb":  # no path of ours holds a line feed
            assert response.status_code == 404
            continue
        assert response.status_code == 422
        assert response.json()["errors"][0]["loc"] == "/id"
    assert not api.services.entered.is_set()
