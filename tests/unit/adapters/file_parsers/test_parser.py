"""A file is read in a child of its own; whatever becomes of the child, nothing of it stays."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.child import encoded
from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.parser import decoded_answer
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.exceptions import BulkheadFull, FileRefused, LoadShed
from advanced_rag.ports.parsing import PageStart, ParsedFile
from tests.unit.adapters.file_parsers import made_files as made
from tests.unit.adapters.file_parsers.children import children, descriptors, endless, eventually, parser, program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

EVERY_FORMAT = {
    "a.txt": b"text",
    "a.md": b"# text",
    "a.html": b"<html>text</html>",
    "a.pdf": made.pdf(["text"]),
    "a.docx": made.docx(made.paragraph("text")),
    "a.pptx": made.pptx([made.shape("text")]),
    "a.xlsx": made.xlsx({"A": '<row><c t="str"><v>text</v></c></row>'}),
    "a.csv": b"a,b\n1,2\n",
    "a.json": b'["text"]',
    "a.eml": made.eml("text"),
    "a.epub": made.epub({"a.xhtml": "<p>text</p>"}),
    "a.rtf": b"{\\rtf1 text}",
}


@pytest.fixture(autouse=True)
async def nothing_stays() -> AsyncIterator[None]:
    await asyncio.sleep(0)
    before, open_before = children(), descriptors()
    yield
    await eventually(lambda: children() <= before, "no child is left")
    await eventually(lambda: descriptors() <= open_before, "no descriptor is left")


def stored(folder: Path, data: bytes, name: str = "upload") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


async def test_every_format_is_read_as_it_would_be_here(tmp_path: Path) -> None:
    files = parser(max_waiters=len(EVERY_FORMAT))
    paths = {name: stored(tmp_path, data, f"{number}") for number, (name, data) in enumerate(EVERY_FORMAT.items())}
    read = await asyncio.gather(*(files.parse(path, file_name=name) for name, path in paths.items()))
    for (name, data), file in zip(EVERY_FORMAT.items(), read, strict=True):
        assert file == read_bytes(data, name, ParseLimits())


@pytest.mark.req("R8.10")
async def test_no_temporary_file_is_left_by_a_child_however_it_ends(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    files = parser(ParseLimits(wall_s=0.5), environment={"TMPDIR": str(temporary)})
    assert (await files.parse(stored(tmp_path, b"text"), file_name="a.txt")).text == "text"
    with pytest.raises(FileRefused, match="longer"):
        await files.parse(endless(tmp_path), file_name="a.txt")
    assert list(temporary.iterdir()) == []


async def test_odd_names_are_names(tmp_path: Path) -> None:
    path = stored(tmp_path, b"a,b\n1,2", "-c \udcff\n;$(id)")
    file = await parser().parse(path, file_name="../\x00\ud800'\"\n" + "x" * 5_000 + ".csv")
    assert file.media_type == "text/csv"
    assert "\x00" not in file.title


async def test_a_refusal_arrives_with_its_code_and_reason(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"^The file is empty\.$") as refused:
        await parser().parse(stored(tmp_path, b""), file_name="a.pdf")
    assert refused.value.code == "unreadable-file"
    with pytest.raises(FileRefused, match="cannot be opened"):
        await parser().parse(tmp_path / "missing", file_name="a.pdf")
    with pytest.raises(FileRefused, match="larger than 10 bytes") as refused:
        await parser(ParseLimits(input_bytes=10)).parse(stored(tmp_path, b"x" * 11), file_name="a.txt")
    assert refused.value.code == "payload-too-large"


@pytest.mark.req("R8.10")
async def test_a_child_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"longer than 0\.5 s") as refused:
        await parser(ParseLimits(wall_s=0.5)).parse(endless(tmp_path), file_name="a.txt")
    assert refused.value.code == "payload-too-large"


@pytest.mark.req("R8.10")
async def test_a_child_that_computes_too_much_is_killed(tmp_path: Path) -> None:
    path = stored(tmp_path, b"{\\rtf1 " + b"{}" * 6_000_000)
    with pytest.raises(FileRefused, match="1 s of computing"):
        await parser(ParseLimits(cpu_s=1)).parse(path, file_name="a.rtf")


@pytest.mark.req("R8.10")
async def test_a_child_that_needs_too_much_memory_is_refused_it(tmp_path: Path) -> None:
    path = stored(tmp_path, b"text " * 10_000_000)
    limits = ParseLimits(memory_bytes=160_000_000, text_bytes=60_000_000)
    with pytest.raises(FileRefused, match="memory") as refused:
        await parser(limits).parse(path, file_name="a.txt")
    assert refused.value.code == "payload-too-large"


@pytest.mark.req("R2.1", "R2.5")
async def test_no_more_children_than_permits(tmp_path: Path) -> None:
    files = parser(permits=2, max_waiters=0)
    before = children()
    paths = [endless(tmp_path, "one"), endless(tmp_path, "two")]
    tasks = [asyncio.create_task(files.parse(path, file_name="a.txt")) for path in paths]
    await eventually(lambda: len(children() - before) == 2, "two children are running")
    with pytest.raises(BulkheadFull):
        await files.parse(stored(tmp_path, b"text"), file_name="a.txt")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await files.parse(stored(tmp_path, b"text"), file_name="a.txt")).text == "text"


@pytest.mark.req("R2.5")
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
async def test_a_caller_that_is_cancelled_takes_its_child_with_it(tmp_path: Path, steps: int) -> None:
    files = parser(permits=1, max_waiters=0)
    task = asyncio.create_task(files.parse(endless(tmp_path), file_name="a.txt"))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await files.parse(stored(tmp_path, b"text"), file_name="a.txt")).text == "text"


async def test_cancelling_again_while_the_child_is_being_ended_changes_nothing(tmp_path: Path) -> None:
    before = children()
    task = asyncio.create_task(parser().parse(endless(tmp_path), file_name="a.txt"))
    await eventually(lambda: children() > before, "the child is running")
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() <= before


@pytest.mark.req("R6.16")
@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("kill -SEGV $$", "failed"),
        ("kill -ABRT $$", "failed"),
        ("kill -KILL $$", "memory"),
        ("kill -XCPU $$", "computing"),
        ("kill -ALRM $$", "longer"),
        ("exit 3", "failed"),
        ("exit 0", "usable answer"),
        ("echo nonsense", "usable answer"),
        ("echo []", "usable answer"),
        ("echo '{\"title\": 1}'", "usable answer"),
        ('echo \'{"reason": "x", "code": "drop-tables"}\'', "^x$"),
        ("yes", "bytes of text"),
    ],
)
async def test_a_file_that_kills_or_confuses_its_child_is_refused(tmp_path: Path, script: str, word: str) -> None:
    limits = ParseLimits(text_bytes=100_000)
    with pytest.raises(FileRefused, match=word):
        await parser(limits, python=program(tmp_path, script)).parse(tmp_path, file_name="a.txt")


async def test_a_child_that_cannot_start_is_not_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(LoadShed):
        await parser(python=program(tmp_path, "exit 1")).parse(tmp_path, file_name="a.txt")
    with pytest.raises(LoadShed):
        await parser(python=tmp_path / "missing").parse(tmp_path, file_name="a.txt")


async def test_a_child_that_has_a_child_is_killed_with_it(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(FileRefused, match="longer"):
        await parser(ParseLimits(wall_s=0.5), python=program(tmp_path, script)).parse(tmp_path, file_name="a.txt")
    grandchild = Path("/proc") / (tmp_path / "pid").read_text().strip()

    def is_gone() -> bool:
        try:
            return (grandchild / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    await eventually(is_gone, "the grandchild is gone")


@pytest.mark.req("R8.13")
async def test_a_child_sees_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG__AUTH__BOOTSTRAP_KEY", "hunter2")
    with pytest.raises(FileRefused):
        await parser(python=program(tmp_path, f"env > {tmp_path}/env")).parse(tmp_path, file_name="a.txt")
    assert "hunter2" not in (tmp_path / "env").read_text()


@pytest.fixture(scope="module", autouse=True)
def libuv() -> None:
    """Keeps a pipe of its own from its first loop on, which is nobody's leak."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


def test_it_works_on_the_loop_that_serves(tmp_path: Path) -> None:
    waiting = endless(tmp_path)

    async def main() -> None:
        files = parser(ParseLimits(wall_s=0.5), permits=1, max_waiters=0)
        assert (await files.parse(stored(tmp_path, b"text"), file_name="a.txt")).text == "text"
        with pytest.raises(FileRefused, match="longer"):
            await files.parse(waiting, file_name="a.txt")
        task = asyncio.create_task(files.parse(waiting, file_name="a.txt"))
        before = children()
        await eventually(lambda: children() > before, "the child is running")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() <= before

    before = descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert descriptors() <= before


FILES = st.builds(
    ParsedFile,
    text=st.text(min_size=1),
    title=st.text(),
    media_type=st.text(),
    pages=st.lists(st.builds(PageStart, st.integers(1, 9), st.just(0)), max_size=3).map(tuple),
    metadata=st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())),
)


@given(FILES)
def test_an_answer_arrives_as_it_was_given(file: ParsedFile) -> None:
    assert decoded_answer(encoded(file)) == file


@given(
    st.binary()
    | st.builds(
        lambda head, text: json.dumps(head).encode() + b"\n" + text,
        st.dictionaries(
            st.sampled_from(["title", "media_type", "pages", "metadata", "reason", "code", "cause"]),
            st.none()
            | st.text()
            | st.integers()
            | st.lists(st.lists(st.integers()))
            | st.dictionaries(st.text(), st.none()),
        ),
        st.binary(),
    )
)
def test_a_child_gone_mad_is_a_refusal(answer: bytes) -> None:
    try:
        file = decoded_answer(answer)
    except FileRefused:
        return
    assert all(0 <= page.start <= len(file.text) for page in file.pages)
