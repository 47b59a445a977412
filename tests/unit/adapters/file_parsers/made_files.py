"""Small files of every format, made here byte by byte: the suite has power without any data beside it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

_RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD: Final = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)
_DRAWING: Final = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{_OFFICE}" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
_SHEET: Final = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{_OFFICE}"'
_CORE: Final = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title><dc:creator>{author}</dc:creator>'
    "</cp:coreProperties>"
)


def zip_of(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of those members, in that order."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def parts_of(archive: bytes) -> dict[str, str | bytes]:
    """The members of an archive that was made here."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {member.filename: opened.read(member) for member in opened.infolist()}


def relationships(*entries: tuple[str, str, str] | tuple[str, str, str, str]) -> str:
    """Of (id, kind, target) or (id, kind, target, mode)."""
    lines = []
    for entry in entries:
        mode = f' TargetMode="{entry[3]}"' if len(entry) == 4 else ""
        lines.append(f'<Relationship Id="{entry[0]}" Type="{_OFFICE}/{entry[1]}" Target="{entry[2]}"{mode}/>')
    return f'<Relationships xmlns="{_RELATIONSHIPS}">{"".join(lines)}</Relationships>'


def docx(
    body: str, *, title: str = "", parts: Mapping[str, str | bytes] | None = None, related: str | None = None
) -> bytes:
    """A document of that body; styles and numbering are the ones below."""
    return zip_of(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relationships(
                ("r1", "officeDocument", "word/document.xml"), ("r2", "core-properties", "/docProps/core.xml")
            ),
            "docProps/core.xml": _CORE.format(title=title, author="Ada"),
            "word/document.xml": f"<w:document {_WORD}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": related
            or relationships(
                ("r1", "styles", "styles.xml"),
                ("r2", "numbering", "numbering.xml"),
                ("r3", "footnotes", "footnotes.xml"),
            ),
            "word/styles.xml": f"<w:styles {_WORD}>"
            '<w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
            '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="H2"/></w:style>'
            '<w:style w:styleId="H2"><w:name w:val="Heading 2"/><w:basedOn w:val="Mine"/></w:style>'
            '<w:style w:styleId="T"><w:name w:val="Title"/></w:style>'
            '<w:style w:styleId="Quiet"><w:name w:val="Quiet"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>'
            "</w:styles>",
            "word/numbering.xml": f"<w:numbering {_WORD}>"
            '<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>'
            '<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:numFmt w:val="lowerRoman"/></w:lvl>'
            '<w:lvl w:ilvl="1"><w:numFmt w:val="decimal"/></w:lvl></w:abstractNum>'
            '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
            '<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num></w:numbering>',
            "word/footnotes.xml": f'<w:footnotes {_WORD}><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote>'
            '<w:footnote w:id="1"><w:p><w:r><w:t>said below</w:t></w:r></w:p></w:footnote></w:footnotes>',
            **(parts or {}),
        }
    )


def paragraph(text: str, properties: str = "", run: str = "") -> str:
    """A paragraph of one run, in WordprocessingML."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def pptx(slides: Sequence[str], *, hidden: Sequence[int] = (), parts: Mapping[str, str] | None = None) -> bytes:
    """A presentation of those shape trees; `hidden` are indices of slides that are not shown."""
    numbers = range(1, len(slides) + 1)
    return zip_of(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relationships(("r1", "officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"<p:presentation {_DRAWING}><p:sldIdLst>"
            + "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in numbers)
            + "</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": relationships(
                *((f"r{n}", "slide", f"slides/slide{n}.xml") for n in numbers)
            ),
            **{
                f"ppt/slides/slide{index + 1}.xml": f'<p:sld {_DRAWING} show="{int(index not in hidden)}"><p:cSld>'
                f"<p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
                for index, shapes in enumerate(slides)
            },
            **(parts or {}),
        }
    )


def shape(text: str, kind: str | None = None, *, level: int = 0, hidden: bool = False) -> str:
    """A shape with one paragraph a line; `kind` makes it a placeholder."""
    holder = "" if kind is None else f'<p:ph type="{kind}"/>'
    lines = "".join(
        f'<a:p><a:pPr lvl="{level}"/><a:r><a:t>{line}</a:t></a:r></a:p>' for line in text.split("\n") if line
    )
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="x" hidden="{int(hidden)}"/><p:nvPr>{holder}</p:nvPr></p:nvSpPr>'
        f"<p:txBody>{lines}</p:txBody></p:sp>"
    )


def notes_of(slide: int, text: str) -> dict[str, str]:
    """The parts that give a slide its notes."""
    return {
        f"ppt/slides/_rels/slide{slide}.xml.rels": relationships(("n1", "notesSlide", "../notesSlides/notes.xml")),
        "ppt/notesSlides/notes.xml": f"<p:notes {_DRAWING}><p:cSld><p:spTree>{shape(text, 'body')}"
        "</p:spTree></p:cSld></p:notes>",
    }


def xlsx(
    sheets: Mapping[str, str],
    *,
    states: Mapping[str, str] | None = None,
    shared: Sequence[str] = (),
    since_1904: bool = False,
    columns: str = "",
) -> bytes:
    """A workbook of sheets by name, each given as its rows' XML. Format 1 is a date, 2 a custom one, 3 a percentage."""
    numbered = list(enumerate(sheets.items(), start=1))
    return zip_of(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relationships(("r1", "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook {_SHEET}><workbookPr date1904="{int(since_1904)}"/><sheets>'
            + "".join(
                f'<sheet name="{name}" sheetId="{n}" state="{(states or {}).get(name, "visible")}" r:id="s{n}"/>'
                for n, (name, _) in numbered
            )
            + "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": relationships(
                *((f"s{n}", "worksheet", f"worksheets/sheet{n}.xml") for n, _ in numbered),
                ("t", "sharedStrings", "sharedStrings.xml"),
                ("f", "styles", "styles.xml"),
            ),
            "xl/sharedStrings.xml": f"<sst {_SHEET}>" + "".join(f"<si>{text}</si>" for text in shared) + "</sst>",
            "xl/styles.xml": f'<styleSheet {_SHEET}><numFmts><numFmt numFmtId="170" formatCode="[$-409]d\\-mmm;@"/>'
            '<numFmt numFmtId="171" formatCode="0.0&quot;days&quot;"/></numFmts><cellXfs><xf numFmtId="0"/>'
            '<xf numFmtId="14"/><xf numFmtId="170"/><xf numFmtId="171"/></cellXfs></styleSheet>',
            **{
                f"xl/worksheets/sheet{n}.xml": f'<worksheet {_SHEET}><dimension ref="A1:XFD1048576"/>{columns}'
                f"<sheetData>{rows}</sheetData></worksheet>"
                for n, (_, rows) in numbered
            },
        }
    )


def epub(
    chapters: Mapping[str, str], *, encrypted: Sequence[str] = (), order: Sequence[str] = (), title: str = "A Book"
) -> bytes:
    """A book of XHTML documents by name; the spine is `order`, or all of them."""
    names = list(chapters)
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in names)
    spine = "".join(f'<itemref idref="{n}"/>' for n in order or names)
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title><dc:creator>Ada</dc:creator>'
        f"</metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
        **{f"OEBPS/{name}": text for name, text in chapters.items()},
    }
    if encrypted:
        parts["META-INF/encryption.xml"] = (
            '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            + "".join(f'<CipherReference URI="{name}"/>' for name in encrypted)
            + "</encryption>"
        )
    return zip_of(parts)


def pdf(pages: Sequence[str], *, title: str = "", extra: str = "") -> bytes:
    """Pages of text, a line a line; a line that begins with `# ` is set in 24 points, the others in 12."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{4 + 2 * n} 0 R' for n in range(len(pages)))}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, page in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * n} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> {extra} >>"
        )
        drawn = _drawn(page)
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    if title:
        objects.append(f"<< /Title ({title}) >>")
    return pdf_of(objects, info=f"/Info {len(objects)} 0 R" if title else "")


def _drawn(page: str) -> str:
    height, operators = 780, []
    for line in page.split("\n"):
        size = 24 if line.startswith("# ") else 12
        operators.append(f"BT /F1 {size} Tf 1 0 0 1 50 {height} Tm ({line.removeprefix('# ')}) Tj ET")
        height -= size + 2
    return "\n".join(operators)


def pdf_of(objects: Sequence[str], *, info: str = "", previous: int | None = None) -> bytes:
    """Objects numbered from 1, the first of them the catalogue, with a correct table of where they are."""
    written = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = len(written)
    written += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
    for place in places:
        written += f"{place:010} 00000 n \n".encode()
    again = f"/Prev {table if previous is None else previous} " if previous is not None else ""
    trailer = f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R {again}{info} >>\nstartxref\n{table}\n%%EOF\n"
    return bytes(written + trailer.encode("latin-1"))


def eml(body: str, *, content_type: str = "text/plain; charset=utf-8", headers: str = "") -> bytes:
    """A message from Ada to Grace."""
    return (
        f"From: Ada <ada@example.org>\r\nTo: grace@example.org\r\nSubject: =?utf-8?q?Engines_=E2=9A=99?=\r\n"
        f"Date: Mon, 2 Feb 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n{headers}"
        f"Content-Type: {content_type}\r\n\r\n{body}"
    ).encode()


def deflated_zeros(gigabytes: int) -> bytes:
    """A raw deflate stream of that many zeros, made without compressing them all."""
    megabyte = bytes(1_000_000)
    first = zlib.compressobj(9, zlib.DEFLATED, -15)
    repeated = first.compress(megabyte) + first.flush(zlib.Z_FULL_FLUSH)  # after it the stream begins anew
    return repeated * (gigabytes * 1_000) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def with_content(archive: bytes, name: str, deflated: bytes, said_bytes: int) -> bytes:
    """The archive with that member's compressed bytes replaced, whatever its checksum; its size is what is said."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for member, content in parts_of(archive).items():
            if member != name:
                new.writestr(member, content)
        information = zipfile.ZipInfo(name)
        information.compress_type = zipfile.ZIP_STORED
        new.writestr(information, deflated)
        for written in new.infolist():
            if written.filename == name:  # only the table at the end is asked
                written.compress_type = zipfile.ZIP_DEFLATED
                written.file_size = said_bytes
    patched = bytearray(file.getvalue())
    local = patched.index(b"PK\x03\x04", information.header_offset)
    patched[local + 8 : local + 10] = zipfile.ZIP_DEFLATED.to_bytes(2, "little")
    return bytes(patched)
