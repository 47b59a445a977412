"""Web pages."""

from __future__ import annotations

from advanced_rag.adapters.file_parsers.html_text import parsed_page, write_page
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.source import Content, Source


def read(source: Source) -> Content:
    """Raises FileRefused when it becomes too much."""
    page = parsed_page(source.decoded.text)
    out = MarkdownWriter(source.limits)
    write_page(page, out)
    metadata = {"charset": source.decoded.charset}
    if page.author:
        metadata["author"] = page.author
    return Content(text=out.text, titles=(page.title, out.first_heading), metadata=metadata)
