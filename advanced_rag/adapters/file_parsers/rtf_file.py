"""Rich Text Format, by a small reader of our own: what is hidden stays hidden, headings and tables are not lost."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field, replace
from typing import Final

from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line
from advanced_rag.adapters.file_parsers.rtf_tables import (
    CHARACTERS,
    CODE_PAGES,
    FONT_CHARSETS,
    PARAGRAPH_ENDS,
    SYMBOLS,
    TEXT_DESPITE_ASTERISK,
    WITHOUT_TEXT,
)
from advanced_rag.adapters.file_parsers.source import Content, Source

_TOKEN: Final = re.compile(
    r"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<symbol>[^a-zA-Z])"
    r"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)
_HEADING_STYLE: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_UTF16_UNITS: Final = 0x10000
_MAX_OUTLINE_LEVEL: Final = 8
_MAX_LIST_DEPTH: Final = 8
_INFO: Final = ("title", "author")


def read(source: Source) -> Content:
    """Raises FileRefused when it becomes too much. Broken files give what they have."""
    reader = _Reader(MarkdownWriter(source.limits))
    reader.read(source.data.decode("latin-1"))
    out = reader.out
    title, author = (one_line("".join(reader.info.get(name, []))) for name in _INFO)
    return Content(text=out.text, titles=(title, out.first_heading), metadata={"author": author} if author else {})


@dataclass(frozen=True, slots=True)
class _Group:
    """What holds until a brace closes."""

    destination: str = "text"
    is_hidden: bool = False
    font: int | None = None
    skip_after_unicode: int = 1


@dataclass(slots=True)
class _Paragraph:
    """What the word `pard` resets."""

    style: int | None = None
    level: int | None = None
    in_list: bool = False
    depth: int = 0
    in_table: bool = False


@dataclass(slots=True)
class _Table:
    rows: list[list[str]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)


class _Reader:
    """One pass over the words; text of single bytes waits in `_raw` until its charset changes."""

    def __init__(self, out: MarkdownWriter) -> None:
        self.out = out
        self.info: dict[str, list[str]] = {}
        self._group = _Group()
        self._outer: list[_Group] = []
        self._paragraph = _Paragraph()
        self._table = _Table()
        self._text: list[str] = []
        self._notes: list[str] = []
        self._raw = bytearray()
        self._code_page = CODE_PAGES["ansi"]
        self._fonts: dict[int, str] = {}
        self._default_font: int | None = None
        self._heading_styles: dict[int, int] = {}
        self._style_names: dict[int, list[str]] = {}
        self._described: int | None = None  # the font or style that a table's entry is about
        self._to_skip = 0
        self._asterisk = False

    def read(self, rtf: str) -> None:
        position = 0
        while (token := _TOKEN.match(rtf, position)) is not None:
            position = token.end()
            if token["brace"]:
                self._brace(token["brace"])
            elif token["word"]:
                number = int(token["number"]) if token["number"] else None
                if token["word"] == "bin":
                    position += max(number or 0, 0)
                else:
                    self._word(token["word"], number)
            elif token["hex"]:
                self._bytes(bytes.fromhex(token["hex"]))
            elif token["symbol"]:
                self._symbol(token["symbol"])
            elif token["text"]:
                self._bytes(token["text"].encode("latin-1"))
        self._end_paragraph()
        self._end_table()
        for note in self._notes:
            self.out.paragraph(note)

    def _brace(self, brace: str) -> None:
        self._decode()
        self._to_skip = 0
        if brace == "{":
            self._outer.append(self._group)
        elif self._outer:
            if self._group.destination == "stylesheet":
                self._name_style()
            self._group = self._outer.pop()

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._asterisk = True
        elif symbol in PARAGRAPH_ENDS:
            self._end_paragraph()
        elif symbol in SYMBOLS:
            self._put(SYMBOLS[symbol])

    def _word(self, word: str, number: int | None) -> None:
        starred, self._asterisk = self._asterisk, False
        if (starred and word not in TEXT_DESPITE_ASTERISK) or word in WITHOUT_TEXT:
            self._enter("nothing")
        elif self._to_skip and word != "u":
            self._to_skip -= 1
        elif word in ("fonttbl", "stylesheet", "info", "footnote"):
            self._enter(word)
        elif self._group.destination == "info":
            self._enter(word if word in _INFO else "nothing")
        elif word in CHARACTERS:
            self._put(CHARACTERS[word])
        elif word == "u" and number is not None:
            self._unicode(number)
        elif not self._character_word(word, number) and not self._table_word(word):
            self._paragraph_word(word, number)

    def _enter(self, destination: str) -> None:
        self._decode()
        self._group = replace(self._group, destination=destination)
        if destination == "footnote":
            self._notes.append("")

    def _character_word(self, word: str, number: int | None) -> bool:
        if word in CODE_PAGES:
            self._code_page = CODE_PAGES[word]
        elif word == "ansicpg" and number is not None:
            self._code_page = _codec(f"cp{number}") or self._code_page
        elif word == "deff":
            self._default_font = number
        elif word == "f" and number is not None:
            self._decode()
            self._described = number
            self._group = replace(self._group, font=number)
        elif word == "fcharset" and self._described is not None:
            self._fonts[self._described] = FONT_CHARSETS.get(number or 0, self._code_page)
        elif word == "uc" and number is not None:
            self._group = replace(self._group, skip_after_unicode=max(number, 0))
        elif word in ("v", "deleted"):
            self._decode()
            self._group = replace(self._group, is_hidden=number != 0)
        elif word == "plain":
            self._decode()
            self._group = replace(self._group, is_hidden=False, font=self._default_font)
        else:
            return False
        return True

    def _table_word(self, word: str) -> bool:
        if word in ("cell", "nestcell"):
            self._decode()
            self._table.cells.append("".join(self._text))
            self._text.clear()
        elif word in ("row", "nestrow"):
            self._table.rows.append(self._table.cells)
            self._table.cells = []
        elif word == "intbl":
            self._paragraph.in_table = True
        else:
            return False
        return True

    def _paragraph_word(self, word: str, number: int | None) -> None:
        if word in PARAGRAPH_ENDS:
            self._end_paragraph()
        elif word == "pard":
            self._paragraph = _Paragraph()
        elif word == "s" and number is not None:
            self._paragraph.style = self._described = number
        elif word == "outlinelevel" and number is not None and 0 <= number <= _MAX_OUTLINE_LEVEL:
            self._paragraph.level = number + 1
        elif word == "ls":
            self._paragraph.in_list = bool(number)
        elif word == "ilvl" and number is not None:
            self._paragraph.depth = min(max(number, 0), _MAX_LIST_DEPTH)

    def _unicode(self, number: int) -> None:
        self._put(chr(number % _UTF16_UNITS))
        self._to_skip = self._group.skip_after_unicode

    def _bytes(self, characters: bytes) -> None:
        skipped = min(self._to_skip, len(characters))
        self._to_skip -= skipped
        self._raw += characters[skipped:]

    def _put(self, text: str) -> None:
        self._decode()
        self._write(text)

    def _decode(self) -> None:
        if self._raw:
            font = self._group.font if self._group.font is not None else self._default_font
            charset = self._code_page if font is None else self._fonts.get(font, self._code_page)
            text = self._raw.decode(charset, errors="replace")
            self._raw.clear()
            self._write(text)

    def _write(self, text: str) -> None:
        destination = self._group.destination
        if destination in _INFO:
            self.info.setdefault(destination, []).append(text)
        elif destination == "stylesheet" and self._described is not None:
            self._style_names.setdefault(self._described, []).append(text)
        elif destination == "footnote" and not self._group.is_hidden:
            self._notes[-1] += text
        elif destination == "text" and not self._group.is_hidden:
            self._text.append(text)

    def _name_style(self) -> None:
        if self._described is None:
            return
        found = _HEADING_STYLE.match("".join(self._style_names.get(self._described, [])).strip())
        if found:
            self._heading_styles[self._described] = int(found[1])

    def _end_paragraph(self) -> None:
        self._decode()
        if self._group.destination == "footnote":
            self._notes[-1] += " "
        if self._group.destination != "text":
            return
        if self._paragraph.in_table:
            self._text.append(" ")
            return
        text = _joined(self._text)
        self._text.clear()
        self._end_table()
        level = self._paragraph.level or self._heading_styles.get(self._paragraph.style or 0)
        if level is not None:
            self.out.heading(level, text)
        elif self._paragraph.in_list:
            self.out.item(text, depth=self._paragraph.depth)
        else:
            self.out.paragraph(text)

    def _end_table(self) -> None:
        table, self._table = self._table, _Table()
        if table.cells:
            table.rows.append(table.cells)
        self.out.table([_joined([cell]) for cell in row] for row in table.rows)


def _joined(parts: list[str]) -> str:
    """Pairs of surrogates are one character."""
    return "".join(parts).encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")


def _codec(name: str) -> str | None:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
