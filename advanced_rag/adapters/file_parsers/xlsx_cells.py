"""What a cell of a spreadsheet shows: numbers, texts, and dates, which are numbers with a format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, descendants, name_of

# ECMA-376 part 1, 18.8.30: formats that every reader knows without being told.
_BUILT_IN_DATES: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_NOT_THE_FORMAT: Final = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|_.|\*.', re.IGNORECASE)
_DATE_LETTER: Final = re.compile(r"[ymdhs]", re.IGNORECASE)
_GENERAL: Final = "general"
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets know no time zones
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001
# Serial 60 is 29 February 1900, which never was: before it everything is one day later.
_LEAP_YEAR_ERROR: Final = 60
_MAX_SERIAL: Final = 2_957_004  # past it is the year 10000, counted from either epoch
_HALF_SECOND: Final = timedelta(milliseconds=500)
_COLUMN: Final = re.compile(r"([A-Z]{1,3})\d*", re.IGNORECASE)
_LETTERS: Final = 26
_MAX_EXACT_DIGITS: Final = 15


class CellReader:
    """Texts of cells, given the workbook's shared strings, formats and epoch."""

    def __init__(self, shared: list[str], styles: Element | None, *, since_1904: bool) -> None:
        self._shared = shared
        self._dates = _date_styles(styles)
        self._since_1904 = since_1904

    def text(self, cell: Element) -> str:
        """What is shown, less colours and digits left out; of a formula the result that was stored with it."""
        kind = cell.get("t") or "n"  # asked a million times: without regard to namespaces, which cells do not use
        if kind == "inlineStr":
            return rich_text(child(cell, "is"))
        value = child(cell, "v")
        raw = (value.text or "").strip() if value is not None else ""
        if not raw or kind == "e":
            return ""
        if kind == "s":
            return self._shared[int(raw)] if raw.isascii() and raw.isdigit() and int(raw) < len(self._shared) else ""
        if kind == "b":
            return "TRUE" if raw == "1" else "FALSE"
        if kind == "n":
            return self._number(raw, cell.get("s"))
        return raw

    def _number(self, raw: str, style: str | None) -> str:
        try:
            number = float(raw)
        except ValueError:
            return raw
        if style in self._dates and 0 <= number < _MAX_SERIAL:
            return _moment(number, since_1904=self._since_1904)
        # Stored as 0.30000000000000004, shown as 0.3: beyond 15 digits a double says nothing.
        return raw if number.is_integer() and raw.lstrip("-").isdigit() else f"{number:.{_MAX_EXACT_DIGITS}g}"


def rich_text(element: Element | None) -> str:
    """A text with its formatted runs, without the reading aids (`rPh`) that East Asian cells carry."""
    if element is None:
        return ""
    runs = (child(part, "t") if name_of(part) == "r" else part for part in element if name_of(part) in ("r", "t"))
    return "".join(run.text or "" for run in runs if run is not None)


def shared_strings(items: Iterable[Element]) -> list[str]:
    """The workbook's table of texts."""
    return [rich_text(item) for item in items]


def column_of(reference: str | None, following: int) -> int:
    """The column of `BC7`, counted from 0; `following` where a cell does not say."""
    found = _COLUMN.fullmatch(reference) if reference else None
    if found is None:
        return following
    column = 0
    for letter in found[1].upper():
        column = column * _LETTERS + ord(letter) - ord("A") + 1
    return column - 1


def _date_styles(styles: Element | None) -> frozenset[str]:
    """Indices of the cell formats that show a date or a time."""
    custom = {
        attribute(known, "numFmtId"): attribute(known, "formatCode") or "" for known in descendants(styles, "numFmt")
    }
    found = set()
    for index, cell_format in enumerate(children(child(styles, "cellXfs"), "xf")):
        number = attribute(cell_format, "numFmtId") or "0"
        code = custom.get(number)
        built_in = number.isascii() and number.isdigit() and int(number) in _BUILT_IN_DATES
        if _shows_a_date(code) if code is not None else built_in:
            found.add(str(index))
    return frozenset(found)


def _shows_a_date(code: str) -> bool:
    first = code.split(";", 1)[0]
    return first.lower() != _GENERAL and _DATE_LETTER.search(_NOT_THE_FORMAT.sub("", first)) is not None


def _moment(serial: float, *, since_1904: bool) -> str:
    """ISO 8601; a bare time below one day, a bare date at midnight."""
    epoch = _EPOCH_1904 if since_1904 else _EPOCH
    if not since_1904 and 1 <= serial < _LEAP_YEAR_ERROR:
        serial += 1
    moment = epoch + timedelta(days=serial) + _HALF_SECOND
    moment = moment.replace(microsecond=0)
    if serial < 1:
        return moment.time().isoformat()
    return moment.date().isoformat() if moment.time().isoformat() == "00:00:00" else moment.isoformat(sep=" ")
