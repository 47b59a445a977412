"""Make `examples/handbook.jsonl`, one document of `/v1/ingest` a line, out of the files of `examples/handbook/`.

The files are read with the standard library alone, and the result depends on nothing but them and
`examples/catalog.csv`, which has what a file cannot say of itself: language, kind, author, date and tags. An id is the
file's name without its suffix, a domain is the folder's name.

    python scripts/build_examples.py           write
    python scripts/build_examples.py --check   exit 1 if the written file is not what would be written
"""

from __future__ import annotations

import argparse
import csv
import email
import email.policy
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

_BLANK_LINES = re.compile(r"\n{3,}")
_WHITE_SPACE = re.compile(r"\s+")
_MARKDOWN_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file as plain text or Markdown; `title` is "" where the file names none."""

    text: str
    title: str = ""


def tidy(text: str) -> str:
    """Line feeds only, no white space at line ends, at most one blank line in a row, none at either end."""
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def render_markdown(source: str) -> Rendered:
    """As it is; the title is the first heading."""
    found = _MARKDOWN_TITLE.search(source)
    return Rendered(source, found.group(1) if found else "")


def render_text(source: str) -> Rendered:
    """As it is; the title is the first line."""
    return Rendered(source, source.lstrip().split("\n", 1)[0].strip())


class _HtmlText(HTMLParser):
    """Headings, paragraphs, list items and table rows; navigation, styles and scripts left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.blocks: list[tuple[str, str]] = []  # tag and text
        self._open: list[str] = []
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in _HTML_BLOCKS:
            self._words.clear()  # only white space can stand between two blocks here
        elif tag in ("td", "th") and any(map(str.strip, self._words)):
            self._words.append(" | ")
        if tag not in ("meta", "br", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HTML_BLOCKS:
            self.blocks.append((tag, _WHITE_SPACE.sub(" ", "".join(self._words)).strip()))
            self._words.clear()
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        elif not _HTML_HIDDEN.intersection(self._open):
            self._words.append(data)


_HTML_HIDDEN = frozenset({"script", "style", "nav", "head"})
_HTML_BLOCKS = {"h1": "# ", "h2": "## ", "h3": "### ", "li": "- ", "p": "", "tr": ""}


def render_html(source: str) -> Rendered:
    """What a reader would see, with `#` for headings, `-` for list items and `|` between cells."""
    parser = _HtmlText()
    parser.feed(source)
    parser.close()
    text = ""
    before = ""
    for tag, block in parser.blocks:
        text += ("\n" if tag == before and tag in ("li", "tr") else "\n\n") + _HTML_BLOCKS[tag] + block
        before = tag
    return Rendered(text, parser.title.strip())


def render_csv(source: str) -> Rendered:
    """One line a row, each cell after the name of its column; empty cells are left out."""
    rows = csv.DictReader(io.StringIO(source))
    lines = ("; ".join(f"{name.replace('_', ' ')}: {cell}" for name, cell in row.items() if cell) for row in rows)
    return Rendered("\n".join(lines))


def _lines(value: object, path: str) -> Iterator[str]:
    match value:
        case dict():
            scalars = {name: item for name, item in value.items() if not isinstance(item, dict | list)}
            if scalars:
                members = "; ".join(f"{name.replace('_', ' ')} = {item}" for name, item in scalars.items())
                yield f"{path}: {members}"
            for name in (name for name in value if name not in scalars):
                yield from _lines(value[name], f"{path}, {name.replace('_', ' ')}")
        case list():
            for item in value:
                yield from _lines(item, path)
        case _:
            yield f"{path}: {value}"


def render_json(source: str) -> Rendered:
    """One line an object, its members named by their path; the title is the member `title`."""
    data: dict[str, Any] = json.loads(source)
    title = str(data.pop("title", ""))
    lines = (line for name, value in data.items() for line in _lines(value, name.replace("_", " ")))
    return Rendered("\n".join(lines), title)


def render_mail(source: str) -> Rendered:
    """Subject, sender and date above the plain-text body; of alternatives the plain one."""
    message = email.message_from_string(source, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    if body is None:
        raise ValueError("a message without a readable body")
    subject = str(message["Subject"])
    head = "\n".join(f"{name}: {message[name]}" for name in ("Subject", "From", "Date"))
    return Rendered(f"{head}\n\n{body.get_content()}", subject)


_RTF_TOKEN = re.compile(r"\\([a-z]+)(-?\d+)? ?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|([^\\{}\r\n]+)")
_RTF_SYMBOLS: Mapping[str, str] = {
    "par": "\n",
    "line": "\n",
    "tab": "\t",
    "lquote": "‘",  # noqa: RUF001
    "rquote": "’",  # noqa: RUF001
    "endash": "–",  # noqa: RUF001
}
_RTF_UNSEEN = frozenset({"fonttbl", "colortbl", "stylesheet", "info"})


@dataclass(slots=True)
class _RtfReader:
    """Follows the groups of an RTF file, keeping its body and the title of its info group."""

    groups: list[str] = field(default_factory=lambda: ["body"])
    body: list[str] = field(default_factory=list)
    title: list[str] = field(default_factory=list)

    def read(self, source: str) -> None:
        for word, _number, byte, escaped, brace, text in _RTF_TOKEN.findall(source):
            if brace == "{":
                self.groups.append(self.groups[-1])
            elif brace:
                self.groups.pop()
            elif word in _RTF_UNSEEN or word in ("title", "author"):
                self.groups[-1] = word
            elif word:
                self._write(_RTF_SYMBOLS.get(word, ""))
            else:
                self._write(bytes.fromhex(byte).decode("cp1252") if byte else escaped or text)

    def _write(self, text: str) -> None:
        match self.groups[-1]:
            case "body":
                self.body.append(text)
            case "title":
                self.title.append(text)
            case _:
                pass


def render_rtf(source: str) -> Rendered:
    """The paragraphs of the body; the title is the one of the info group."""
    reader = _RtfReader()
    reader.read(source)
    return Rendered("".join(reader.body), "".join(reader.title))


RENDERERS = {
    ".md": render_markdown,
    ".txt": render_text,
    ".html": render_html,
    ".csv": render_csv,
    ".json": render_json,
    ".eml": render_mail,
    ".rtf": render_rtf,
}


def document(path: Path, row: Mapping[str, str]) -> dict[str, Any]:
    """The file at `path` as `/v1/ingest` takes it, described by its row of the catalogue."""
    rendered = RENDERERS[path.suffix](path.read_text("utf-8"))
    metadata: dict[str, Any] = {
        "source": row["source"],
        "lang": row["lang"],
        "type": row["type"],
        "year": int(row["year"]),
        "tags": row["tags"].split(";"),
        "created_at": row["created_at"],
    }
    if row["author"]:
        metadata["author"] = row["author"]
    return {
        "id": path.stem,
        "title": row["title"] or rendered.title,
        "domain": path.parent.name,
        "text": tidy(rendered.text),
        "metadata": metadata,
    }


def documents(examples: Path = EXAMPLES) -> list[dict[str, Any]]:
    """Every document in the order of the catalogue. Raises ValueError when catalogue and folder do not agree."""
    with (examples / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    folder = examples / "handbook"
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if differing := present.symmetric_difference(rows):
        raise ValueError(f"only in the catalogue or only in the folder: {', '.join(sorted(differing))}")
    return [document(folder / path, row) for path, row in rows.items()]


def handbook(examples: Path = EXAMPLES) -> str:
    """The content of `handbook.jsonl`."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in documents(examples))


def main(arguments: Sequence[str] | None = None, examples: Path = EXAMPLES) -> int:
    """Write the collection, or with `--check` compare it; the exit status."""
    parser = argparse.ArgumentParser(description="Make examples/handbook.jsonl.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if out of step")
    target = examples / "handbook.jsonl"
    content = handbook(examples)
    if parser.parse_args(arguments).check:
        if target.is_file() and target.read_text("utf-8") == content:
            return 0
        print(f"{target.name} is out of step: run python scripts/build_examples.py", file=sys.stderr)
        return 1
    target.write_text(content, "utf-8")
    print(f"{content.count(chr(10))} documents, {len(content.encode())} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
