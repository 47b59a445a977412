"""Names of files as strangers give them: for showing, and for an id. No path is ever made of one."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from advanced_rag.constants import MAX_FILE_NAME_CHARS, MAX_ID_CHARS

_NAMELESS: Final = "file"
_UNSAFE: Final = re.compile(r"[^\w.:@/-]+")
_ONLY_DOTS: Final = re.compile(r"\.*")
_MAX_SUFFIX_CHARS: Final = 16


def shown_name(given: str) -> str:
    """A file's name for people: one line of at most 255 characters, composed (Unicode NFC), without any `..` in it.

    Folders stay as they were given with `/`; what stands before a backslash is a path on the sender's machine.
    """
    local = given.rpartition("\\")[2]
    printable = "".join(character if character.isprintable() else " " for character in local)
    parts = [part.strip() for part in unicodedata.normalize("NFC", printable).split("/")]
    kept = "/".join(part for part in parts if _ONLY_DOTS.fullmatch(part) is None)
    return _shortened(kept, MAX_FILE_NAME_CHARS) or _NAMELESS


def document_id_of(name: str) -> str:
    """The id of a document that has none but its file's name: what an id cannot hold becomes `-`; never empty."""
    return _shortened(_UNSAFE.sub("-", shown_name(name)), MAX_ID_CHARS)


def _shortened(name: str, max_chars: int) -> str:
    """The name without what is too much before its suffix."""
    if len(name) <= max_chars:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = dot + suffix if stem and len(suffix) <= _MAX_SUFFIX_CHARS and "/" not in suffix else ""
    return name[: max_chars - len(ending)] + ending
