"""Files of every kind into the running service, through the command line and over HTTP, and questions about them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import EXAMPLES
from tests.servers.service import ServiceProcess
from tests.unit.adapters.file_parsers import made_files as made

ROOT = EXAMPLES.parent
# A phrase of each, in the words of the parsed text.
HANDBOOK = {
    "rescue/search-dogs.txt": "The Cooperative has four search dogs: Brisk, Juno, Moss and Tilla.",
    "rescue/night-search.md": "A night search needs the consent of the team leader",
    "rescue/medical-kit.html": "There are five medical rucksacks, numbered MR-1 to MR-5.",
    "rescue/vehicle-fleet.csv": "quad bike on tracks",
    "weather/alarm-thresholds.json": "South Post and hut wardens",
    "weather/outage-notice.eml": "The\nmast gets new guy wires",
    "members/exam-rules.rtf": "a good knot does not make up for a poor anchor",
}


@pytest.fixture
def uploaded(client: httpx.Client) -> Iterator[list[str]]:
    """Ids to be deleted afterwards: the service is shared, and rankings of other tests must not see these."""
    ids: list[str] = []
    yield ids
    for name in ids:
        client.delete(f"/v1/documents/{name}")


def command_line(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "advanced_rag", "ingest", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def retrieved(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = client.post("/v1/retrieve", json={"query": query, "top_k": 10})
    assert answer.status_code == httpx.codes.OK, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def left_behind(service: ServiceProcess) -> list[Path]:
    return [path for path in (service.folder / "data" / "uploads").glob("*/*") if path.name != ".lock"]


@pytest.mark.req("R6.14")
def test_a_folder_of_files_goes_in_by_the_command_line_and_each_yields_its_phrase(
    service: ServiceProcess, client: httpx.Client, uploaded: list[str], tmp_path: Path
) -> None:
    for name in HANDBOOK:
        (tmp_path / "handed" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLES / "handbook" / name, tmp_path / "handed" / name)
    uploaded.extend(HANDBOOK)
    first = command_line(tmp_path / "handed", "--url", service.url, "--metadata", '{"lang": "en"}')
    assert (first.returncode, first.stdout) == (0, f"{len(HANDBOOK)} indexed\n"), first.stderr
    for name, phrase in HANDBOOK.items():
        document = client.get(f"/v1/documents/{name}").json()
        assert phrase in document["text"], name
        assert document["metadata"]["file_name"] == name
        assert document["metadata"]["lang"] == "en"
        assert name in {result["document_id"] for result in retrieved(client, phrase)}, name
    again = command_line(tmp_path / "handed", "--url", service.url, "--metadata", '{"lang": "en"}')
    assert (again.returncode, again.stdout) == (0, f"{len(HANDBOOK)} unchanged\n"), again.stderr
    assert left_behind(service) == []


@pytest.mark.req("R6.14", "R8.10")
def test_packed_files_say_their_page_and_a_hostile_one_keeps_no_other_out(
    service: ServiceProcess, client: httpx.Client, uploaded: list[str]
) -> None:
    paragraph = " ".join(f"Rule {number} of the walrus ferry is to wait." for number in range(40))
    files = {
        "ferry.pdf": made.pdf([paragraph, paragraph, "The walrus ferry leaves Port Quillon at dusk."]),
        "ferry.docx": made.docx(made.paragraph("The walrus ferry has a zinc bell.")),
        "ferry.pptx": made.pptx([made.shape("Slide one."), made.shape("The walrus ferry carries nine goats.")]),
        "ferry.xlsx": made.xlsx({"Fares": '<row><c t="str"><v>walrus ferry fare 31 florins</v></c></row>'}),
        "ferry.epub": made.epub({"a.xhtml": "<p>The walrus ferry was built by two sisters.</p>"}),
        "empty.pdf": b"",
        "unknown.bin": bytes(range(256)) * 4,
    }
    uploaded.extend(files)
    answer = client.post("/v1/ingest/files", files=[("files", file) for file in files.items()])
    assert answer.status_code == httpx.codes.OK, answer.text
    outcomes = {line["id"]: line for line in answer.json()["documents"]}
    assert list(outcomes) == list(files)
    failed = {name: line["error"]["code"] for name, line in outcomes.items() if line["status"] == "failed"}
    assert failed == {"empty.pdf": "unreadable-file", "unknown.bin": "unsupported-media-type"}
    by_page = {
        (result["document_id"], result.get("page")): result["text"]  # where it begins: it may end on the next one
        for query in ("walrus ferry Port Quillon dusk", "walrus ferry nine goats", "walrus ferry zinc bell")
        for result in retrieved(client, query)
    }
    assert any("Port Quillon" in text for (name, _), text in by_page.items() if name == "ferry.pdf")
    assert {page for name, page in by_page if name == "ferry.pdf"} <= {1, 2, 3}
    assert "goats" in by_page["ferry.pptx", 1]
    assert "zinc bell" in by_page["ferry.docx", None]
    said = client.post("/v1/chat", json={"message": "Where does the walrus ferry leave at dusk?"}).json()
    assert ("ferry.pdf", 3) in {(each["document_id"], each.get("page")) for each in said["citations"]}
    assert left_behind(service) == []
