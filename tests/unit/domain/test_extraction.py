"""Extractive answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.documents import ChunkId, DocumentId, Passage
from advanced_rag.domain.extraction import (
    EvidenceSentence,
    ExtractiveAnswer,
    evidence_sentences,
    extractive_answer,
    term_overlaps,
)

NOTHING = "I found nothing in the documents that answers this."


def passage(text: str, *, document: str = "keys", start: int = 0) -> Passage:
    return Passage(
        chunk_id=ChunkId(f"c-{document}-{start}"),
        document_id=DocumentId(document),
        version=2,
        title="Key register",
        domain="",
        text=text,
        start=start,
        end=start + len(text),
        heading="",
        metadata={},
    )


def answer(passages: list[Passage], cosines: list[float], question: str = "", **bounds: int) -> ExtractiveAnswer:
    sentences = evidence_sentences(passages)
    return extractive_answer(
        passages,
        sentences,
        similarities=np.array(cosines, np.float32),
        overlaps=term_overlaps(question, passages, sentences),
        nothing_found=NOTHING,
        **bounds,
    )


texts = st.lists(
    st.sampled_from(
        ["Keys hang in B.", "Ask Ann [2].", "# Keys", "Where?", "東京です。", "\n\n", " ", "x" * 300, "- item\n", "🙂"]
    ),
    max_size=12,
).map("".join)


@given(st.lists(st.tuples(texts, st.integers(0, 900)), max_size=4), st.data())
def test_every_quotation_is_a_whole_sentence_of_the_document_before_its_mark(
    given: list[tuple[str, int]], data: st.DataObject
) -> None:
    passages = [passage(text, document=f"d{n}", start=start) for n, (text, start) in enumerate(given)]
    sentences = evidence_sentences(passages)
    cosines = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=len(sentences), max_size=len(sentences)))
    result = answer(passages, cosines, "Where do the keys hang?", max_sentences=3, max_chars=400)
    assert result.grounded is bool(result.citations)
    assert len(result.citations) <= 3
    end = 0
    for n, citation in enumerate(result.citations, start=1):
        source = next(each for each in passages if each.chunk_id == citation.chunk_id)
        quoted = source.text[citation.start - source.start : citation.end - source.start]
        assert quoted == quoted.strip() != ""
        assert result.text[end : citation.mark_end].strip() == f"{quoted} [{n}]"
        assert result.text[citation.mark_start : citation.mark_end] == f"[{n}]"
        assert (citation.document_id, citation.n) == (source.document_id, n)
        assert 0 <= citation.score <= 1
        end = citation.mark_end
    assert result.text == NOTHING or end == len(result.text)
    assert sum(citation.end - citation.start for citation in result.citations) <= 400


def test_the_best_sentence_is_quoted_with_its_place_in_the_document() -> None:
    text = "Doors are locked at six. Spare keys hang in cabinet B. Ask Ann."
    result = answer([passage(text, start=100)], [0.2, 0.7, 0.1], "Where are the spare keys?")
    assert result.text == "Spare keys hang in cabinet B. [1]"
    (citation,) = result.citations
    assert (citation.start, citation.end, citation.mark_start) == (125, 154, 30)
    assert (citation.title, citation.version) == ("Key register", 2)


def test_a_second_sentence_is_quoted_where_it_fits_nearly_as_well() -> None:
    result = answer([passage("Keys hang in B."), passage("Keys are in B.", document="other")], [0.8, 0.78], "keys")
    assert result.text == "Keys hang in B. [1] Keys are in B. [2]"


def test_nothing_that_fits_is_said_plainly_and_cites_nothing() -> None:
    assert answer([passage("Doors are locked at six.")], [0.1], "Who won?") == ExtractiveAnswer(NOTHING, (), False)
    assert answer([], [], "Who won?") == ExtractiveAnswer(NOTHING, (), False)


def test_a_question_in_the_evidence_is_answered_by_the_sentence_after_it() -> None:
    result = answer([passage("Where are the spare keys? In cabinet B.")], [0.95, 0.1], "Where are the spare keys?")
    assert result.text == "In cabinet B. [1]"


def test_the_same_sentence_is_quoted_once() -> None:
    overlapping = [passage("Keys hang in B. Ask Ann."), passage("Ask Ann.", start=16)]
    assert len(evidence_sentences(overlapping)) == 2
    copies = [passage("Keys hang in B."), passage("keys  hang in B.", document="copy")]
    assert len(answer(copies, [0.9, 0.9], "keys").citations) == 1


def test_a_sentence_too_long_to_quote_is_left_out_whole() -> None:
    long = "word " * 150 + "end."
    assert evidence_sentences([passage(f"{long} Short one.")]) == [
        EvidenceSentence(0, 755, 765, "Short one.", leads=False)
    ]


@pytest.mark.parametrize(
    ("question", "text", "share"),
    [
        ("Where are the spare keys?", "The spare key hangs there.", 1.0),
        ("Where are the spare keys?", "Doors are locked.", 0.0),
        ("Welche Kündigungsfristen gelten?", "Die Kündigungsfrist ist lang, und die Fristen gelten für alle.", 1.0),
        ("備品の鍵", "鍵は備品です。", 1 / 3),
        ("Who is it?", "Ann.", 0.0),
    ],
)
def test_overlap_is_the_share_of_the_questions_terms(question: str, text: str, share: float) -> None:
    passages = [passage(text)]
    assert term_overlaps(question, passages, evidence_sentences(passages)) == pytest.approx([share])
