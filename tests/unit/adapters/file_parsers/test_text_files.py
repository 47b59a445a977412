"""Formats that are text: HTML, e-books, mail, RTF, CSV, JSON, Markdown and text itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile
from tests.unit.adapters.file_parsers import made_files as made


def read(data: str | bytes, name: str, **limits: int) -> ParsedFile:
    content = data if isinstance(data, bytes) else data.encode()
    return read_bytes(content, name, ParseLimits(**limits))


def html(body: str, head: str = "") -> str:
    return read(f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>", "a.html").text


def test_a_page_keeps_headings_lists_tables_and_code() -> None:
    text = html(
        "<h1>One <em>page</em></h1><p>Some\n  <b>bold</b> text,<br>two&nbsp;lines.</p>"
        "<ul><li>a<li>b<ul><li>inner</ul></ul><ol start=3><li><p>three</p><p>more of it</p><li>four</ol>"
        "<pre>def f():\n    pass\n</pre><p>An <img alt='owl' src=x> at night</p>"
        "<table><caption>Birds</caption><thead><tr><th>name<th>weight</thead>"
        "<tr><td>owl | eagle<td>2<br>kg<tr><td colspan=2>both</table>after"
    )
    assert text == (
        "# One page\n\nSome bold text,\ntwo lines.\n\n- a\n- b\n  - inner\n3. three\n\nmore of it\n\n4. four\n\n"
        "```\ndef f():\n    pass\n```\n\nAn owl at night\n\nBirds\n\n"
        "| name | weight |\n| --- | --- |\n| owl \\| eagle | 2 kg |\n| both |\n\nafter"
    )


def test_a_table_that_arranges_a_page_is_no_table() -> None:
    text = html(
        "<table><tr><td><h2>News</h2><p>one<td><table><tr><td>k<td>v</table></table><table><tr><td>alone</table>"
    )
    assert text == "## News\n\none\n\n| k | v |\n| --- | --- |\n\nalone"


@pytest.mark.req("R8.14")
@pytest.mark.parametrize(
    "hidden",
    [
        '<p style="display:none">x</p>',
        '<p style="color: red; DISPLAY : None !important">x</p>',
        '<div style="visibility:hidden"><p>x</p></div>',
        '<span style="font-size:0">x</span>',
        '<span style="opacity:0.0;">x</span>',
        "<p hidden>x</p>",
        "<script>x</script>",
        "<style>x</style>",
        "<!-- x -->",
        "<template>x</template>",
        "<noscript>x</noscript>",
        "<svg><text>x</text></svg>",
        "<table><tr><td>seen<td hidden>x</table>",
        "<object>x</object>",
    ],
)
def test_what_a_page_hides_stays_hidden(hidden: str) -> None:
    assert "x" not in html(f"<p>before</p>{hidden}<p>after</p>")
    assert html(f"<p>before</p>{hidden}<p>after</p>").startswith("before")
    assert html(f"<p>before</p>{hidden}<p>after</p>").endswith("after")


def test_small_type_is_not_hidden() -> None:
    assert html('<p style="font-size:0.8em;opacity:0.5">seen</p>') == "seen"


def test_a_page_says_its_title_and_author() -> None:
    page = "<html><head><title> The \n title</title><meta name=author content=Ada></head><h1>Heading</h1>x</html>"
    file = read(page, "a.html")
    assert (file.title, file.metadata) == ("The title", {"charset": "utf-8", "author": "Ada"})
    assert read("<html><title>untitled</title><h2>Heading</h2>x</html>", "a.html").title == "Heading"


@pytest.mark.req("R8.10")
@pytest.mark.parametrize("tag", ["div", "b", "span", "table><tr><td", "ul><li", "blockquote"])
def test_a_page_of_endless_depth_is_refused(tag: str) -> None:
    with pytest.raises(FileRefused, match="deep"):
        read(f"<html><body><{tag}>" + f"<{tag}>" * 100_000 + "text", "a.html")


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    chapters = {
        "b.xhtml": '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "x.dtd">'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body><h1>Two</h1>'
        '<p>b<a id="x"/>c</p></body></html>',
        "a.xhtml": "<html><body><h1>One</h1><script src='x'/><p>a&nbsp;a</p></body></html>",
        "loose.xhtml": "<html><body>not in the spine</body></html>",
    }
    file = read(made.epub(chapters, order=["a.xhtml", "b.xhtml"]), "a.epub")
    assert file.text == "# One\n\na a\n\n# Two\n\nbc"
    assert (file.title, file.metadata) == ("A Book", {"author": "Ada"})


def test_a_book_with_digital_rights_is_refused_and_scrambled_fonts_are_not() -> None:
    chapters = {"a.xhtml": "<p>text</p>"}
    assert read(made.epub(chapters, encrypted=["OEBPS/font.otf"]), "a.epub").text == "text"
    with pytest.raises(FileRefused, match="encrypted"):
        read(made.epub(chapters, encrypted=["OEBPS/a.xhtml"]), "a.epub")


def test_a_message_says_who_when_and_what() -> None:
    file = read(made.eml("First.\r\n\r\nSecond\r\nline.\r\n"), "a.eml")
    assert file.text == (
        "# Engines ⚙\n\nFrom: Ada <ada@example.org>\nTo: grace@example.org\nDate: Mon, 2 Feb 2026 10:00:00 +0000\n\n"
        "First.\n\nSecond\nline."
    )
    assert (file.title, file.metadata) == ("Engines ⚙", {"author": "Ada <ada@example.org>"})


def multipart(kind: str, *parts: tuple[str, str]) -> bytes:
    body = "".join(f"--B\r\nContent-Type: {content_type}\r\n\r\n{content}\r\n" for content_type, content in parts)
    return made.eml(f"{body}--B--\r\n", content_type=f'multipart/{kind}; boundary="B"')


def body_of(message: bytes) -> str:
    return read(message, "a.eml").text.partition("+0000\n\n")[2]


def test_of_two_forms_of_a_message_one_is_read() -> None:
    plain, rich = ("text/plain", "Hello there, Grace"), ("text/html", "<p>Hello there, <b>Grace</b></p>")
    assert body_of(multipart("alternative", plain, rich)) == "Hello there, Grace"
    stub = ("text/plain", "See HTML")
    long = ("text/html", f"<ul><li>{'word ' * 20}</ul>")
    assert body_of(multipart("alternative", stub, long)).startswith("- word word")


def test_attachments_are_named_and_not_opened() -> None:
    attached = ('application/zip; name="=?utf-8?q?b=C3=B6mb.zip?="\r\nContent-Disposition: attachment', "UEsDBA==")
    inner = ("message/rfc822", "Subject: inner\r\nContent-Type: text/plain\r\n\r\nforwarded")
    file = read(multipart("mixed", ("text/plain", "outer"), attached, inner), "a.eml")
    assert file.text.endswith("outer\n\n## inner\n\nforwarded")
    assert file.metadata["attachments"] == ["bömb.zip"]


def test_an_encrypted_message_is_refused() -> None:
    for kind in ("multipart/encrypted; boundary=B", "application/pkcs7-mime"):
        with pytest.raises(FileRefused, match="encrypted"):
            read(made.eml("--B\r\n\r\nsecret\r\n--B--", content_type=kind), "a.eml")


@pytest.mark.req("R8.10")
@pytest.mark.parametrize("depth", [100, 3_000])
def test_a_message_of_endless_depth_is_refused(depth: int) -> None:
    headers = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    with pytest.raises(FileRefused, match="deep"):
        read(f"From: a@b\r\nTo: c@d\r\nSubject: deep\r\n{headers}", "a.eml")


RTF = r"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil Arial;}{\f1\fcharset204 Arial Cyr;}}
{\colortbl;\red255\green0\blue0;}{\stylesheet{\s0 Normal;}{\s15 heading 2;}}
{\info{\title A \'e9tude}{\author Ada}{\operator Nobody}}
{\header never}\pard\s15 The heading\par\pard Caf\'e9 \u8212?dash \u-10179?\u-8688?,
{\f1 \'cf\'f0\'e8}{\v hidden} text\~here.
{\*\unknown secret}{\field{\*\fldinst HYPERLINK "http://127.0.0.1:9/"}{\fldrslt a link}}{\footnote the note}\par
\pard\ls1\ilvl0{\listtext 1.\tab}item\par\pard\trowd\intbl a\cell b\cell\row\trowd\intbl 1\par 2\cell \cell\row\pard
{\pict\pngblip 89504e47}{\pict\bin5 }}}}}done\par}"""


def test_rich_text_keeps_headings_lists_and_tables() -> None:
    file = read(RTF.replace("\n", "\r\n").replace("}}}}}done", "}}}}{}done"), "a.rtf")
    assert file.text == (
        "## The heading\n\nCafé —dash 😐,При text\u00a0here.a link\n\n- item\n\n"
        "| a | b |\n| --- | --- |\n| 1 2 |\n\ndone\n\nthe note"
    ).replace("\u00a0", " ")
    assert (file.title, file.metadata) == ("A étude", {"author": "Ada"})


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_rich_text_says_any_character(text: str) -> None:
    units = text.encode("utf-16-le")
    words = "".join(f"\\u{int.from_bytes(units[n : n + 2], 'little', signed=True)}?" for n in range(0, len(units), 2))
    file = read(f"{{\\rtf1 a{words}z}}", "a.rtf")
    assert file.text.split() == f"a{text}z".split()


def test_values_become_a_table_whatever_separates_them() -> None:
    for separator in ",;\t|":
        rows = [["name", "note"], ["owl", f'"one{separator}\n ""two"""'], ["eagle", ""]]
        data = "\r\n".join(separator.join(row) for row in rows)
        text = read(data, "a.csv").text
        cell = f'one{separator} "two"'.replace("|", "\\|").replace("\t", "")
        assert " ".join(text.split()) == f"| name | note | | --- | --- | | owl | {cell} | | eagle |"


def test_formulas_are_text() -> None:
    assert "=cmd" in read("name,value\nbudget,=cmd|' /C calc'!A0\n", "a.csv").text


@pytest.mark.req("R8.10")
def test_a_table_of_too_many_columns_is_refused() -> None:
    with pytest.raises(FileRefused, match="16,384 columns"):
        read(",".join("x" * 20_000), "a.csv")


def test_json_becomes_an_outline() -> None:
    value = {"title": "Keys", "list": [1, {"a": None, "b": [True]}, "two\nlines"], "empty": {}, "n": 1.5}
    file = read(json.dumps(value), "a.json")
    assert file.text == (
        "- title: Keys\n- list:\n  - 1\n  - 2:\n    - a: null\n    - b:\n      - true\n  - two\n    lines\n"
        "- empty:\n- n: 1.5"
    )
    assert file.title == "Keys"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_any_json_is_read_or_says_nothing(value: Any) -> None:
    try:
        assert read(json.dumps({"key": value}), "a.json").text.startswith("- key")
    except FileRefused as refusal:
        raise AssertionError(value) from refusal


@pytest.mark.req("R8.10")
@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("[" * 100_000 + "]" * 100_000, "deep"),
        ("[" * 100 + "]" * 100, "deep"),
        ("1" * 5_000, "digits"),
        ('{"cut": "sh', "not JSON"),
    ],
)
def test_json_that_cannot_be_is_refused(data: str, word: str) -> None:
    with pytest.raises(FileRefused, match=word):
        read(data, "a.json")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("intro\n\n## The heading ##\n\ntext", "The heading"),
        ("The heading\n===\n\ntext", "The heading"),
        ("---\ntitle: 'From the front'\ndate: 2026\n---\n# Heading", "From the front"),
        ("no heading at all\n#hashtag", "a"),
        ("# " + " " * 19_000 + "x", "a"),
    ],
)
def test_markdown_says_its_title(text: str, title: str) -> None:
    assert read(text, "a.md").title == title or title == "a"


def test_front_matter_is_no_text() -> None:
    assert read("---\ntitle: x\n---\nbody", "a.md").text == "body"
    assert read("---\nnot closed", "a.md").text == "---\nnot closed"


def test_a_text_is_left_as_it_is() -> None:
    file = read("  e\u0301 \u202ebidi\r\nnext\rlast\x00\x0c ", "notes.txt")
    assert file.text == "  e\u0301 \u202ebidi\nnext\nlast \x0c "
    assert (file.title, file.media_type, file.pages) == ("notes", "text/plain", ())


@pytest.mark.req("R8.10")
def test_more_text_than_the_limit_is_refused_in_every_format() -> None:
    words = "word " * 100
    files: list[tuple[str | bytes, str]] = [
        (words, "a.txt"),
        (words, "a.md"),
        (f"<html>{words}</html>", "a.html"),
        (json.dumps([words]), "a.json"),
        (words, "a.csv"),
        (made.eml(words), "a.eml"),
        (f"{{\\rtf1 {words}}}", "a.rtf"),
        (made.epub({"a.xhtml": words}), "a.epub"),
        (made.docx(made.paragraph(words)), "a.docx"),
        (made.pptx([made.shape(words)]), "a.pptx"),
        (made.xlsx({"A": f'<row><c t="str"><v>{words}</v></c></row>'}), "a.xlsx"),
        (made.pdf([words]), "a.pdf"),
    ]
    for data, name in files:
        with pytest.raises(FileRefused, match="400 bytes") as refused:
            read(data, name, text_bytes=400)
        assert refused.value.code == "payload-too-large"
