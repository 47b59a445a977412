"""The sample collection holds together: files, `handbook.jsonl` and judged questions."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build_examples import RENDERERS, documents, handbook, main, render_html, render_mail, render_rtf, tidy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BEST_GRADE = 2
COLUMNS = "path,title,lang,source,type,year,author,created_at,tags\n"


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {document["id"]: document["text"] for document in lines_of("handbook.jsonl")}


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return lines_of("questions.jsonl")


def test_the_collection_is_in_step_with_its_files() -> None:
    assert (EXAMPLES / "handbook.jsonl").read_text("utf-8") == handbook(), "run python scripts/build_examples.py"


def test_checking_says_by_the_exit_status_whether_they_are_in_step(tmp_path: Path) -> None:
    (tmp_path / "handbook" / "rescue").mkdir(parents=True)
    (tmp_path / "handbook" / "rescue" / "a.md").write_text("# A\n\nText.\n")
    (tmp_path / "catalog.csv").write_text(
        f"{COLUMNS}rescue/a.md,,en,handbook,guide,2025,,2025-01-06T08:00:00Z,one;two\n"
    )
    assert main(["--check"], tmp_path) == 1
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0


def test_every_format_and_both_languages_are_there() -> None:
    suffixes = {path.suffix for path in (EXAMPLES / "handbook").rglob("*") if path.is_file()}
    assert suffixes == set(RENDERERS)
    assert {document["metadata"]["lang"] for document in documents()} == {"en", "de"}


def test_ids_are_unique_and_texts_and_titles_are_not_empty() -> None:
    found = documents()
    assert len({document["id"] for document in found}) == len(found)
    assert all(document["text"].strip() and document["title"].strip() for document in found)


def test_metadata_is_of_the_declared_types() -> None:
    for document in documents():
        metadata = document["metadata"]
        assert {type(metadata[name]) for name in ("source", "lang", "type")} == {str}
        assert type(metadata["year"]) is int
        assert datetime.fromisoformat(metadata["created_at"]).tzinfo is not None
        assert metadata["tags"]
        assert all(tag and isinstance(tag, str) for tag in metadata["tags"])
        assert isinstance(metadata.get("author", "nobody"), str)


def test_a_file_that_the_catalogue_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "handbook" / "rescue").mkdir(parents=True)
    (tmp_path / "handbook" / "rescue" / "stray.md").write_text("# Stray\n")
    (tmp_path / "catalog.csv").write_text(COLUMNS)
    with pytest.raises(ValueError, match=r"rescue/stray\.md"):
        documents(tmp_path)


def test_there_are_forty_questions_and_eight_have_no_answer(questions: list[dict[str, Any]]) -> None:
    assert len({question["id"] for question in questions}) == 40
    assert sum(not question["answerable"] for question in questions) == 8


def test_every_relevant_document_exists(questions: list[dict[str, Any]], texts: dict[str, str]) -> None:
    for question in questions:
        assert question["relevant"].keys() <= texts.keys(), question["id"]
        assert set(question["relevant"].values()) <= {1, BEST_GRADE}, question["id"]


def test_every_answer_occurs_in_a_document_of_the_best_grade(
    questions: list[dict[str, Any]], texts: dict[str, str]
) -> None:
    for question in questions:
        if question["answerable"]:
            best = [texts[id_] for id_, grade in question["relevant"].items() if grade == BEST_GRADE]
            assert any(question["answer"] in text for text in best), question["id"]


def test_a_question_without_an_answer_has_no_judgement(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        if not question["answerable"]:
            assert question["relevant"] == {}
            assert "answer" not in question


@given(st.text())
def test_tidying_twice_changes_nothing(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


def test_html_keeps_what_a_reader_sees() -> None:
    page = "<head><title>T</title><style>x</style></head><nav>n</nav><h2>H &amp; J</h2><ul><li>a</li> <li>b</li></ul>"
    rendered = render_html(page + "<table><tr><th>k</th><td>v</td></tr></table><script>s</script>")
    assert rendered.title == "T"
    assert tidy(rendered.text) == "## H & J\n\n- a\n- b\n\nk | v"


def test_rtf_keeps_the_body_and_the_title_of_the_info_group() -> None:
    rendered = render_rtf(r"{\rtf1{\fonttbl{\f0 Arial;}}{\info{\title Öl}{\author X}}\b H\'fctte\b0\par a\{b\}}")
    assert rendered.title == "Öl"
    assert rendered.text == "Hütte\na{b}"


def test_of_a_mails_alternatives_the_plain_one_is_taken() -> None:
    mail = (
        "Subject: =?utf-8?q?F=C3=BCr_alle?=\nFrom: a@x.example\nDate: Tue, 10 Jun 2025 10:15:00 +0200\n"
        'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="b"\n\n'
        "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nh=C3=BC\n"
        "--b\nContent-Type: text/html\n\n<p>no</p>\n--b--\n"
    )
    rendered = render_mail(mail)
    assert rendered.title == "Für alle"
    assert rendered.text.endswith("\n\nhü")
    assert "no" not in rendered.text.split("\n\n", 1)[1]
