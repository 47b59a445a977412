from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.api.request_ids import request_id_of, uuid7
from tests.unit.api.fake_services import Api

PROPER = re.compile(r"[A-Za-z0-9._:-]{1,128}")


async def test_a_proper_request_id_is_kept_and_said_everywhere(api: Api) -> None:
    response = await api.client.post("/v1/retrieve", json={"query": "x"}, headers={"X-Request-ID": "a.b_c:d-1"})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "a.b_c:d-1"
    refused = await api.client.get("/nowhere", headers={"X-Request-ID": "r1"})
    assert refused.headers["X-Request-ID"] == refused.json()["instance"] == refused.json()["request_id"] == "r1"


@pytest.mark.req("R8.9")
@pytest.mark.parametrize("given_id", ["", " ", "a b", "a" * 129, "é", "x\ty", "<script>", "a/b"])
async def test_any_other_request_id_is_replaced_and_never_refused(api: Api, given_id: str) -> None:
    response = await api.client.get("/healthz/live", headers=[(b"X-Request-ID", given_id.encode())])
    assert response.status_code == 200
    assert uuid.UUID(response.headers["X-Request-ID"]).version == 7


async def test_several_request_ids_are_none(api: Api) -> None:
    response = await api.client.get("/healthz/live", headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])
    assert response.headers["X-Request-ID"] not in ("a", "b")


@given(st.lists(st.binary(max_size=140), max_size=2))
def test_every_request_has_a_proper_id(given_ids: list[bytes]) -> None:
    assert PROPER.fullmatch(request_id_of(given_ids))


def test_fresh_ids_sort_by_time_and_differ() -> None:
    ids = [uuid7() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(made.version == 7 and made.variant == uuid.RFC_4122 for made in ids)
    milliseconds = [made.int >> 80 for made in ids]
    assert milliseconds == sorted(milliseconds)


@pytest.mark.parametrize("alias", ["/retrieve", "/ingest", "/chat"])
async def test_an_alias_answers_as_its_versioned_path_and_names_it(api: Api, alias: str) -> None:
    bodies = {"/retrieve": {"query": "x"}, "/ingest": {"documents": [{"text": "x"}]}, "/chat": {"message": "x"}}
    answer = await api.client.post(alias, json=bodies[alias])
    versioned = await api.client.post(f"/v1{alias}", json=bodies[alias])
    assert answer.status_code == versioned.status_code == 200
    assert answer.json().keys() == versioned.json().keys()
    assert answer.headers["Link"] == f'</v1{alias}>;rel="successor-version"'
    assert "Link" not in versioned.headers
    assert (await api.client.post(alias, json={})).headers["Link"]  # on its errors too
