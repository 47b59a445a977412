"""XML without document types, entities, schemas or anything else that reaches outside the bytes at hand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from lxml import etree

from advanced_rag.adapters.file_parsers.refusals import unreadable

Element: TypeAlias = Any  # lxml has no type hints, and its class of elements no public name
_HAS_DOCUMENT_TYPE: Final = "The file is refused: its XML declares a document type, which may reach outside the file."
# libxml2's own limits (depth 256, text nodes of 10 MB, amplification of entities) stay on: `huge_tree` lifts them.
_SAFE: Final = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def parsed_xml(data: bytes) -> Element:
    """The root element. Raises FileRefused for a document type; etree.XMLSyntaxError for what is not XML."""
    root = etree.fromstring(data, etree.XMLParser(**_SAFE))
    _refuse_document_type(root)
    return root


def streamed(data: bytes, *names: str) -> Iterator[Element]:
    """Each element of those local names once it is complete; what was before it is forgotten: memory stays flat."""
    checked = False
    tags = [f"{{*}}{name}" for name in names]
    for _, element in etree.iterparse(io.BytesIO(data), events=("end",), tag=tags, **_SAFE):
        if not checked:
            _refuse_document_type(element)
            checked = True
        yield element
        element.clear(keep_tail=False)
        while element.getprevious() is not None:
            del element.getparent()[0]


def name_of(element: Element) -> str:
    """The tag without its namespace: transitional and strict OOXML differ in nothing else. Empty for entities."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str | None:
    """An attribute's value by its local name, whatever its namespace."""
    value = element.get(name)
    if value is None:
        value = next((value for key, value in element.items() if key.rpartition("}")[2] == name), None)
    return None if value is None else str(value)


def child(element: Element | None, *path: str) -> Element | None:
    """The first descendant down a path of local names."""
    for name in path:
        if element is None:
            return None
        element = next(element.iterchildren(f"{{*}}{name}"), None)
    return element


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Children of that local name."""
    return iter(()) if element is None else iter(element.iterchildren(f"{{*}}{name}"))


def descendants(element: Element | None, name: str) -> Iterator[Element]:
    """Descendants of that local name, in document order."""
    return iter(()) if element is None else iter(element.iterdescendants(f"{{*}}{name}"))


def _refuse_document_type(element: Element) -> None:
    information = element.getroottree().docinfo
    if information.internalDTD is not None or information.doctype:
        raise unreadable(_HAS_DOCUMENT_TYPE)
