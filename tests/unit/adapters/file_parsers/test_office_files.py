"""Word, PowerPoint and Excel: what a reader sees, with its structure."""

from __future__ import annotations

import pytest

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile
from tests.unit.adapters.file_parsers import made_files as made

P = made.paragraph
DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"


def read(data: bytes, name: str = "file") -> ParsedFile:
    return read_bytes(data, name, ParseLimits())


def numbered(text: str, list_id: int, depth: int = 0) -> str:
    return P(text, f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{list_id}"/></w:numPr>')


def styled(text: str, style: str) -> str:
    return P(text, f'<w:pStyle w:val="{style}"/>')


def cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"


def row(*cells: str) -> str:
    return f"<w:tr>{''.join(cells)}</w:tr>"


def test_a_document_keeps_headings_lists_and_tables() -> None:
    body = (
        styled("The title", "T")
        + styled("Chapter", "H1")
        + P("Loose", '<w:outlineLvl w:val="2"/>')
        + styled("Said by the style below", "Mine")
        + styled("Not a heading", "Quiet")
        + numbered("bullet", 1)
        + numbered("first", 2)
        + numbered("inner", 2, depth=1)
        + numbered("second", 2)
        + numbered("inner anew", 2, depth=1)
        + P("no list", '<w:numPr><w:numId w:val="0"/></w:numPr>')
        + "<w:tbl>"
        + row(cell(P("a") + P("b")), cell(P("wide"), '<w:gridSpan w:val="2"/>'))
        + row(cell(P("tall"), '<w:vMerge w:val="restart"/>'), cell(P("x")), cell(P("y")))
        + row(cell(P("never seen"), "<w:vMerge/>"), cell(f"<w:tbl>{row(cell(P('in')))}</w:tbl>"))
        + "</w:tbl>"
    )
    file = read(made.docx(body))
    assert file.text == (
        "# The title\n\n# Chapter\n\n### Loose\n\n## Said by the style below\n\nNot a heading\n\n"
        "- bullet\n1. first\n  1. inner\n2. second\n  1. inner anew\n\nno list\n\n"
        "| a b | wide |\n| --- | --- |\n| tall | x | y |\n|  | in |\n\n[^1]: said below"
    )
    assert file.title == "The title"
    assert file.metadata == {"author": "Ada"}
    assert file.media_type.endswith("wordprocessingml.document")


def test_a_documents_own_title_comes_before_its_first_heading() -> None:
    assert read(made.docx(styled("Chapter", "H1"), title="Said in its properties")).title == "Said in its properties"
    assert read(made.docx(styled("Chapter", "H1"), title="Microsoft Word - draft7.doc")).title == "Chapter"
    assert read(made.docx(P("text")), "folder/My report.docx").title == "My report"


def test_what_is_deleted_or_hidden_in_a_document_is_not_read() -> None:
    body = (
        "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>"
        "<w:r><w:instrText>HYPERLINK</w:instrText></w:r><w:r><w:t>, a</w:t><w:noBreakHyphen/><w:t>b</w:t><w:tab/>"
        "<w:t>c</w:t><w:br/><w:t>d</w:t></w:r></w:p>"
        + P("vanished", run="<w:vanish/>")
        + P("shown", run='<w:vanish w:val="0"/>')
    )
    assert read(made.docx(body)).text == "inserted, a-b c\nd\n\nshown\n\n[^1]: said below"


def test_a_text_box_is_read_once_after_its_paragraph() -> None:
    box = f"<w:txbxContent>{P('in the box')}</w:txbxContent>"
    body = (
        "<w:p><w:r><mc:AlternateContent>"
        f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent><w:t>beside</w:t></w:r></w:p>"
        f"<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{P('controlled')}</w:sdtContent></w:sdt>"
    )
    assert read(made.docx(body)).text == "beside\n\nin the box\n\ncontrolled\n\n[^1]: said below"


@pytest.mark.req("R8.4")
@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!DOCTYPE d>",
        '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
@pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml", "word/_rels/document.xml.rels"])
def test_xml_with_a_document_type_is_refused(prologue: str, part: str) -> None:
    with pytest.raises(FileRefused, match="document type"):
        read(made.docx(P("text"), parts={part: f"{prologue}<d>text</d>"}))


@pytest.mark.req("R8.4")
def test_external_relationships_do_not_exist() -> None:
    related = made.relationships(
        ("r1", "styles", "http://127.0.0.1:9/styles.xml", "External"), ("r2", "footnotes", "../../../etc/passwd")
    )
    assert read(made.docx(P("text"), related=related)).text == "text"


def test_a_package_without_its_document_is_damaged() -> None:
    for parts in ({"_rels/.rels": "<x/>"}, {"word/document.xml": "<x/>"}, {"word/document.xml": "<x"}):
        with pytest.raises(FileRefused, match="damaged"):
            read(made.docx("", parts=parts))


def test_a_presentation_has_a_page_for_each_slide_that_is_shown() -> None:
    table = (
        "<p:graphicFrame><p:nvGraphicFramePr/><a:tbl><a:tr><a:tc><a:p><a:r><a:t>k</a:t></a:r></a:p></a:tc>"
        "<a:tc><a:p><a:r><a:t>v</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>"
    )
    slides = [
        made.shape("point\nother point", "body") + made.shape("First", "ctrTitle") + made.shape("ACME 2026", "ftr"),
        made.shape("secret", "title"),
        made.shape("Third", "title")
        + f"<p:grpSp>{made.shape('free text')}{made.shape('unseen', hidden=True)}</p:grpSp>"
        + made.shape("deeper", "body", level=1)
        + table
        + made.shape("ACME 2026", "ftr"),
    ]
    file = read(made.pptx(slides, hidden=[1], parts=made.notes_of(3, "say this")))
    assert file.text == (
        "# First\n\n- point\n- other point\n\nACME 2026\n\n"
        "# Third\n\nfree text\n\n  - deeper\n\n| k | v |\n| --- | --- |\n\nNotes: say this"
    )
    assert [(page.number, file.text[page.start :][:7]) for page in file.pages] == [(1, "# First"), (3, "# Third")]
    assert file.title == "First"


def test_a_diagram_on_a_slide_says_its_texts() -> None:
    frame = f'<p:graphicFrame><d:relIds xmlns:d="{DIAGRAM}" r:dm="g1"/></p:graphicFrame>'
    data = (
        f'<d:dataModel xmlns:d="{DIAGRAM}" xmlns:a="x"><a:p><a:t>plan</a:t></a:p><a:p><a:t>do</a:t></a:p></d:dataModel>'
    )
    parts = {
        "ppt/slides/_rels/slide1.xml.rels": made.relationships(("g1", "diagramData", "../diagrams/data1.xml")),
        "ppt/diagrams/data1.xml": data,
    }
    assert read(made.pptx([frame], parts=parts)).text == "- plan\n- do"


def test_a_workbook_has_a_page_for_each_sheet_that_is_shown() -> None:
    numbers = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>inline</t></is></c></row>'
        '<row r="2"><c r="A2"><v>3</v></c><c r="B2"><v>0.30000000000000004</v></c><c r="C2" t="b"><v>1</v></c></row>'
        '<row r="3"><c r="A3" s="1"><v>46023</v></c><c r="B3" s="2"><v>46023.75</v></c><c r="C3" s="1"><v>0.5</v></c>'
        '<c r="D3" s="3"><v>1.5</v></c></row>'
        '<row r="4"><c r="A4" t="str"><f>A1&amp;"!"</f><v>stored result</v></c><c r="B4" t="e"><v>#DIV/0!</v></c></row>'
        '<row r="5" hidden="1"><c r="A5"><v>99</v></c></row><row r="6"><c r="A6"><f>NOW()</f></c></row>'
    )
    file = read(
        made.xlsx(
            {"Numbers": numbers, "Secret": numbers, "Empty": ""},
            states={"Secret": "veryHidden"},
            shared=["<r><t>rich</t></r><r><t> text</t></r><rPh><t>reading</t></rPh>"],
        )
    )
    assert file.text == (
        "# Numbers\n\n| rich text | inline |\n| --- | --- |\n| 3 | 0.3 | TRUE |\n"
        "| 2026-01-01 | 2026-01-01 18:00:00 | 12:00:00 | 1.5 |\n| stored result |"
    )
    assert [(page.number, page.start) for page in file.pages] == [(1, 0)]


def test_dates_count_from_1904_where_the_workbook_says_so() -> None:
    rows = '<row><c s="1"><v>44561</v></c><c s="1"><v>-1</v></c><c s="1"><v>99999999</v></c><c s="1"><v>x</v></c></row>'
    assert "| 2026-01-01 | -1 | 99999999 | x |" in read(made.xlsx({"A": rows}, since_1904=True)).text


def test_the_day_that_never_was_moves_only_the_days_before_it() -> None:
    rows = '<row><c s="1"><v>1</v></c><c s="1"><v>59</v></c><c s="1"><v>61</v></c></row>'
    assert "| 1900-01-01 | 1900-02-28 | 1900-03-01 |" in read(made.xlsx({"A": rows})).text


def test_hidden_columns_are_not_read() -> None:
    rows = '<row><c r="A1"><v>1</v></c><c r="B1"><v>2</v></c><c r="C1"><v>3</v></c></row>'
    columns = '<cols><col min="2" max="2" hidden="1"/><col min="3" max="16384"/></cols>'
    assert "| 1 | 3 |" in read(made.xlsx({"A": rows}, columns=columns)).text


@pytest.mark.req("R8.10")
def test_a_stray_cell_far_out_costs_nothing() -> None:
    rows = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    assert read(made.xlsx({"A": rows})).text == "# A\n\n| 1 |\n| --- |\n|  | 2 |"
    with pytest.raises(FileRefused, match="16,384 columns"):
        read(made.xlsx({"A": '<row><c r="ZZZ1"><v>1</v></c></row>'}))
