"""Where sentences begin and end: for chunk borders, overlaps and quotations, in any script, in one pass."""

from __future__ import annotations

import re
from typing import Final

from advanced_rag.domain.function_words import FUNCTION_WORDS

# Closing quotes and brackets stay with their sentence.
_CLOSERS: Final = "\"')\\]}\u2019\u201d\u00bb\u203a\u300d\u300f\u3011\uff09\u300b"
_OPENERS: Final = "\"'([{\u2018\u201c\u00ab\u2039\u201e\u300c\u300e\u3010\uff08\u300a\u00bf\u00a1"
# Each alternative takes all that it looks at, so that the scan never goes back.
_CANDIDATE: Final = re.compile(
    rf"(?P<stop>[.!?\u2026\u061f\u06d4]+[{_CLOSERS}]*)"
    rf"|(?P<full>[\u3002\uff01\uff1f\uff0e\u0964\u0965]+[{_CLOSERS}]*)"
    r"|(?P<line>[\n\r\v\f\x85\u2028\u2029]\s*)"
)
_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_HEADING: Final = re.compile(r"#{1,6}\s")
# A line that begins like this is an item, a row, a quotation, a fence or a heading: never the rest of the line above.
_ITEM: Final = re.compile(
    r"[-*+\u2022\u2023\u25aa\u2013\u2014]\s|\(?[0-9]{1,3}[.)]\s|\(?[A-Za-z][.)]\s|#{1,6}\s|\||>|```|~~~"
)
_NEXT_WORD: Final = re.compile(rf"\s*[{re.escape(_OPENERS)}]{{0,4}}(?P<word>[^\W_]{{0,12}})")
_LAST_WORD: Final = re.compile(r"(?P<before>[^\W\d_]*\.?)[\s(]*(?P<word>\b[\w.]{1,16})\Z")
_DOTTED: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_LOOK_BACK_CHARS: Final = 32
_MAX_NUMBERING_CHARS: Final = 4

# A full stop after these never ends a sentence. Those that may ("etc.", "Inc.") are left to the next word.
_ABBREVIATIONS: Final = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "rev", "gen", "sen", "rep", "gov", "capt", "lt", "col", "hon"),
        *("vs", "e.g", "i.e", "eg", "ie", "cf", "viz", "ca", "approx", "al", "ed", "eds", "resp", "incl", "esp"),
        *("dept", "univ", "z.b", "d.h", "u.a", "bzw", "evtl", "ggf", "inkl", "str", "hr", "fr", "hrsg", "vgl", "s.o"),
        *("mme", "mlle", "p.ex", "sr", "sra", "dra", "dott", "sig", "dhr", "mevr", "bijv"),
        *("т.е", "т.д", "ул"),  # noqa: RUF001
    )
)
# Nor after these, where a number follows: "no. 5" and "no. Then".
_BEFORE_NUMBERS: Final = frozenset(
    (
        *("no", "nos", "nr", "fig", "figs", "eq", "eqs", "ref", "refs", "vol", "ch", "sec", "art", "tab", "abs"),
        *("p", "pp", "chap", "abb", "kap", "bd", "рис", "стр"),
    )
)
# What a German date or century goes on with: "am 3. Mai", "im 19. Jahrhundert".
_AFTER_ORDINAL: Final = frozenset(
    "januar februar märz april mai juni juli august september oktober november dezember jahrhundert quartal".split()  # noqa: SIM905
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) in code points of each sentence, in order, without white space at either end.

    Together they hold every character that is not white space. An empty line, a list item, a table row and a heading
    end a sentence too; a single line break does not. Linear in the length of the text.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    line_start = 0
    for candidate in _CANDIDATE.finditer(text):
        if candidate.lastgroup == "line":
            ends = _line_ends_sentence(text, line_start, candidate)
            line_start = candidate.end()
        else:
            ends = candidate.lastgroup == "full" or _stop_ends_sentence(text, start, candidate)
        if ends:
            _append_trimmed(spans, text, start, candidate.end())
            start = candidate.end()
    _append_trimmed(spans, text, start, len(text))
    return spans


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.lstrip()
    if stripped:
        start = end - len(stripped)
        spans.append((start, start + len(stripped.rstrip())))


def _line_ends_sentence(text: str, line_start: int, candidate: re.Match[str]) -> bool:
    if _HEADING.match(text, line_start) or _ITEM.match(text, candidate.end()):
        return True
    breaks = _LINE_BREAK.finditer(candidate.group())
    next(breaks)
    return next(breaks, None) is not None


def _stop_ends_sentence(text: str, start: int, candidate: re.Match[str]) -> bool:
    end = candidate.end()
    if end == len(text):
        return True
    if not text[end].isspace():
        return False  # 3.14, example.org, "Really?!he"
    following = _NEXT_WORD.match(text, end)
    next_word = following["word"] if following else ""
    if next_word[:1].islower():
        return False
    if candidate.group() != ".":
        return True
    return not _is_abbreviated(text, start, candidate.start(), next_word.casefold())


def _is_abbreviated(text: str, start: int, stop: int, next_word: str) -> bool:
    """Whether the full stop at `stop` belongs to the word before it and the sentence goes on."""
    last = _LAST_WORD.search(text[max(start, stop - _LOOK_BACK_CHARS) : stop])
    if last is None:
        return False
    word = last["word"].casefold()
    if word in _ABBREVIATIONS or (word in _BEFORE_NUMBERS and next_word[:1].isdigit()):
        return True
    if word.isdigit():
        is_numbering = stop - start <= _MAX_NUMBERING_CHARS and text[start:stop].strip().isdigit()
        return is_numbering or next_word in _AFTER_ORDINAL
    if not next_word or next_word in FUNCTION_WORDS["en"]:
        return False
    if len(word) == 1 and word.isalpha():
        # An initial: "J. Smith", "by J. Smith", "George W. Bush", but not "hepatitis B. Patients", "in cabinet B. Ask".
        before = last["before"]
        is_initial = not before or not before[0].islower() or before in FUNCTION_WORDS["en"]
        return is_initial or len(next_word) == 1  # "z. B."
    return _DOTTED.fullmatch(word) is not None  # "the U.S. Senate"
