"""A full disk: 507 at every door that takes things in, before anything is written (reliability R6.13)."""

from __future__ import annotations

import pytest

from advanced_rag.exceptions import InsufficientStorage
from tests.unit.api.fake_services import Api


class NoRoom:
    """A full disk."""

    def require(self) -> None:
        raise InsufficientStorage("There is not enough free disk space to store more.")


@pytest.mark.req("R6.13")
async def test_an_upload_or_a_job_is_refused_before_anything_is_written(api: Api) -> None:
    api.services.room = NoRoom()
    uploaded = await api.client.post("/v1/ingest/files", files=[("files", ("a.txt", b"text"))])
    later = await api.client.post(
        "/v1/ingest", json={"documents": [{"text": "text"}]}, headers={"Prefer": "respond-async"}
    )
    for response in (uploaded, later):
        assert response.status_code == 507
        assert response.json()["type"] == "/problems/insufficient-storage"
        assert int(response.headers["Retry-After"]) == 60
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []
    assert list(api.services.upload_folder.rglob("*")) == []
    assert not api.services.ingested
    found = await api.client.post("/v1/retrieve", json={"query": "keys"})
    assert found.status_code == 200
