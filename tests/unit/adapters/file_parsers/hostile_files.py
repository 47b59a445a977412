"""Files that want more than to be read (reliability R8.10), and files that want to be fetched from (R8.4)."""

from __future__ import annotations

import zlib

from tests.unit.adapters.file_parsers import made_files as made

# Each is (file name, bytes, whether its text may be read all the same).
Hostile = tuple[str, bytes, bool]


def bombs() -> list[Hostile]:
    """Archives and entities that become large."""
    document = made.docx(made.paragraph("text"))
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    prologue = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]>'
    zeros = made.deflated_zeros(10)
    inner = made.zip_of({"zeros": bytes(1_000_000)})
    for _ in range(5):
        inner = made.zip_of({f"{number}.zip": inner for number in range(16)})
    return [
        ("zeros-10gb.docx", made.with_content(document, "word/document.xml", zeros, 4_000_000_000), False),
        ("zeros-10gb-said-small.docx", made.with_content(document, "word/document.xml", zeros, 100), False),
        (
            "zeros-10gb.epub",
            made.with_content(made.epub({"a.xhtml": "x"}), "OEBPS/a.xhtml", zeros, 4_000_000_000),
            False,
        ),
        ("zips-in-zips.zip", inner, False),
        ("zips-in-docx.docx", made.docx(made.paragraph("text"), parts={"word/embeddings/1.zip": inner}), True),
        ("billion-laughs.docx", made.docx("", parts={"word/document.xml": f"{prologue}<d>&l9;</d>"}), False),
        ("billion-laughs.xlsx", _with_part(made.xlsx({"A": ""}), "xl/workbook.xml", f"{prologue}<d>&l9;</d>"), False),
        ("billion-laughs.html", f"<html>{prologue}<p>&l9;</p></html>".encode(), True),
    ]


def documents_without_end() -> list[Hostile]:
    """Pages, rows and depths beyond all sense."""
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n * 7919 % 1_000_003}</v></c></row>' for n in range(1, 1_000_001))
    kids = "3 0 R " * 100_000
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>"
    return [
        ("rows-1m.xlsx", made.xlsx({"A": rows}), False),
        (
            "pages-100k.pdf",
            made.pdf_of(
                ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count 100000 >>", page]
            ),
            False,
        ),
        ("deep.html", b"<html><body>" + b"<div><b>" * 50_000 + b"text", False),
        ("deep.docx", made.docx("<w:sdt><w:sdtContent>" * 50_000 + "</w:sdtContent></w:sdt>" * 50_000), False),
        ("deep.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, False),
        ("deep.rtf", b"{\\rtf1 " + b"{\\b " * 200_000 + b"text" + b"}" * 200_000, True),
        ("attributes.html", b"<html><p " + b"a=1 " * 500_000 + b">text</html>", True),
        ("comments.html", b"<html>" + b"<!--" * 500_000, False),
        ("tables.html", b"<html>" + b"<table><tr><td>" * 900 + b"text", True),
        ("quotes.csv", b'"' * 2_000_000, True),
        ("headers.eml", b"From: a\nTo: b\n" + b"X: y\n" * 200_000 + b"\ntext", True),
        ("parts.eml", made.eml("--B\r\n\r\nx\r\n" * 20_000, content_type='multipart/mixed; boundary="B"'), True),
        ("spaces.md", b"# " + b" " * 2_000_000 + b"x", True),
        ("stars.md", b"*" * 2_000_000, True),
    ]


def pdfs_without_end() -> list[Hostile]:
    """PDFs that refer to themselves."""
    catalogue = "<< /Type /Catalog /Pages 2 0 R >>"
    pages = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    again = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>"
    )
    calls = "<< /Length 20 >>\nstream\n/X Do /X Do /X Do   \nendstream"
    form = (
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >> /Length 20 >>\n"
        "stream\n/X Do /X Do /X Do   \nendstream"
    )
    endless = [catalogue, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]
    ring = [catalogue, "<< /Type /Pages /Kids [3 0 R] /Count 9 >>", "<< /Type /Pages /Kids [2 0 R] /Count 9 >>"]
    inflated = zlib.compress(zlib.compress(b" " * 100_000_000, 9), 9).decode("latin-1")
    bomb = f"<< /Length {len(inflated)} /Filter [/FlateDecode /FlateDecode] >>\nstream\n{inflated}\nendstream"
    return [
        ("form-in-itself.pdf", made.pdf_of([catalogue, pages, again, calls, form]), False),
        ("pages-in-themselves.pdf", made.pdf_of(endless), False),
        ("ring-of-pages.pdf", made.pdf_of(ring), False),
        ("table-before-itself.pdf", made.pdf_of([catalogue, pages, again, calls], previous=9), False),
        ("inflates-twice.pdf", made.pdf_of([catalogue, pages, again, bomb]), False),
    ]


def polyglots() -> list[Hostile]:
    """Several formats at once: the first bytes decide."""
    pdf, archive = made.pdf(["read as a PDF"]), made.docx(made.paragraph("read as a document"))
    return [
        ("pdf-then-zip.docx", pdf + archive, True),
        ("zip-then-pdf.pdf", archive + pdf, True),
        ("gif-then-html.html", b"GIF89a" + bytes(range(256)) + b"<html>text</html>", False),
        ("html-then-pdf.html", b"<html><!--" + pdf + b"--><p>text</html>", True),
        ("rtf-then-zip.rtf", b"{\\rtf1 text}" + archive, True),
    ]


def everything() -> list[Hostile]:
    """All of them."""
    return [*bombs(), *documents_without_end(), *pdfs_without_end(), *polyglots()]


def fetching(url: str) -> dict[str, bytes]:
    """Files of every format that ask for something at `url`."""
    entity = f'<!DOCTYPE d SYSTEM "{url}/dtd" [<!ENTITY e SYSTEM "{url}/entity">]>'
    include = f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{url}/xinclude" parse="text"/>'
    sheet = f'<?xml-stylesheet href="{url}/style" type="text/xsl"?>'
    schema = f'xmlns:s="http://www.w3.org/2001/XMLSchema-instance" s:schemaLocation="u {url}/schema"'
    page = (
        f'<html><head><base href="{url}/base"><link rel=stylesheet href="{url}/css"><script src="{url}/js"></script>'
        f'<meta http-equiv=refresh content="0;url={url}/refresh"><style>@import url({url}/import);</style></head><body>'
        f'<p>text</p><img src="{url}/image" srcset="{url}/set 2x"><iframe src="{url}/frame"></iframe>'
        f'<object data="{url}/o"></object>'
        f'<embed src="{url}/e"><video src="{url}/v" poster="{url}/p"></video><audio src="{url}/a"></audio>'
        f'<svg><image href="{url}/svg"/><use href="{url}/use"/></svg>'
        f'<div style="background:url({url}/b)">{include}</div></body></html>'
    )
    image = made.relationships(("i", "image", f"{url}/image", "External"), ("t", "attachedTemplate", url, "External"))
    action = (
        f"/AA << /O << /S /URI /URI ({url}/open) >> >> /Annots [ << /Subtype /Link /A << /S /URI /URI ({url}) >> >> ]"
    )
    return {
        "page.html": page.encode(),
        "declared.html": f'<?xml version="1.0"?>{sheet}{entity}<html><p>text &e;</p></html>'.encode(),
        "book.epub": made.epub({"a.xhtml": f'<?xml version="1.0"?>{sheet}{entity}{page}'}),
        "package.epub": _with_part(made.epub({"a.xhtml": page}), "OEBPS/book.opf", f"{entity}<package>&e;</package>"),
        "letter.eml": made.eml(page, content_type="text/html"),
        "external.eml": made.eml("text", content_type=f'message/external-body; access-type=URL; URL="{url}/body"'),
        "report.docx": made.docx(made.paragraph("text") + include, related=image),
        "entity.docx": made.docx("", parts={"word/document.xml": f"{sheet}{entity}<d>&e;</d>"}),
        "schema.docx": made.docx("", parts={"word/document.xml": f"{sheet}<d {schema}><body>{include}</body></d>"}),
        "slides.pptx": made.pptx([made.shape("text")], parts={"ppt/slides/_rels/slide1.xml.rels": image}),
        "book.xlsx": made.xlsx({"A": f'<row><c t="str"><f>WEBSERVICE("{url}/f")</f><v>text</v></c></row>'}),
        "entity.xlsx": _with_part(made.xlsx({"A": ""}), "xl/workbook.xml", f"{entity}<d>&e;</d>"),
        "paper.pdf": made.pdf(["text"], extra=action),
        "remote.pdf": made.pdf(["text"], extra=f"/Metadata << /F << /FS /URL /F ({url}/remote) >> >>"),
        "note.rtf": f'{{\\rtf1 text{{\\field{{\\*\\fldinst INCLUDEPICTURE "{url}/p"}}{{\\fldrslt x}}}}}}'.encode(),
        "note.md": f"![image]({url}/image) text <img src={url}/html>".encode(),
        "note.txt": f"text {url}/".encode(),
        "table.csv": f'name,value\ntext,"=WEBSERVICE(""{url}/csv"")"'.encode(),
        "reference.json": f'{{"$ref": "{url}/ref", "$schema": "{url}/schema"}}'.encode(),
    }


def _with_part(archive: bytes, name: str, content: str) -> bytes:
    parts = made.parts_of(archive)
    assert name in parts
    return made.zip_of({**parts, name: content})
