"""Texts in charsets that nobody named come out right; no bytes are too strange to be some text."""

# ruff: noqa: RUF001 - other alphabets are what this is about

from __future__ import annotations

import codecs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.charsets import decoded
from advanced_rag.adapters.file_parsers.markdown import storable

RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα."
GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Größenwahn führt nie zum Glück."
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité. Ils doivent agir dans un esprit de fraternité."
POLISH = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem."
ENGLISH = "These “smart quotes” — and a dash — are all that tells this text from ASCII."

UNNAMED = [
    (RUSSIAN, "cp1251"),
    (RUSSIAN, "koi8-r"),
    (RUSSIAN, "cp866"),
    (JAPANESE, "cp932"),
    (JAPANESE * 3, "euc-jp"),
    (JAPANESE, "iso2022_jp"),
    (CHINESE, "gb18030"),
    (KOREAN, "euc-kr"),
    (GREEK, "cp1253"),
    (GERMAN, "latin-1"),
    (FRENCH, "cp1252"),
    (POLISH, "cp1250"),
    (ENGLISH, "cp1252"),
    (ENGLISH, "utf-16-be"),
    (GERMAN, "utf-16-le"),
    (FRENCH, "utf-32-le"),
    (FRENCH, "utf-32-be"),
]


@pytest.mark.parametrize(("text", "charset"), UNNAMED)
def test_a_paragraph_in_a_charset_that_nobody_named_is_read(text: str, charset: str) -> None:
    assert decoded(text.encode(charset)).text == text


@given(st.text(), st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_a_byte_order_mark_says_it_all(text: str, charset: str) -> None:
    assert decoded(text.encode(charset)).text == text


@given(st.text())
def test_utf_8_comes_back_as_it_was(text: str) -> None:
    assume("\x00" not in text and "\x1b" not in text and not text.startswith("\ufeff"))
    assert decoded(text.encode()).text == text


@given(
    st.binary(max_size=300), st.none() | st.sampled_from(["utf-8", "latin-1", "klingon", "hex", "rot13", "idna", ""])
)
def test_any_bytes_are_some_text_whatever_is_declared(data: bytes, declared: str | None) -> None:
    answer = decoded(data, declared)
    assert codecs.lookup(answer.charset)
    assert storable(answer.text).encode() or not answer.text


def test_what_a_page_declares_is_believed_if_it_can_be_true() -> None:
    page = (
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1"></head>{ENGLISH}</html>'
    )
    assert decoded(page.encode("cp1252")).text == page


def test_what_a_page_declares_is_not_believed_if_it_cannot_be_true() -> None:
    page = f'<html><head><meta charset="utf-8"></head><p>{RUSSIAN}</html>'
    assert decoded(page.encode("cp1251")).text == page


def test_a_few_broken_bytes_do_not_turn_utf_8_into_something_else() -> None:
    assert decoded((GERMAN * 3).encode() + b"\xc3 \xff").text.startswith(GERMAN)


def test_a_long_line_without_a_telling_byte_takes_no_time() -> None:
    assert decoded(b"a" * 3_000_000 + b"\n" + "Glück".encode("latin-1")).text.endswith("Glück")
