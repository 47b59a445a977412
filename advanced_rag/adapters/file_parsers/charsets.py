"""Bytes to text when nobody says in which charset they are, or says it wrongly."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import Final

# UTF-32's little-endian mark begins with UTF-16's: the longer is asked first.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED: Final = re.compile(
    rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})|<meta[^>]{0,400}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN_BYTES: Final = 65_536  # browsers stop at 1,024; pages with more in front of it exist
_HIGH_BYTE: Final = re.compile(rb"[\x80-\xff]")
_CONTEXT_BYTES: Final = 512
_SAMPLE_BYTES: Final = 65_536
_ISO_2022_ESCAPE: Final = b"\x1b$"
# WHATWG Encoding Standard, section 4.2: what pages call Latin-1 or ASCII is windows-1252, what they call Shift JIS or
# GB2312 is Microsoft's superset of it.
_BROWSER_MEANING: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
_WESTERN: Final = "cp1252"
_MIN_WIDE_BYTES: Final = 8
_WIDE_SAMPLE_BYTES: Final = 4_096
_MANY: Final = 0.6
_FEW: Final = 0.05
_UTF8_SEQUENCE: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MOSTLY_UTF8: Final = 0.9


@dataclass(frozen=True, slots=True)
class DecodedText:
    """`text` without byte order mark, and the name of the charset that it was read in."""

    text: str
    charset: str


def decoded(data: bytes, declared: str | None = None) -> DecodedText:
    """Every byte string is some text: what the charset cannot say becomes U+FFFD, so this never raises.

    Asked in this order: byte order mark, the zero bytes of UTF-16 and UTF-32, strict UTF-8, what `declared` or the
    beginning of an HTML or XML file says, UTF-8 with a few broken bytes, and statistics. A declaration counts only if
    the bytes are valid in it.
    """
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return DecodedText(data[len(mark) :].decode(charset, errors="replace"), charset)
    wide = _wide_charset(data)
    if wide is not None:
        return DecodedText(data.decode(wide, errors="replace"), wide)
    if _ISO_2022_ESCAPE in data and (text := _strictly(data, "iso2022_jp")) is not None:
        return DecodedText(text, "iso2022_jp")
    candidates = ("utf-8", _known(declared), _known(_declared_inside(data)))
    for candidate in candidates:
        if candidate is not None and (text := _strictly(data, candidate)) is not None:
            return DecodedText(text, candidate)
    sample = _telling_sample(data)
    charset = "utf-8" if _mostly_utf8(sample) else _likely_charset(sample)
    return DecodedText(data.decode(charset, errors="replace"), charset)


def _wide_charset(data: bytes) -> str | None:
    """UTF-16 or UTF-32 of mostly Western text shows in where its zero bytes stand."""
    sample = data[:_WIDE_SAMPLE_BYTES]
    if len(sample) < _MIN_WIDE_BYTES:
        return None
    zeros = [sample[lane::4].count(0) / len(sample[lane::4]) for lane in range(4)]
    filled = tuple(share < _FEW for share in zeros)
    empty = tuple(share > _MANY for share in zeros)
    patterns = {
        "utf-32-le": (filled[0], empty[1], empty[2], empty[3]),
        "utf-32-be": (empty[0], empty[1], empty[2], filled[3]),
        "utf-16-le": (filled[0], empty[1], filled[2], empty[3]),
        "utf-16-be": (empty[0], filled[1], empty[2], filled[3]),
    }
    return next((charset for charset, holds in patterns.items() if all(holds)), None)


def _declared_inside(data: bytes) -> str | None:
    match = _DECLARED.search(data[:_DECLARED_WITHIN_BYTES])
    return (match[1] or match[2]).decode("ascii") if match else None


def _known(name: str | None) -> str | None:
    """The codec that a declared name means, if it is one for text and can be what it says."""
    if not name:
        return None
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Those that got here are not wide: the declaration itself could be read byte by byte.
    if codec.name.startswith(("utf-16", "utf-32")):
        return None
    return _BROWSER_MEANING.get(codec.name, codec.name)


def _strictly(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset)
    except (UnicodeError, LookupError, ValueError):  # LookupError: a codec, but none from bytes to text
        return None


def _telling_sample(data: bytes) -> bytes:
    """Lines with bytes beyond ASCII, to a bounded length, each from a little before its first such byte."""
    sample = bytearray()
    for line in io.BytesIO(data):
        if (first := _HIGH_BYTE.search(line)) is not None:
            start = max(first.start() - _CONTEXT_BYTES, 0)
            sample += line[start : start + _SAMPLE_BYTES - len(sample)]
            if len(sample) >= _SAMPLE_BYTES:
                break
    return bytes(sample)


def _mostly_utf8(sample: bytes) -> bool:
    """A few broken bytes in what is otherwise UTF-8 must not turn all of its letters into something else."""
    high = len(_HIGH_BYTE.findall(sample))
    valid = sum(len(sequence) for sequence in _UTF8_SEQUENCE.findall(sample))
    return high > 0 and valid / high >= _MOSTLY_UTF8


def _likely_charset(sample: bytes) -> str:
    """By charset-normalizer; windows-1252 where that says no less for it.

    It prefers windows-1250 and DOS charsets for texts with few letters outside ASCII (3.5.2), which are Western far
    more often.
    """
    import charset_normalizer  # noqa: PLC0415 - 50 ms to import, and only files in old charsets need it

    matches = list(charset_normalizer.from_bytes(sample))
    if not matches:
        return _WESTERN
    best = matches[0]
    for match in matches:
        if _WESTERN in match.could_be_from_charset and (match.chaos, -match.coherence) <= (best.chaos, -best.coherence):
            return _WESTERN
    return best.encoding
