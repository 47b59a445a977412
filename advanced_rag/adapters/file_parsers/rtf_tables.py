"""Rich Text Format's words: what they stand for and which groups hold no text (RTF specification 1.9.1)."""

from __future__ import annotations

from typing import Final

CHARACTERS: Final = {
    "tab": "\t",
    "line": "\n",
    "softline": "\n",
    "emdash": "\u2014",
    "endash": "\u2013",
    "emspace": " ",
    "enspace": " ",
    "qmspace": " ",
    "bullet": "\u2022",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
}
SYMBOLS: Final = {"~": "\u00a0", "_": "-", "\\": "\\", "{": "{", "}": "}"}
PARAGRAPH_ENDS: Final = frozenset({"par", "sect", "page", "column", "\n", "\r"})

# Destinations that are no part of the text, beside all that an asterisk marks as such.
WITHOUT_TEXT: Final = frozenset(
    [
        "colortbl",
        "filetbl",
        "pict",
        "objdata",
        "objclass",
        "objname",
        "objalias",
        "header",
        "headerl",
        "headerr",
        "headerf",
        "footer",
        "footerl",
        "footerr",
        "footerf",
        "fldinst",
        "listtable",
        "listoverridetable",
        "revtbl",
        "rsidtbl",
        "generator",
        "themedata",
        "colorschememapping",
        "latentstyles",
        "datastore",
        "xmlnstbl",
        "listtext",
        "pntext",
        "pnseclvl",
        "nonshppict",
        "sp",
        "bkmkstart",
        "bkmkend",
        "atnid",
        "atnauthor",
        "annotation",
        "template",
        "ftnsep",
        "ftnsepc",
        "aftnsep",
        "aftnsepc",
        "tc",
        "xe",
        "private",
        "datafield",
    ]
)
TEXT_DESPITE_ASTERISK: Final = frozenset({"shpinst", "shptxt"})

CODE_PAGES: Final = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
# \fcharsetN
FONT_CHARSETS: Final = {
    0: "cp1252",
    77: "mac_roman",
    78: "shift_jis",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    254: "cp437",
    255: "cp850",
}
