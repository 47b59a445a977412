"""Forms with files (RFC 7578), written to disk as they arrive and bounded in every part (reliability R8.11).

Blocking: `feed` writes files, so it is called in a thread. The names of files are only shown; where one lies is ours.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from advanced_rag.api.json_pointers import pointer
from advanced_rag.constants import (
    MAX_BOUNDARY_CHARS,
    MAX_FORM_FIELD_BYTES,
    MAX_PART_HEADER_BYTES,
    MAX_UPLOAD_FILES,
)
from advanced_rag.domain.file_names import shown_name
from advanced_rag.exceptions import ValidationError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILES: Final = "files"
FIELDS: Final = frozenset({"id", "domain", "metadata"})

_MAX_PARTS: Final = MAX_UPLOAD_FILES + len(FIELDS)
_DISPOSITION: Final = b"content-disposition"
# RFC 2046, section 5.1.1.
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,%d}[0-9A-Za-z'()+_,./:=?-]" % (MAX_BOUNDARY_CHARS - 1))

# It would write a line for whatever a stranger sends; the refusal has its own.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file as it came: where it lies, and its name, for showing only."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """The files in their order, and the other fields' bytes by name."""

    files: tuple[ReceivedFile, ...]
    fields: dict[str, bytes]


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type` names. Raises ValidationError where it names none that can be one."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if _BOUNDARY.fullmatch(boundary) is None:
        message = f"Name a boundary of 1 to {MAX_BOUNDARY_CHARS} characters in Content-Type."
        raise ValidationError.of("/Content-Type", "invalid-boundary", message)
    return boundary


@dataclass(slots=True)
class _Part:
    """The part that is arriving; `name` is known once its headers have ended."""

    header_bytes: int = 0
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    disposition: bytes | None = None
    name: str = ""


class FormReceiver:
    """Takes one form in, piece by piece. Used by one thread at a time."""

    def __init__(self, boundary: bytes, folder: Path) -> None:
        """Files are written below `folder`, which belongs to this form alone."""
        self._folder = folder
        self._part = _Part()
        self._parts = 0
        self._files: list[ReceivedFile] = []
        self._fields: dict[str, bytearray] = {}
        self._open: IO[bytes] | None = None
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self.close,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks, max_header_size=MAX_PART_HEADER_BYTES)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises ValidationError for what is no form or beyond a limit, OSError of the disk."""
        if self._ended:  # what follows the last boundary is nobody's (RFC 2046)
            return
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed("The body is not a form as its boundary has it.") from error

    def finish(self) -> ReceivedForm:
        """The whole form. Raises ValidationError where its end is missing, or where it has no file."""
        self.close()
        if not self._ended:
            raise _malformed("The last boundary is missing.")
        if not self._files:
            raise ValidationError.of(f"/{FILES}", "missing", "Send at least one file.")
        return ReceivedForm(tuple(self._files), {name: bytes(value) for name, value in self._fields.items()})

    def close(self) -> None:
        """Leave no file open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _too_many_files()
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._part.header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._part.header_value += data[start:end]

    def _on_header_end(self) -> None:
        part = self._part
        if bytes(part.header_name).lower() == _DISPOSITION:
            part.disposition = bytes(part.header_value)
        part.header_name.clear()
        part.header_value.clear()

    def _count_header(self, size: int) -> None:
        self._part.header_bytes += size
        if self._part.header_bytes > MAX_PART_HEADER_BYTES:
            raise _malformed(f"The headers of a part may have {MAX_PART_HEADER_BYTES} bytes.")

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(_decoded(self._part.disposition or b""))
        name = _from_header(options.get(b"name", b""))
        if kind != b"form-data" or not name:
            raise _malformed("A part has no name: see Content-Disposition.")
        self._part.name = name
        if name == FILES:
            self._begin_file(_from_header(options.get(b"filename", b"")))
        elif name not in FIELDS:
            raise ValidationError.of(pointer((name,)), "unknown-field", "There is no such field.")
        elif name in self._fields:
            raise ValidationError.of(f"/{name}", "duplicate-key", "The field occurs twice.")
        else:
            self._fields[name] = bytearray()

    def _begin_file(self, name: str) -> None:
        if len(self._files) == MAX_UPLOAD_FILES:
            raise _too_many_files()
        file = ReceivedFile(self._folder / str(len(self._files)), shown_name(name))
        self._open = file.path.open("xb")
        self._files.append(file)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._open.write(data[start:end])
            return
        name = self._part.name
        value = self._fields[name]
        if len(value) + end - start > MAX_FORM_FIELD_BYTES:
            raise ValidationError.of(f"/{name}", "too-large", f"It may have {MAX_FORM_FIELD_BYTES} bytes.")
        value += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def _too_many_files() -> ValidationError:
    return ValidationError.of(f"/{FILES}", "too-many", f"Send at most {MAX_UPLOAD_FILES} files.")


def _malformed(message: str) -> ValidationError:
    return ValidationError.of("", "malformed-form", message)


def _decoded(header: bytes) -> str:
    """As the option parser wants it: it encodes what it finds as Latin-1 again, byte for byte."""
    return header.decode("latin-1")


def _from_header(value: bytes) -> str:
    """Names come in UTF-8 (RFC 7578, section 5.1), from old clients in Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
