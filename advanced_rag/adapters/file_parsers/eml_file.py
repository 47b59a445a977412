"""Mail messages: who, when, about what, and the body; attachments are named and never opened."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from typing import Any, Final

from advanced_rag.adapters.file_parsers.charsets import decoded
from advanced_rag.adapters.file_parsers.html_text import parsed_page, write_page
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line, storable
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source

_SHOWN_HEADERS: Final = ("From", "To", "Cc", "Date")
_ENCRYPTED_TYPES: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_WIDE: Final = ("utf-16", "utf-32")
_MAX_NAMED_ATTACHMENTS: Final = 50
_MAX_NAME_CHARS: Final = 255
# A plain part this much shorter than the HTML beside it only says that there is one.
_STUB_RATIO: Final = 4


def read(source: Source) -> Content:
    """Raises FileRefused for encrypted and endlessly nested messages."""
    data = source.data
    if source.decoded.charset.startswith(_WIDE):
        data = source.decoded.text.encode("utf-8", errors="replace")
    try:
        # compat32 takes any header for what it is; the newer policies raise on broken ones.
        message = email.message_from_bytes(data, policy=email.policy.compat32)
        reader = _Reader(MarkdownWriter(source.limits), source.limits.nesting)
        reader.write_message(message, depth=0)
    except RecursionError as error:
        raise _too_deep(source.limits.nesting) from error
    if reader.encrypted and not reader.has_body:
        raise unreadable("The message is encrypted.")
    metadata: dict[str, Any] = {"attachments": reader.attachments} if reader.attachments else {}
    if sender := _header(message, "From"):
        metadata["author"] = sender
    text = reader.out.text if reader.has_body or _header(message, "Subject") else ""
    return Content(text=text, titles=(_header(message, "Subject"),), metadata=metadata)


class _Reader:
    """Walks the parts in order."""

    def __init__(self, out: MarkdownWriter, max_depth: int) -> None:
        self.out = out
        self.attachments: list[str] = []
        self.encrypted = False
        self.has_body = False
        self._max_depth = max_depth

    def write_message(self, message: Message, *, depth: int) -> None:
        self.out.heading(1 if depth == 0 else 2, _header(message, "Subject"))
        lines = [f"{name}: {value}" for name in _SHOWN_HEADERS if (value := _header(message, name))]
        self.out.paragraph("\n".join(lines))
        self._write_part(message, depth=depth)

    def _write_part(self, part: Message, *, depth: int) -> None:
        if depth > self._max_depth:
            raise _too_deep(self._max_depth)
        kind = part.get_content_type()
        if kind in _ENCRYPTED_TYPES:
            self.encrypted = True
        elif kind == "multipart/alternative":
            self._write_alternative(part, depth=depth)
        elif part.is_multipart() and kind == "message/rfc822":
            for inner in _parts(part):
                self.write_message(inner, depth=depth + 1)
        elif part.is_multipart():
            for inner in _parts(part):
                self._write_part(inner, depth=depth + 1)
        elif part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
            self._note_attachment(part)
        elif kind == "text/html":
            page = parsed_page(_text(part))
            before = self.out.bytes_written
            write_page(page, self.out)
            self.has_body = self.has_body or self.out.bytes_written > before
        else:
            self._write_plain(_text(part))

    def _write_plain(self, text: str) -> None:
        for paragraph in text.replace("\r\n", "\n").split("\n\n"):
            self.out.paragraph(paragraph)
        self.has_body = self.has_body or bool(text.strip())

    def _write_alternative(self, part: Message, *, depth: int) -> None:
        """One of several forms of the same: the plain one if it says as much as the HTML one."""
        parts = list(_parts(part))
        plain = next((_text(p) for p in parts if p.get_content_type() == "text/plain"), "")
        rich = [p for p in parts if p.get_content_type() != "text/plain"]
        shown = sum(len(one_line(_visible(_text(p)))) for p in rich if p.get_content_type() == "text/html")
        if plain.strip() and len(one_line(plain)) * _STUB_RATIO >= shown:
            self._write_plain(plain)
            rich = [p for p in rich if p.is_multipart() and p.get_content_type() != "multipart/related"]
        for inner in rich:
            self._write_part(inner, depth=depth + 1)

    def _note_attachment(self, part: Message) -> None:
        name = part.get_filename()
        if name and len(self.attachments) < _MAX_NAMED_ATTACHMENTS:
            self.attachments.append(one_line(storable(_unfolded(name)))[:_MAX_NAME_CHARS])


def _parts(message: Message) -> Iterator[Message]:
    payload = message.get_payload()
    return (part for part in payload if isinstance(part, Message)) if isinstance(payload, list) else iter(())


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return decoded(payload, part.get_content_charset()).text if isinstance(payload, bytes) else ""


def _visible(html: str) -> str:
    page = parsed_page(html)
    return "".join(page.root.itertext()) if page.root is not None else ""


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    return one_line(storable(_unfolded(str(value)))) if value is not None else ""


def _unfolded(value: str) -> str:
    """Encoded words (RFC 2047) decoded, where they can be."""
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value


def _too_deep(limit: int) -> Exception:
    return too_large(f"The message is nested more than {limit} levels deep.")
