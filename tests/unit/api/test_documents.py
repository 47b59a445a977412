"""`/v1/documents`."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from advanced_rag.exceptions import ValidationError
from advanced_rag.services.amending import Amendment
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


async def test_a_filter_goes_in_as_json(api: Api) -> None:
    response = await api.client.get("/v1/documents", params={"filters": '{"lang": {"$ne": "de"}}'})
    assert response.status_code == 200
    assert api.services.filters == [{"lang": {"$ne": "de"}}]


@pytest.mark.parametrize("filters", ["{", "x", "NaN", '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "x" * 4_001])
async def test_a_filter_that_is_not_json_is_named(api: Api, filters: str) -> None:
    response = await api.client.get("/v1/documents", params={"filters": filters})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"].startswith("/filters")


async def test_the_pieces_of_a_document_are_shown(api: Api) -> None:
    api.services.stored["a/b"] = "Two words."
    for document_id in ("keys", "a/b"):
        response = await api.client.get(f"/v1/documents/{document_id}/chunks")
        assert response.status_code == 200
        answer = response.json()
        assert (answer["document_id"], answer["version"]) == (document_id, 1)
        (chunk,) = answer["chunks"]
        assert chunk["text"] == api.services.stored[document_id]
        assert (chunk["start"], chunk["end"]) == (0, len(chunk["text"]))
    assert (await api.client.get("/v1/documents/none/chunks")).status_code == 404


async def test_what_is_left_out_of_an_amendment_stays_and_null_empties(api: Api) -> None:
    for body in (
        {"title": "New"},
        {"domain": "legal"},
        {"metadata": {"year": None}},
        {"title": None, "metadata": None},
    ):
        response = await api.client.patch("/v1/documents/keys", json=body)
        assert response.status_code == 200
        assert response.json() | {"request_id": ""} == {
            "id": "keys",
            "version": 2,
            "status": "replaced",
            "chunks": 1,
            "request_id": "",
        }
    assert api.services.amendments == [
        Amendment(title="New"),
        Amendment(domain="legal"),
        Amendment(metadata={"year": None}),
        Amendment(title="", clears_metadata=True),
    ]
    assert (await api.client.patch("/v1/documents/none", json={"title": "x"})).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"text": "x"}, {"title": 1}, {"metadata": []}, {"domain": "a b"}, {"title": "x" * 1_001}]
)
async def test_an_amendment_that_cannot_be_is_refused(api: Api, body: object) -> None:
    assert (await api.client.patch("/v1/documents/keys", json=body)).status_code == 422
    assert api.services.amendments == []


async def test_documents_are_deleted_by_their_ids_or_only_counted(api: Api) -> None:
    body = {"ids": ["keys", "none"], "dry_run": True}
    assert (await api.client.post("/v1/documents/delete", json=body)).json()["count"] == 1
    assert "keys" in api.services.stored
    answer = (await api.client.post("/v1/documents/delete", json={"ids": ["keys", "none"]})).json()
    assert (answer["count"], answer["dry_run"]) == (1, False)
    assert "keys" not in api.services.stored


async def test_documents_are_deleted_by_a_filter(api: Api) -> None:
    body = {"filters": {"lang": "en"}, "domain": "legal", "dry_run": True}
    answer = (await api.client.post("/v1/documents/delete", json=body)).json()
    assert (answer["count"], answer["dry_run"]) == (7, True)
    assert api.services.filters == [({"lang": "en"}, "legal", True)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"domain": "legal"},
        {"ids": []},
        {"ids": ["a b"]},
        {"ids": ["a"] * 1_001},
        {"ids": ["a"], "filters": {"lang": "en"}},
        {"ids": ["a"], "domain": "legal"},
        {"ids": ["a"], "dry_run": "yes"},
    ],
)
async def test_a_deletion_that_says_not_exactly_what_is_refused(api: Api, body: object) -> None:
    assert (await api.client.post("/v1/documents/delete", json=body)).status_code == 422
    assert not api.services.entered.is_set()
