"""What `ingest` is to send: files and documents below the given paths, in batches that one request takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from advanced_rag.constants import MAX_UPLOAD_BODY_BYTES, MAX_UPLOAD_FILES

_TEXT_SUFFIXES: Final = (
    ".txt",
    ".text",
    ".md",
    ".markdown",
    ".html",
    ".htm",
    ".xhtml",
    ".csv",
    ".tsv",
    ".json",
    ".eml",
)
_PACKED_SUFFIXES: Final = (".pdf", ".docx", ".pptx", ".xlsx", ".epub", ".rtf")
READ_SUFFIXES: Final = frozenset({*_TEXT_SUFFIXES, *_PACKED_SUFFIXES})
DOCUMENTS_SUFFIX: Final = ".jsonl"
# Far below what the service takes: a batch must arrive within half a minute, on slow lines too.
MAX_BATCH_BYTES: Final = 8_000_000
MAX_DOCUMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and the name that it is sent under: its path below the folder that was named."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One document of a `.jsonl` file; `name` says where it stands."""

    name: str
    document: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """What cannot be sent, and why."""

    name: str
    reason: str


Source = SourceFile | DocumentLine


@dataclass(slots=True)
class Found:
    """The sources below the given paths; `skipped` counts what folders hold besides."""

    files: list[SourceFile] = field(default_factory=list)
    collections: list[Path] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    skipped: int = 0


def found(paths: Iterable[Path]) -> Found:
    """Walk: what is named itself is always sent, of folders what has a known suffix and is not hidden."""
    result = Found()
    taken: set[str] = set()
    for path in paths:
        if path.is_dir():
            for file in _below(path):
                if file.suffix.lower() in READ_SUFFIXES | {DOCUMENTS_SUFFIX}:
                    _add(result, taken, file, file.relative_to(path).as_posix())
                else:
                    result.skipped += 1
        else:
            _add(result, taken, path, path.name)
    return result


def batches(given: Iterable[Source | Unusable]) -> Iterator[Sequence[Source] | Unusable]:
    """Sources of one kind together, as many as one request takes; what cannot be sent comes by itself."""
    batch: list[Source] = []
    size = 0
    for source in given:
        if isinstance(source, Unusable):
            yield source
            continue
        most = MAX_UPLOAD_FILES if isinstance(source, SourceFile) else MAX_DOCUMENTS
        if batch and (type(batch[0]) is not type(source) or len(batch) == most or size + source.size > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += source.size
    if batch:
        yield batch


def documents(path: Path) -> Iterator[DocumentLine | Unusable]:
    """The documents of a `.jsonl` file, one a line, each as `POST /v1/ingest` takes it."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            name = f"{path.name}:{number}"
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                yield Unusable(name, "the line is not JSON")
                continue
            if isinstance(document, dict):
                yield DocumentLine(name, document, len(line))
            else:
                yield Unusable(name, "the line is no JSON object")


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _add(result: Found, taken: set[str], path: Path, name: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        result.unusable.append(Unusable(name, error.strerror or "it cannot be opened"))
        return
    if path.suffix.lower() == DOCUMENTS_SUFFIX:
        result.collections.append(path)
    elif size > MAX_UPLOAD_BODY_BYTES:
        result.unusable.append(Unusable(name, f"it is larger than {MAX_UPLOAD_BODY_BYTES:,} bytes"))
    elif name in taken:
        result.unusable.append(Unusable(name, "another file of this run has the same name: send it by itself"))
    else:
        taken.add(name)
        result.files.append(SourceFile(name, path, size))
