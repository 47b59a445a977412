"""`python -m advanced_rag ingest`: everything below the paths, each failure by name, an exit code to rely on."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.cli.ingest import Outcome, Sender
from advanced_rag.cli.ingest_sources import DocumentLine, SourceFile, Unusable, batches, documents, found
from advanced_rag.cli.main import main
from advanced_rag.cli.progress import ProgressLine
from advanced_rag.client.http_client import RagClient, ServiceError
from advanced_rag.constants import MAX_UPLOAD_FILES
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import BulkheadFull
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from tests.unit.cli.conftest import Served


def folder_of(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def line(**members: Any) -> str:
    return json.dumps(members) + "\n"


def test_a_folder_goes_in_under_the_paths_below_it(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(
        tmp_path / "handbook",
        {
            "huts/a.md": "one",
            "rescue/a.md": "two",
            "rescue/photo.png": b"\xff",
            ".hidden.md": "not sent",
            ".git/b.md": "not sent",
            "all.jsonl": line(id="d1", text="three") + "\n" + line(text="four"),
        },
    )
    arguments = ["ingest", str(folder), "--url", served.url, "--domain", "legal", "--metadata", '{"lang": "en"}']
    assert main(arguments) == 0
    assert sorted((document.id, document.text) for document in served.services.ingested if document.id) == [
        ("d1", "three"),
        ("huts/a.md", "one"),
        ("rescue/a.md", "two"),
    ]
    sent = next(document for document in served.services.ingested if document.id == "huts/a.md")
    assert (sent.domain, sent.metadata["lang"]) == ("legal", "en")
    output = capsys.readouterr()
    assert output.out == "4 indexed, 1 skipped: of no type that is read\n"
    assert output.err == ""


def test_what_fails_is_named_and_the_exit_code_says_so(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(
        tmp_path,
        {"a.txt": "fine", "b.pdf": b"\xff\xfe", "c.jsonl": "{\n[1]\n" + line(id="a b", text="x") + line(text="fine")},
    )
    assert main(["ingest", str(folder), str(tmp_path / "missing.md"), "--url", served.url]) == 1
    output = capsys.readouterr()
    assert output.out == "5 failed, 2 indexed\n"
    reasons = dict(entry.split(": ", 1) for entry in output.err.splitlines())
    assert reasons.keys() == {"b.pdf", "c.jsonl:1", "c.jsonl:2", "c.jsonl:3", "missing.md"}
    assert reasons["b.pdf"] == "The file is of a type that is not read here."
    assert reasons["missing.md"] == os.strerror(2)


def test_files_of_one_request_that_are_all_refused_each_say_why(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, {"a.txt": b"", "b.pdf": b"\xff"})
    assert main(["ingest", str(folder), "--url", served.url]) == 1
    reasons = capsys.readouterr().err
    assert "a.txt: 422: 1 field was refused." in reasons
    assert "b.pdf: 415: The file is of a type that is not read here." in reasons


def test_a_repeat_is_said_to_be_unchanged(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served.services.outcome_of = lambda given: IngestOutcome(DocumentId(given.id or ""), IngestStatus.UNCHANGED, 1, 1)
    folder = folder_of(tmp_path, {f"{number}.txt": "x" for number in range(MAX_UPLOAD_FILES * 2 + 1)})
    assert main(["ingest", str(folder), "--url", served.url]) == 0
    assert capsys.readouterr().out == f"{MAX_UPLOAD_FILES * 2 + 1} unchanged\n"


def test_nothing_to_send_is_a_failure(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", str(tmp_path), "--url", served.url]) == 1
    assert capsys.readouterr().err == "nothing to send\n"


class Unwell(RagClient):
    """Fails so many times with that problem before it is well."""

    def __init__(self, served: Served, problem: ServiceError, times: int) -> None:
        super().__init__(served.url)
        self.problem, self.times = problem, times

    def upload(self, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
        if self.times:
            self.times -= 1
            raise self.problem
        return super().upload(*arguments, **options)


def sent(client: RagClient, tmp_path: Path, waits: list[float]) -> list[Outcome]:
    path = folder_of(tmp_path, {"a.txt": "x"}) / "a.txt"
    with client:
        return Sender(client, sleep=waits.append).send([SourceFile("a.txt", path, 1)])


def test_a_busy_service_is_waited_for_as_long_as_it_asks(served: Served, tmp_path: Path) -> None:
    waits: list[float] = []
    client = Unwell(served, ServiceError(429, {"detail": "slow down", "retry_after": 7}), times=3)
    assert sent(client, tmp_path, waits) == [("a.txt", "indexed", "")]
    assert waits == [7.0, 7.0, 7.0]


def test_a_service_that_stays_busy_is_a_failure_in_the_end(served: Served, tmp_path: Path) -> None:
    served.services.parser.refusal_of = lambda _: BulkheadFull("file_parser is busy")
    waits: list[float] = []
    ((name, status, reason),) = sent(RagClient(served.url), tmp_path, waits)
    assert (name, status) == ("a.txt", "failed")
    assert reason == "503: file_parser is busy"
    assert len(waits) == 7


def test_a_service_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    waits: list[float] = []
    with pytest.raises(ServiceError):
        sent(RagClient("http://127.0.0.1:1"), tmp_path, waits)
    assert len(waits) == 7


def test_batches_are_of_one_kind_and_no_larger_than_a_request_may_be() -> None:
    big = SourceFile("big", Path("big"), 60_000_000)
    small = [SourceFile(str(number), Path(str(number)), 1) for number in range(MAX_UPLOAD_FILES + 1)]
    document, unusable = DocumentLine("d", {}, 1), Unusable("u", "why")
    made = list(batches([big, *small, document, unusable]))
    assert made == [[big], small[:-1], small[-1:], unusable, [document]]


def test_files_that_would_be_one_document_are_not_both_sent(tmp_path: Path) -> None:
    first, second = folder_of(tmp_path / "a", {"x.md": "1"}), folder_of(tmp_path / "b", {"x.md": "2"})
    sources = found([first, second])
    assert [file.path for file in sources.files] == [first / "x.md"]
    assert [entry.name for entry in sources.unusable] == ["x.md"]


def test_a_deeply_nested_line_is_no_crash(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"a.jsonl": "[" * 100_000 + "\n"}) / "a.jsonl"
    assert [type(entry) for entry in documents(path)] == [Unusable]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_goes_away() -> None:
    terminal = Terminal()
    line = ProgressLine("sent", stream=terminal)
    line.show(2, 2, ", 1 failed")
    line.end()
    shown = terminal.getvalue().split("\r")
    assert shown[1] == f"[{'#' * 30}] 2/2 sent, 1 failed"
    assert shown[2].strip() == ""
    assert "\n" not in terminal.getvalue()


def test_nobody_watches_a_file() -> None:
    file = io.StringIO()
    line = ProgressLine("sent", stream=file)
    line.show(1, 2)
    line.end()
    assert file.getvalue() == ""
