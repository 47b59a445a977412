"""The process that reads one file: `python -I -c "…child.main()" REQUEST`, one answer on its standard output.

The answer is one line of JSON, then the text in UTF-8 up to the end. The file is opened and looked at only after the
process has confined itself.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from advanced_rag.adapters.file_parsers.confinement import confine, reach_nothing
from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.reading import file_type, parsed, reader_of
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.adapters.file_parsers.source import Source
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile

_OUT: Final = 1


def request(path: Path, file_name: str, limits: ParseLimits, parent: int) -> str:
    """The child's one argument, in ASCII whatever the names are."""
    return json.dumps({"path": str(path), "file_name": file_name, "limits": asdict(limits), "parent": parent})


def main() -> None:
    """Ends the process without ceremony: taking down what a hostile file has built up can take longer than reading."""
    asked = json.loads(sys.argv[1])
    limits = ParseLimits(**asked["limits"])
    # Whatever a library prints must not end up in the answer.
    answer = os.dup(_OUT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), _OUT)
    confine(limits, asked["parent"])
    _write_all(answer, _answer(Path(asked["path"]), asked["file_name"], limits))
    os._exit(0)


def _answer(path: Path, file_name: str, limits: ParseLimits) -> bytes:
    try:
        return encoded(_read(path, file_name, limits))
    except FileRefused as error:
        return _encoded_refusal(error, error.__cause__)
    except MemoryError as error:
        return _encoded_refusal(too_large("The file needs more memory than reading it is worth."), error)


def _encoded_refusal(refusal: FileRefused, cause: BaseException | None) -> bytes:
    head = {"code": refusal.code, "reason": str(refusal), "cause": _place(cause) if cause is not None else ""}
    return json.dumps(head).encode() + b"\n"


def encoded(file: ParsedFile) -> bytes:
    """The answer that says what the file says."""
    head: dict[str, Any] = {
        "title": file.title,
        "media_type": file.media_type,
        "pages": [[page.number, page.start] for page in file.pages],
        "metadata": dict(file.metadata),
    }
    return json.dumps(head).encode() + b"\n" + file.text.encode()


def _read(path: Path, file_name: str, limits: ParseLimits) -> ParsedFile:
    try:
        with path.open("rb") as opened:
            data = opened.read(limits.input_bytes + 1)
    except OSError as error:
        raise unreadable("The file cannot be opened.") from error
    if len(data) > limits.input_bytes:
        raise too_large(f"The file is larger than {limits.input_bytes:,} bytes.")
    source = Source(data, file_name, limits)
    kind = file_type(source)
    reader = reader_of(kind)  # before the door closes: an import may write its compiled form
    reach_nothing()
    return parsed(source, kind, reader)


def _place(error: BaseException) -> str:
    """Where it was raised, without a word of the file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{where}"


def _write_all(descriptor: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(descriptor, view) :]
