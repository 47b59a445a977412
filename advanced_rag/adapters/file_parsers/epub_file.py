"""E-books (EPUB 2 and 3): the XHTML documents of the spine, in reading order."""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import unquote

from advanced_rag.adapters.file_parsers.archive import ZipArchive
from advanced_rag.adapters.file_parsers.charsets import decoded
from advanced_rag.adapters.file_parsers.html_text import parsed_page, write_page
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line
from advanced_rag.adapters.file_parsers.refusals import unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, descendants, parsed_xml

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_TEXT_TYPES: Final = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
# XHTML may close an element where it opens it; HTML would read `<title/>` as a title that never ends.
_SELF_CLOSED: Final = re.compile(
    r"<(?!(?:area|base|br|col|hr|img|input|link|meta)\b)([a-z][\w:.-]*+)([^<>]*)/>", re.IGNORECASE
)


def read(source: Source) -> Content:
    """Raises FileRefused, or whatever a damaged file makes lxml raise."""
    archive = ZipArchive(source.data, source.limits)
    rootfile = next(descendants(parsed_xml(archive.read(_CONTAINER)), "rootfile"), None)
    package_name = attribute(rootfile, "full-path") if rootfile is not None else None
    if not package_name:
        raise unreadable("The file is damaged: nothing says where its book is.")
    package = parsed_xml(archive.read(package_name))
    names = _reading_order(package, posixpath.dirname(package_name))
    if _ENCRYPTION in archive and _encrypted(parsed_xml(archive.read(_ENCRYPTION))) & set(names):
        raise unreadable("The file is protected: its text is encrypted.")
    out = MarkdownWriter(source.limits)
    for name in names:
        if name in archive:
            text = decoded(archive.read(name)).text
            write_page(parsed_page(_SELF_CLOSED.sub(r"<\1\2></\1>", text)), out)
    author = _said(package, "creator")
    return Content(
        text=out.text,
        titles=(_said(package, "title"), out.first_heading),
        metadata={"author": author} if author else {},
    )


def _reading_order(package: Element, folder: str) -> list[str]:
    """Names of the text documents, as the spine lists them."""
    items = {
        attribute(item, "id"): _resolved(folder, attribute(item, "href") or "")
        for item in children(child(package, "manifest"), "item")
        if attribute(item, "media-type") in _TEXT_TYPES
    }
    spine = (attribute(reference, "idref") for reference in children(child(package, "spine"), "itemref"))
    return list(dict.fromkeys(items[identifier] for identifier in spine if identifier in items))


def _encrypted(root: Element) -> set[str]:
    """What is encrypted; fonts often are, only to be scrambled."""
    return {_resolved("", attribute(found, "URI") or "") for found in descendants(root, "CipherReference")}


def _resolved(folder: str, href: str) -> str:
    return posixpath.normpath(posixpath.join("/", folder, unquote(href.partition("#")[0]))).lstrip("/")


def _said(package: Element, name: str) -> str:
    found = next(descendants(child(package, "metadata"), name), None)
    return one_line(found.text or "") if found is not None else ""
