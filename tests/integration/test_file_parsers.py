"""Real, damaged and hostile files through real child processes: phrases found, limits kept, nothing fetched or left."""

from __future__ import annotations

import asyncio
import csv
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile
from tests.servers.processes import is_running, process_tree, wait_until
from tests.unit.adapters.file_parsers import hostile_files
from tests.unit.adapters.file_parsers.children import children, descriptors, endless, parser

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.xdist_group("file_parsers"),
]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT.parent / "shared" / "data" / "documents"
LIMIT_S = 35.0  # reliability R8.10
NO_PHRASE = "-"
# What must never be in an answer: hidden text, scripts, and files of this machine.
NEVER = ("IGNORE ALL PREVIOUS INSTRUCTIONS", "do not index me", "cool script", "root:x:0:0")


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: ParsedFile | None
    refusal: str
    seconds: float

    def says(self, phrase: str) -> bool:
        return self.file is not None and " ".join(phrase.split()) in " ".join(self.file.text.split())


async def outcomes(paths: Mapping[str, Path], limits: ParseLimits | None = None) -> dict[str, Outcome]:
    """All of them through one parser, as many at once as it lets."""
    files = parser(limits, max_waiters=len(paths), max_wait_s=600)

    async def one(name: str, path: Path) -> Outcome:
        # The permit's wait is not the file's: R8.10's limits count from the start of its child.
        async with turns:
            started = time.monotonic()
            try:
                file = await files.parse(path, file_name=name)
            except FileRefused as refused:
                return Outcome(None, str(refused), time.monotonic() - started)
            return Outcome(file, "", time.monotonic() - started)

    turns = asyncio.Semaphore(2)
    read = await asyncio.gather(*(one(name, path) for name, path in paths.items()))
    return dict(zip(paths, read, strict=True))


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before, open_before = children(), descriptors()
    yield
    wait_until(lambda: children() <= before, within_s=20, what="no child is left")
    assert len(descriptors()) <= len(open_before) + 1  # the fixture's own look into the folder


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, str]]:
    if not (DOCUMENTS / "MANIFEST.tsv").is_file():
        pytest.skip(f"the collection of documents is not beside the repository ({DOCUMENTS.name})")
    with (DOCUMENTS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def collection(manifest: list[dict[str, str]]) -> dict[str, Outcome]:
    """The whole collection, read once."""
    return asyncio.run(outcomes({row["file"]: DOCUMENTS / row["file"] for row in manifest}))


def of_kind(manifest: Sequence[dict[str, str]], kind: str) -> list[dict[str, str]]:
    return [row for row in manifest if row["kind"] == kind]


def test_every_good_document_yields_its_phrase(manifest: list[dict[str, str]], collection: dict[str, Outcome]) -> None:
    good = of_kind(manifest, "good")
    missing = {
        row["file"]: collection[row["file"]].refusal or "read, but without its phrase"
        for row in good
        if not collection[row["file"]].says(row["phrase"])
    }
    print(f"good: {len(good) - len(missing)} of {len(good)} say their phrase")
    assert missing == {}


@pytest.mark.req("R8.10")
@pytest.mark.parametrize("kind", ["damaged", "hostile"])
def test_every_other_document_says_its_phrase_or_is_refused(
    manifest: list[dict[str, str]], collection: dict[str, Outcome], kind: str
) -> None:
    counts: Counter[str] = Counter()
    for row in of_kind(manifest, kind):
        outcome = collection[row["file"]]
        if outcome.file is None:
            counts["refused"] += 1
            assert outcome.refusal.endswith("."), row["file"]
        elif row["phrase"] != NO_PHRASE:
            counts["says its phrase"] += 1
            assert outcome.says(row["phrase"]), row["file"]
        else:
            counts["read, has no phrase"] += 1
            assert len(outcome.file.text) < 10, row["file"]
    print(f"{kind}: {dict(counts)}")
    assert counts.total() > 0


@pytest.mark.req("R8.10", "R8.4")
def test_no_document_takes_too_long_or_says_what_is_hidden(collection: dict[str, Outcome]) -> None:
    slowest = max(collection, key=lambda name: collection[name].seconds)
    print(f"slowest: {slowest} with {collection[slowest].seconds:.1f} s")
    assert collection[slowest].seconds < LIMIT_S
    for name, outcome in collection.items():
        if outcome.file is not None:
            assert not any(secret in outcome.file.text for secret in NEVER), name
            assert "\x00" not in outcome.file.text, name


def test_documents_keep_their_structure(collection: dict[str, Outcome]) -> None:
    def file(name: str) -> ParsedFile:
        found = collection[name].file
        assert found is not None, collection[name].refusal
        return found

    paper = file("unst_multi-column-2p.pdf")
    assert [page.number for page in paper.pages] == [1, 2]
    assert "## 1 Introduction\n\n" in paper.text
    assert paper.title.startswith("Dense Passage Retrieval")
    assert "- Timescales and conduct of development" in file("unst_list-item-example.pdf").text
    assert "# Heading Level 1\n\n## Heading Level 2\n\n### Heading Level 3" in file("tika_testWORD.docx").text
    assert (
        "| Header Col 1 | Header Col 2 |\n| --- | --- |\n| Lorem ipsum | A link example |"
        in file("unst_docx-tables.docx").text
    )
    assert [page.number for page in file("unst_eng_spa_mult.pptx").pages] == [1, 2, 3, 4, 5, 6]
    assert len(file("unst_2023-half-year-analyses-by-segment.xlsx").pages) == 5


@pytest.mark.req("R8.10")
def test_every_kind_of_hostile_file_is_read_or_refused_in_time(tmp_path: Path) -> None:
    hostile = hostile_files.everything()
    paths: dict[str, Path] = {}
    for name, data, _ in hostile:
        paths[name] = tmp_path / name
        paths[name].write_bytes(data)
    read = asyncio.run(outcomes(paths))
    for name, outcome in sorted(read.items(), key=lambda item: -item[1].seconds):
        print(f"{outcome.seconds:5.1f} s  {name}: {outcome.refusal or 'read'}")
        assert outcome.seconds < LIMIT_S, name
    may_be_read = {name for name, _, readable in hostile if readable}
    assert {name for name, outcome in read.items() if outcome.file is not None} <= may_be_read
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(paths)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def connections(server: socket.socket) -> int:
    """How many asked since the last look."""
    count = 0
    while True:
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            return count
        connection.close()
        count += 1


@pytest.mark.req("R8.4")
def test_nothing_is_fetched(tmp_path: Path, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    files = hostile_files.fetching(f"http://{host}:{port}")
    socket.create_connection((host, port)).close()
    assert connections(listener) == 1  # it would be seen
    # Here, where nothing forbids it: not even tried.
    said = 0
    for name, data in files.items():
        try:
            said += "text" in read_bytes(data, name, ParseLimits()).text
        except FileRefused:
            continue
    assert said >= len(files) // 2
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    asyncio.run(outcomes({name: tmp_path / name for name in files}))
    assert connections(listener) == 0
    print(f"{len(files)} files that ask for something, read twice: 0 connections")


SERVICE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.adapters.file_parsers.children import parser
asyncio.run(parser().parse(Path(sys.argv[1]), file_name="a.txt"))
"""


@pytest.mark.req("R6.3")
def test_a_service_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    waiting = endless(tmp_path)
    service = subprocess.Popen([sys.executable, "-c", SERVICE.format(root=str(ROOT)), str(waiting)])
    try:
        wait_until(lambda: len(process_tree(service.pid)) == 2, within_s=30, what="the child has started")
        child = process_tree(service.pid)[1]
        # It dies with its parent only once it has said so.
        here = Path(f"/proc/{child}/cwd")
        wait_until(lambda: "(deleted)" in str(here.readlink()), within_s=30, what="it has confined itself")
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
    wait_until(lambda: not is_running(child), within_s=5, what="the child is gone")
