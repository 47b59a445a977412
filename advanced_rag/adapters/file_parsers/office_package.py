"""What docx, pptx and xlsx have in common: parts of a zip archive, found by typed relationships (ECMA-376 part 2)."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from advanced_rag.adapters.file_parsers.archive import ZipArchive
from advanced_rag.adapters.file_parsers.markdown import one_line
from advanced_rag.adapters.file_parsers.refusals import unreadable
from advanced_rag.adapters.file_parsers.source import Source
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, descendants, parsed_xml

_CORE_PROPERTIES: Final = "core-properties"
_MAIN_PART: Final = "officeDocument"


@dataclass(frozen=True, slots=True)
class Relationship:
    """`kind` is the last segment of its type, `target` a part's name within the archive."""

    id: str
    kind: str
    target: str


class OfficePackage:
    """One file's parts. What lies outside the archive is never asked for: external relationships do not exist here."""

    def __init__(self, source: Source) -> None:
        self._archive = ZipArchive(source.data, source.limits)
        self._relationships: dict[str, tuple[Relationship, ...]] = {}

    @cached_property
    def main_part(self) -> str:
        """The name of the document, presentation or workbook."""
        for relationship in self.relationships(""):
            if relationship.kind == _MAIN_PART:
                return relationship.target
        raise unreadable("The file is damaged: nothing says where its document is.")

    @property
    def title(self) -> str:
        """From the document's properties, or empty."""
        return self._property("title")

    @property
    def author(self) -> str:
        """From the document's properties, or empty."""
        return self._property("creator")

    def xml(self, part: str) -> Element:
        """A part's root element."""
        return parsed_xml(self._archive.read(part))

    def optional_xml(self, part: str | None) -> Element | None:
        """A part's root element, if there is such a part."""
        return self.xml(part) if part is not None and part in self._archive else None

    def content(self, part: str) -> bytes:
        """A part's bytes."""
        return self._archive.read(part)

    def relationships(self, part: str) -> tuple[Relationship, ...]:
        """Those of a part to parts of this archive; of the whole package for an empty name."""
        if part not in self._relationships:
            self._relationships[part] = self._read_relationships(part)
        return self._relationships[part]

    def related(self, part: str, kind: str) -> str | None:
        """The first part of that kind."""
        return next((known.target for known in self.relationships(part) if known.kind == kind), None)

    def target(self, part: str, relationship_id: str | None) -> str | None:
        """The part that an id means in `part`."""
        return next((known.target for known in self.relationships(part) if known.id == relationship_id), None)

    def _read_relationships(self, part: str) -> tuple[Relationship, ...]:
        folder, name = posixpath.split(part)
        root = self.optional_xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        return tuple(
            Relationship(
                id=attribute(element, "Id") or "",
                kind=(attribute(element, "Type") or "").rpartition("/")[2],
                target=_resolved(folder, attribute(element, "Target") or ""),
            )
            for element in descendants(root, "Relationship")
            if attribute(element, "TargetMode") != "External"
        )

    def _property(self, name: str) -> str:
        root = self._core_properties
        found = next(descendants(root, name), None)
        return one_line(found.text or "") if found is not None else ""

    @cached_property
    def _core_properties(self) -> Element | None:
        return self.optional_xml(self.related("", _CORE_PROPERTIES))


def _resolved(folder: str, target: str) -> str:
    """A target is relative to its part's folder, or to the archive's root when it begins with a slash."""
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
