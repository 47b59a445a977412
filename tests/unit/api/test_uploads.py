"""`POST /v1/ingest/files` over a fake parser: each file for itself (R6.14), sizes (R8.7), nothing left (R8.11)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.constants import MAX_METADATA_KEYS, MAX_UPLOAD_BODY_BYTES, MAX_UPLOAD_FILES
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import BulkheadFull, DependencyUnavailable, FileRefused
from advanced_rag.ports.parsing import PageStart, ParsedFile
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from tests.unit.api.asgi import Client, scope, until
from tests.unit.api.fake_services import Api
from tests.unit.api.test_multipart import BOUNDARY, form, part

PATH = "/v1/ingest/files"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
BINARY = b"\xff\xfe\xfd"


async def _upload(api: Api, *files: tuple[str, bytes], **fields: str) -> Any:
    return await api.client.post(PATH, files=[("files", file) for file in files], data=fields)


def _left(api: Api) -> list[Path]:
    return list(api.services.upload_folder.rglob("*"))


@pytest.fixture(autouse=True)
async def nothing_stays(api: Api) -> AsyncIterator[None]:
    yield
    assert _left(api) == []


async def test_files_become_documents_with_what_is_known_of_them(api: Api) -> None:
    response = await _upload(
        api, ("rescue/a b.txt", b"first"), ("b.md", b"second"), domain="legal", metadata='{"lang": "en"}'
    )
    assert response.status_code == 200
    assert response.json()["documents"] == [
        {"id": "rescue/a-b.txt", "status": "indexed", "version": 1, "chunks": 1},
        {"id": "b.md", "status": "indexed", "version": 1, "chunks": 1},
    ]
    assert response.json()["request_id"]
    first, second = api.services.ingested
    assert (first.text, first.title, first.domain) == ("first", "rescue/a b.txt", "legal")
    assert first.metadata == {"lang": "en", "file_name": "rescue/a b.txt", "media_type": "text/plain"}
    assert second.text == "second"
    assert api.services.parsed == ["parsed", "parsed"]


async def test_one_file_may_be_given_an_id(api: Api) -> None:
    assert (await _upload(api, ("a.txt", b"x"), id="keys/2026")).json()["documents"][0]["id"] == "keys/2026"
    refused = await _upload(api, ("a.txt", b"x"), ("b.txt", b"y"), id="keys")
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, "/id")


async def test_fields_that_are_empty_are_absent(api: Api) -> None:
    await _upload(api, ("a.txt", b"x"), id="", domain="", metadata="")
    (document,) = api.services.ingested
    assert (document.id, document.domain) == ("a.txt", "")


async def test_pages_and_titles_of_a_file_are_kept(api: Api) -> None:
    api.services.parser.becomes = lambda text: ParsedFile(
        text,
        "Title",
        "application/pdf",
        (PageStart(1, 0), PageStart(2, 6)),
        {"author": "A", "lang": 7, "page_count": 2},
    )
    await _upload(api, ("a.pdf", b"page1 page2"))
    (document,) = api.services.ingested
    assert document.title == "Title"
    assert document.metadata == {
        "file_name": "a.pdf",
        "media_type": "application/pdf",
        "author": "A",
        "page_count": 2,
        "pages": [6, 5],
    }, "what is declared and of another type is left out: the sender could not help it"


@pytest.mark.req("R6.14")
async def test_a_file_that_is_refused_keeps_no_other_out(api: Api) -> None:
    response = await _upload(api, ("a.txt", b"fine"), ("b.bin", BINARY), ("c.txt", b""))
    assert response.status_code == 200
    first, second, third = response.json()["documents"]
    assert first["status"] == "indexed"
    assert second == {
        "id": "b.bin",
        "status": "failed",
        "version": None,
        "chunks": 0,
        "error": {
            "code": "unsupported-media-type",
            "message": "The file is of a type that is not read here.",
            "retryable": False,
            "loc": "/files/1",
        },
    }
    assert (third["error"]["code"], third["error"]["loc"]) == ("unreadable-file", "/files/2")
    assert api.services.parsed == ["parsed", "unsupported-media-type", "unreadable-file"]


@pytest.mark.req("R6.14")
@pytest.mark.parametrize(
    ("datas", "status", "problem"),
    [
        ([BINARY], 415, "unsupported-media-type"),
        ([BINARY, BINARY], 415, "unsupported-media-type"),
        ([b""], 422, "validation"),
        ([b"", BINARY], 422, "validation"),
        ([b"x" * 1_000_001], 413, "payload-too-large"),
    ],
)
async def test_files_that_are_all_refused_are_a_problem(
    api: Api, datas: list[bytes], status: int, problem: str
) -> None:
    response = await _upload(api, *((f"{number}.txt", data) for number, data in enumerate(datas)))
    assert response.status_code == status
    assert response.json()["type"] == f"/problems/{problem}"
    if problem == "validation":
        assert [error["loc"] for error in response.json()["errors"]] == [
            f"/files/{number}" for number in range(len(datas))
        ]
    else:
        assert response.json()["detail"].endswith((".", "itself.")), "a reason for people"


async def test_the_text_of_one_upload_is_bounded(api: Api) -> None:
    response = await _upload(api, *((f"{number}.txt", b"x" * 400_000) for number in range(4)))
    assert [line["status"] for line in response.json()["documents"]] == ["indexed", "indexed", "failed", "failed"]
    assert response.json()["documents"][2]["error"]["code"] == "payload-too-large"


@pytest.mark.req("R6.14")
async def test_files_that_nothing_is_wrong_with_are_503_where_nobody_reads_them(api: Api) -> None:
    api.services.parser.refusal_of = lambda _: BulkheadFull("file_parser is busy")
    response = await _upload(api, ("a.txt", b"x"), ("b.txt", b"y"))
    assert (response.status_code, response.json()["type"]) == (503, "/problems/overloaded")
    assert "Retry-After" in response.headers
    api.services.parser.refusal_of = lambda name: BulkheadFull("busy") if name == "a.txt" else None
    first, second = (await _upload(api, ("a.txt", b"x"), ("b.txt", b"y"))).json()["documents"]
    assert (first["error"]["code"], first["error"]["retryable"]) == ("overloaded", True)
    assert second["status"] == "indexed"


@pytest.mark.req("R6.14")
async def test_a_database_that_is_gone_is_503_or_a_line_that_may_be_repeated(api: Api) -> None:
    api.services.error = DependencyUnavailable("database")
    assert (await _upload(api, ("a.txt", b"x"))).status_code == 503
    response = await _upload(api, ("a.txt", b"x"), ("b.bin", BINARY))
    assert response.status_code == 200
    first, second = response.json()["documents"]
    assert (first["id"], first["error"]["retryable"], second["error"]["retryable"]) == ("a.txt", True, False)


async def test_metadata_of_the_wrong_type_is_the_forms_fault(api: Api) -> None:
    error = IngestError("wrong-type", "must be a string", "/metadata/lang")
    api.services.outcome_of = lambda given: IngestOutcome(DocumentId(given.id or ""), IngestStatus.FAILED, error=error)
    response = await _upload(api, ("a.txt", b"x"), metadata='{"lang": 1}')
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, "/metadata/lang")


@pytest.mark.req("R8.7", "R8.6")
@pytest.mark.parametrize(
    ("fields", "loc", "code"),
    [
        ({"id": "a b"}, "/id", "string-pattern-mismatch"),
        ({"domain": "x" * 129}, "/domain", "string-pattern-mismatch"),
        ({"metadata": "[1]"}, "/metadata", "dict-type"),
        ({"metadata": "{"}, "/metadata", "malformed-json"),
        ({"metadata": '{"a": NaN}'}, "/metadata/a", "not-finite"),
        ({"metadata": '{"a": 1, "a": 2}'}, "/metadata/a", "duplicate-key"),
        ({"metadata": '{"a": "\\u0000"}'}, "/metadata/a", "nul-character"),
        ({"metadata": json.dumps({"a": "x" * 16_400})}, "/metadata", "too-large"),
        ({"metadata": json.dumps({str(n): n for n in range(MAX_METADATA_KEYS + 1)})}, "/metadata", "too-many"),
        ({"title": "x"}, "/title", "unknown-field"),
    ],
)
async def test_a_bad_field_is_named_and_no_file_is_read(api: Api, fields: dict[str, str], loc: str, code: str) -> None:
    response = await _upload(api, ("a.txt", b"x"), **fields)
    assert response.status_code == 422
    assert [(error["loc"], error["code"]) for error in response.json()["errors"]] == [(loc, code)]
    assert api.services.parser.seen == []


@pytest.mark.req("R8.7")
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/mixed; boundary=x", ""])
async def test_what_is_no_form_is_415(api: Api, media_type: str) -> None:
    response = await api.client.post(PATH, content=form(part("files", b"x")), headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.req("R8.11")
@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 71}"])
async def test_a_form_without_a_boundary_is_422(api: Api, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    response = await api.client.post(PATH, content=form(part("files", b"x")), headers=headers)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "invalid-boundary")


@pytest.mark.req("R8.11")
async def test_a_form_that_does_not_end_is_422_and_a_file_too_many_too(api: Api) -> None:
    cut = await api.client.post(
        PATH, content=form(part("files", b"x" * 1_000_000, file_name="a"))[:-20], headers={"Content-Type": TYPE}
    )
    assert (cut.status_code, cut.json()["errors"][0]["code"]) == (422, "malformed-form")
    many = await _upload(api, *[("a.txt", b"x")] * (MAX_UPLOAD_FILES + 1))
    assert (many.status_code, many.json()["errors"][0]["loc"]) == (422, "/files")
    assert api.services.parser.seen == []


async def _endless(size: int) -> AsyncIterator[bytes]:
    yield part("files", b"", file_name="big.txt")[:-2]
    sent = 0
    while sent < size:
        yield b"x" * 1_000_000
        sent += 1_000_000


@pytest.mark.req("R8.7")
async def test_an_upload_beyond_the_limit_is_413_counted_as_it_comes(api: Api) -> None:
    response = await api.client.post(PATH, content=_endless(MAX_UPLOAD_BODY_BYTES), headers={"Content-Type": TYPE})
    assert "Content-Length" not in response.request.headers
    assert (response.status_code, response.json()["limit_bytes"]) == (413, MAX_UPLOAD_BODY_BYTES)
    assert api.services.parser.seen == []


@pytest.mark.req("R8.11")
async def test_a_large_file_arrives_whole_without_being_held_in_memory(api: Api) -> None:
    api.services.parser.becomes = lambda text: ParsedFile(str(len(text)), "", "text/plain")
    body = part("files", b"x" * 3_000_000, file_name="big.txt")

    async def pieces() -> AsyncIterator[bytes]:
        for first in range(0, len(body), 65_536):
            yield body[first : first + 65_536]
        yield form()

    response = await api.client.post(PATH, content=pieces(), headers={"Content-Type": TYPE})
    assert response.status_code == 200
    assert [size for _, _, size in api.services.parser.seen] == [3_000_000]


@pytest.mark.req("R8.11")
async def test_a_client_that_leaves_in_the_middle_of_a_file_leaves_no_file(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    head = part("files", b"x" * 600_000, file_name="a.txt")
    client = Client([head[:400_000], head[400_000:-2]], ends=False)
    headers = [(b"content-type", TYPE.encode())]
    asking = asyncio.create_task(client.ask(api.app, scope(path=PATH, headers=headers)))
    await until(lambda: any(path.is_file() for path in _left(api)))  # it has begun to arrive
    client.leave()
    await asking
    assert _left(api) == []
    assert client.sent == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.req("R8.11", "R3.10")
async def test_an_upload_that_is_cancelled_while_it_is_read_leaves_no_file(api: Api) -> None:
    api.services.hangs = True
    client = Client([form(part("files", b"text", file_name="a.txt"))])
    headers = [(b"content-type", TYPE.encode())]
    asking = asyncio.create_task(client.ask(api.app, scope(path=PATH, headers=headers)))
    await api.services.entered.wait()
    assert any(path.is_file() for path in _left(api))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert _left(api) == []


async def test_few_files_of_one_upload_are_read_at_once(api: Api) -> None:
    await _upload(api, *((f"{number}.txt", b"x") for number in range(10)))
    assert api.services.parser.most_at_once == 2
    assert [name for _, name, _ in api.services.parser.seen] == [f"{number}.txt" for number in range(10)]


async def test_a_refusal_by_size_is_413_with_its_reason(api: Api) -> None:
    api.services.parser.refusal_of = lambda _: FileRefused("payload-too-large", "It unpacks to more than 200 MB.")
    response = await _upload(api, ("bomb.zip", b"x"))
    assert (response.status_code, response.json()["detail"]) == (413, "It unpacks to more than 200 MB.")


async def test_there_is_no_alias_without_a_version(api: Api) -> None:
    assert (await api.client.post("/ingest/files", files={"files": b"x"})).status_code == 404


@pytest.mark.req("R6.5")
async def test_an_upload_with_a_key_is_taken_in_once_and_its_bytes_are_what_it_is_known_by(api: Api) -> None:
    async def upload(data: bytes, **fields: str) -> Any:
        files = [("files", ("a.txt", data))]
        return await api.client.post(PATH, files=files, data=fields, headers={"Idempotency-Key": "k1"})

    first, again = await upload(b"text", domain="legal"), await upload(b"text", domain="legal")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.services.ingested) == 1
    for other in (await upload(b"texts", domain="legal"), await upload(b"text")):
        assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")
