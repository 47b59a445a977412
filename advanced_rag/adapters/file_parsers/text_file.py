"""Plain text and Markdown: as they are."""

from __future__ import annotations

import re
from typing import Final

from advanced_rag.adapters.file_parsers.markdown import storable
from advanced_rag.adapters.file_parsers.source import Content, Source

_LINE_ENDS: Final = re.compile(r"\r\n?")
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(?P<fields>(?:.*\n){0,200}?)---[ \t]*(?:\n|\Z)")
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*(?P<title>.+)$", re.MULTILINE | re.IGNORECASE)
_FIRST_HEADING: Final = re.compile(r"^#{1,6}[ \t](?P<title>.*)$|^(?P<underlined>\S.*)\n=+[ \t]*$", re.MULTILINE)
_TITLE_WITHIN_CHARS: Final = 20_000


def read(source: Source) -> Content:
    """Plain text has no title of its own."""
    return Content(text=_text(source), metadata={"charset": source.decoded.charset})


def read_markdown(source: Source) -> Content:
    """The title is the front matter's, else the first heading's; the front matter itself is no text."""
    text = _text(source)
    title = ""
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        if found := _FRONT_TITLE.search(front["fields"]):
            title = found["title"].strip().strip("\"'")
    if not title and (found := _FIRST_HEADING.search(text[:_TITLE_WITHIN_CHARS])):
        title = (found["title"] or found["underlined"] or "").strip("# \t")
    return Content(text=text, titles=(title,), metadata={"charset": source.decoded.charset})


def _text(source: Source) -> str:
    return storable(_LINE_ENDS.sub("\n", source.decoded.text))
