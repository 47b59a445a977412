"""Forms as strangers send them: refused or read, whatever comes, and never beyond their bounds (R8.11)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.api.multipart import FormReceiver, ReceivedForm, boundary_of
from advanced_rag.constants import MAX_FORM_FIELD_BYTES, MAX_PART_HEADER_BYTES, MAX_UPLOAD_FILES
from advanced_rag.exceptions import ValidationError

BOUNDARY = b"b0undary"


def part(name: str, data: bytes, *, file_name: str | None = None, headers: bytes = b"") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    head = b"Content-Disposition: " + disposition.encode() + b"\r\n" + headers
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def received(body: bytes, folder: Path, *, piece: int = 1_000_000) -> ReceivedForm:
    receiver = FormReceiver(BOUNDARY, folder)
    try:
        for first in range(0, len(body), piece):
            receiver.feed(body[first : first + piece])
        return receiver.finish()
    finally:
        receiver.close()


def refusal(body: bytes, folder: Path) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        received(body, folder)
    (error,) = caught.value.errors
    return error.loc, error.code


@given(
    st.lists(st.binary(max_size=300) | st.just(b"\r\n--" + BOUNDARY[:-1]), min_size=1, max_size=5),
    st.integers(1, 64),
    st.binary(max_size=20),
)
def test_files_arrive_byte_for_byte_however_they_are_cut(datas: list[bytes], piece: int, epilogue: bytes) -> None:
    body = form(
        part("domain", b"legal"),
        *(part("files", data, file_name=f"{number}.txt") for number, data in enumerate(datas)),
    )
    if any(BOUNDARY in data for data in datas):
        return
    with TemporaryDirectory() as folder:
        result = received(body + epilogue, Path(folder), piece=piece)
        assert [file.path.read_bytes() for file in result.files] == datas
        assert [file.name for file in result.files] == [f"{number}.txt" for number in range(len(datas))]
        assert result.fields == {"domain": b"legal"}


hostile = st.lists(
    st.sampled_from(
        [
            b"--" + BOUNDARY,
            b"--",
            b"\r\n",
            b"\r",
            b"\n",
            b":",
            b" ",
            b"\0",
            b"Content-Disposition: form-data; name=files; filename=a",
            b'Content-Disposition: form-data; name="files"; filename="\xff\xfe"',
            b'Content-Disposition: form-data; name="metadata"',
            b"Content-Disposition: attachment",
            b"X" * 500,
        ]
    )
    | st.binary(max_size=30),
    max_size=60,
).map(b"".join)


@pytest.mark.req("R8.11")
@given(hostile, st.integers(1, 200))
def test_whatever_comes_is_a_form_or_a_refusal_and_writes_only_its_own_files(body: bytes, piece: int) -> None:
    with TemporaryDirectory() as folder:
        with suppress(ValidationError):
            received(body, Path(folder), piece=piece)
        names = {path.name for path in Path(folder).rglob("*")}
        assert names <= {str(number) for number in range(MAX_UPLOAD_FILES)}


@pytest.mark.req("R8.11")
def test_a_name_is_only_shown(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    result = received(form(part("files", b"text", file_name="../../x")), inside)
    assert (result.files[0].name, result.files[0].path) == ("x", inside / "0")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "a/b", "a/b/0"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Hütte.md".encode(), "Hütte.md"),
        ("Hütte.md".encode("latin-1"), "Hütte.md"),
        (b'say \\"hi\\".txt', 'say "hi".txt'),
    ],
)
def test_names_come_in_utf8_or_as_old_clients_write_them(sent: bytes, shown: str, tmp_path: Path) -> None:
    head = b'Content-Disposition: form-data; name="files"; filename="' + sent + b'"\r\n\r\n'
    body = b"--" + BOUNDARY + b"\r\n" + head + b"text\r\n--" + BOUNDARY + b"--"
    assert received(body, tmp_path).files[0].name == shown


@pytest.mark.req("R8.11")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ("", "malformed-form")),
        (b"no form at all", ("", "malformed-form")),
        (part("files", b"text", file_name="a"), ("", "malformed-form")),
        (form(part("files", b"text", file_name="a"))[:-6], ("", "malformed-form")),
        (form(part("domain", b"x")), ("/files", "missing")),
        (form(part("file", b"x", file_name="a")), ("/file", "unknown-field")),
        (form(part("a/b~c", b"x")), ("/a~1b~0c", "unknown-field")),
        (form(part("", b"x")), ("", "malformed-form")),
        (form(b"--" + BOUNDARY + b"\r\n\r\nx\r\n"), ("", "malformed-form")),
        (form(part("id", b"x"), part("id", b"y")), ("/id", "duplicate-key")),
        (form(part("metadata", b" " * (MAX_FORM_FIELD_BYTES + 1))), ("/metadata", "too-large")),
        (form(part("files", b"x", headers=b"X: " + b"y" * MAX_PART_HEADER_BYTES + b"\r\n")), ("", "malformed-form")),
        (form(part("files", b"x", headers=b"X: y\r\n" * 100)), ("", "malformed-form")),
        (form(*[part("files", b"", file_name="a")] * (MAX_UPLOAD_FILES + 1)), ("/files", "too-many")),
    ],
)
def test_what_is_no_upload_is_refused_by_name(body: bytes, expected: tuple[str, str], tmp_path: Path) -> None:
    assert refusal(body, tmp_path) == expected


@pytest.mark.req("R8.11")
def test_a_hundred_thousand_empty_parts_are_refused_at_the_first_too_many(tmp_path: Path) -> None:
    assert refusal(form(*[part("files", b"", file_name="a")] * 100_000), tmp_path) == ("/files", "too-many")
    assert len(list(tmp_path.iterdir())) == MAX_UPLOAD_FILES


@pytest.mark.req("R8.11")
@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="a\tb"',
        'multipart/form-data; boundary="ends in a space "',
        "multipart/form-data; boundary=a\xe4b",
        "multipart/form-data; charset=utf-8",
    ],
)
def test_a_boundary_that_cannot_be_one_is_refused(content_type: str) -> None:
    with pytest.raises(ValidationError) as caught:
        boundary_of(content_type)
    assert caught.value.errors[0].code == "invalid-boundary"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (f"multipart/form-data; boundary={'x' * 70}", b"x" * 70),
        ('Multipart/Form-Data; Boundary="a b"', b"a b"),
        (
            "multipart/form-data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxk",
            b"----WebKitFormBoundary7MA4YWxk",
        ),
    ],
)
def test_boundaries_as_clients_name_them(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary
