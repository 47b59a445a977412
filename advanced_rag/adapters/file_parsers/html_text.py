"""HTML to Markdown-like text: what a browser without scripts would show, in the order of the source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line
from advanced_rag.adapters.file_parsers.refusals import too_large
from advanced_rag.adapters.file_parsers.xml_parts import Element

_UNSEEN: Final = frozenset(
    [
        "script",
        "style",
        "template",
        "noscript",
        "head",
        "iframe",
        "object",
        "embed",
        "applet",
        "audio",
        "video",
        "canvas",
        "svg",
        "select",
        "datalist",
        "textarea",
        "frameset",
        "noframes",
    ]
)
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "button",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    ]
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_LISTS: Final = frozenset({"ul", "ol", "menu", "dir"})
_STRUCTURE_IN_CELLS: Final = ("table", "ul", "ol", "pre", *_HEADINGS)
_HIDING_STYLE: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:font-size|opacity)\s*:\s*0(?:\.0+)?(?![\w.%])",
    re.IGNORECASE,
)
_TOO_DEEP: Final = "Excessive depth"
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n\f\xa0]+")


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed HTML document."""

    root: Element | None
    title: str
    author: str


def parsed_page(text: str) -> Page:
    """Whatever it is, libxml2 makes a tree of it, without fetching anything; the root is None where nothing is left."""
    # Lone surrogates cannot be encoded. The charset is ours to say: what the page declares may be what misled others.
    parser = etree.HTMLParser(
        recover=True, no_network=True, remove_comments=True, remove_pis=True, huge_tree=True, encoding="utf-8"
    )
    try:
        root = etree.fromstring(text.encode("utf-8", errors="replace"), parser)
    except etree.XMLSyntaxError:  # nothing but white space or comments
        root = None
    # Past its depth limit libxml2 leaves out the rest: better to say so than to lose half a page in silence.
    if any(_TOO_DEEP in entry.message for entry in parser.error_log):
        raise too_large("The page is nested too deeply.")
    if root is None:
        return Page(None, "", "")
    title = next((one_line("".join(found.itertext())) for found in root.iter("title")), "")
    author = next((one_line(m.get("content") or "") for m in root.iter("meta") if m.get("name") == "author"), "")
    return Page(root, title, author)


def write_page(page: Page, out: MarkdownWriter) -> None:
    """Everything that is seen of it."""
    if page.root is not None:
        _Renderer(out).render(page.root)


@dataclass(slots=True)
class _List:
    """An open list; `number` is its last item's, None for bullets."""

    number: int | None


@dataclass(slots=True)
class _Grid:
    """An open table of data: rows of cells as far as they have been read."""

    element: Element
    rows: list[list[str]] = field(default_factory=list)


class _Renderer:
    """One walk over the tree, without recursion: trees from outside are as deep as their sender likes."""

    def __init__(self, out: MarkdownWriter) -> None:
        self._out = out
        self._inline: list[str] = []
        self._lists: list[_List] = []
        self._grid: _Grid | None = None
        self._heading = 0
        self._item_begins = False
        self._preformatted = 0

    def render(self, root: Element) -> None:
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if not isinstance(tag, str):
                continue
            if event == "start":
                if _is_unseen(element, tag):
                    walk.skip_subtree()
                else:
                    self._start(element, tag)
                    self._add(element.text)
            else:
                if not _is_unseen(element, tag):
                    self._end(element, tag)
                self._add(element.tail)
        self._flush()

    def _add(self, text: str | None) -> None:
        if text:
            self._inline.append(text if self._preformatted else _WHITE_SPACE.sub(" ", text))

    def _start(self, element: Element, tag: str) -> None:
        if tag == "br":
            self._inline.append("\n")
        elif tag == "img":
            self._inline.append(f" {element.get('alt') or ''} ")
        elif self._grid is not None:
            self._start_in_grid(tag)
        elif tag in _BLOCKS:
            self._flush()
            self._open(element, tag)

    def _open(self, element: Element, tag: str) -> None:
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag in _LISTS:
            self._lists.append(_List(_first_number(element) - 1 if tag == "ol" else None))
        elif tag == "li":
            self._item_begins = True
            if self._lists and (number := self._lists[-1].number) is not None:
                self._lists[-1].number = number + 1
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "table" and _is_data(element):
            self._grid = _Grid(element)

    def _start_in_grid(self, tag: str) -> None:
        if self._grid is None:
            return
        if tag == "tr":
            self._grid.rows.append([])
            self._inline.clear()
        elif tag in ("td", "th"):
            self._inline.clear()
        elif tag in _BLOCKS:
            self._inline.append(" ")

    def _end(self, element: Element, tag: str) -> None:
        if self._grid is not None:
            self._end_in_grid(self._grid, element, tag)
        elif tag in _BLOCKS:
            self._flush()
            if tag in _HEADINGS:
                self._heading = 0
            elif tag in _LISTS and self._lists:
                self._lists.pop()
            elif tag == "li":
                self._item_begins = False
            elif tag == "pre":
                self._preformatted = max(self._preformatted - 1, 0)

    def _end_in_grid(self, grid: _Grid, element: Element, tag: str) -> None:
        if tag in ("td", "th") and grid.rows:
            grid.rows[-1].append("".join(self._inline))
            grid.rows[-1].extend([""] * (_span(element) - 1))
            self._inline.clear()
        elif tag == "caption":
            self._out.paragraph("".join(self._inline))
            self._inline.clear()
        elif element is grid.element:
            self._grid = None
            self._inline.clear()
            self._out.table(grid.rows)
        elif tag in _BLOCKS:
            self._inline.append(" ")

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline.clear()
        if not text.strip():
            return
        if self._preformatted:
            self._out.code(text)
        elif self._heading:
            self._out.heading(self._heading, text)
        elif self._lists and self._item_begins:
            self._item_begins = False
            self._out.item(text, depth=len(self._lists) - 1, number=self._lists[-1].number)
        else:
            self._out.paragraph(text)


def _is_unseen(element: Element, tag: str) -> bool:
    if tag in _UNSEEN or element.get("hidden") is not None:
        return True
    style = element.get("style")
    return style is not None and _HIDING_STYLE.search(style) is not None


def _is_data(table: Element) -> bool:
    """A table that only arranges a page is read as the blocks in its cells."""
    if table.get("role") == "presentation":
        return False
    if any(found is not table for found in _first_two(table.iter(*_STRUCTURE_IN_CELLS))):
        return False
    return any(len(row) > 1 for row in table.iter("tr"))


def _first_two(elements: Iterator[Element]) -> list[Element]:
    return [element for _, element in zip(range(2), elements, strict=False)]


def _first_number(ordered: Element) -> int:
    start = ordered.get("start") or "1"
    return int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 1


def _span(cell: Element) -> int:
    text = cell.get("colspan") or "1"
    # HTML's own limit for colspan is 1,000.
    return min(int(text), 1_000) if text.isascii() and text.isdigit() and 0 < len(text) < 5 and int(text) else 1
