"""Sentence borders."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.sentences import sentence_spans

pieces = st.sampled_from(
    [
        *(
            "Dr. ",
            "A word",
            "e.g.",
            "3.14",
            ". ",
            "! ",
            "?)",
            "...",
            "。",
            "」",
            "\n",
            "\n\n",
            "\r\n",
            "- ",
            "1. ",
            "| ",
        ),
        *("# ", " ", "\t", "\u200b", "🙂", "שלום", "\u0301", "```", "\u2028", '"', "J. "),
    ]
)
texts = st.lists(pieces).map("".join) | st.text()


@given(texts)
def test_sentences_hold_every_character_that_is_not_white_space_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())


@given(texts)
def test_no_sentence_begins_or_ends_with_white_space(text: str) -> None:
    assert all(text[start:end] == text[start:end].strip() for start, end in sentence_spans(text))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n ", []),
        ("One", ["One"]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith and J. R. Doe. He left.", ["Dr. Smith and J. R. Doe.", "He left."]),
        ("the U.S. Senate. It rained", ["the U.S. Senate.", "It rained"]),
        ("at 3.14 p.m. on example.org. Done.", ["at 3.14 p.m. on example.org.", "Done."]),
        ("Brown et al. (2010) and Fig. 3, no. 5.", ["Brown et al. (2010) and Fig. 3, no. 5."]),
        ("He said no. Then he left.", ["He said no.", "Then he left."]),
        ("with vitamin C. The end.", ["with vitamin C.", "The end."]),
        ("in cabinet B. Ask Ann.", ["in cabinet B.", "Ask Ann."]),
        ("George W. Bush (J. Doe). Ok", ["George W. Bush (J. Doe).", "Ok"]),
        ("E. coli grows.", ["E. coli grows."]),
        ('"Really?" he asked. "Yes." Then', ['"Really?" he asked.', '"Yes."', "Then"]),
        ("Wait... what? Oh.", ["Wait... what?", "Oh."]),
        ("am 3. Mai 2020. Das war z. B. gut.", ["am 3. Mai 2020.", "Das war z. B. gut."]),
        ("これは文です。「はい！」次", ["これは文です。", "「はい！」", "次"]),  # noqa: RUF001
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("broken over\ntwo lines. Next", ["broken over\ntwo lines.", "Next"]),
        ("Title\n\nText", ["Title", "Text"]),
        ("# Title\nText", ["# Title", "Text"]),
        ("Steps:\n1. Open it\n2. Close it. Now", ["Steps:", "1. Open it", "2. Close it.", "Now"]),
        ("- one\n* two\r\n| a | b |", ["- one", "* two", "| a | b |"]),
    ],
)
def test_a_text_has_the_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


@pytest.mark.parametrize("unit", ["!", " ", "\n", ".\n", "a. ", "'", "\r\n\t", "1. ", "(", "。", "# \n"])
def test_a_long_text_of_one_kind_is_read_in_one_pass(unit: str) -> None:
    text = unit * (400_000 // len(unit))  # seconds at most where the scan is linear, hours where it is not
    assert sum(end - start for start, end in sentence_spans(text)) <= len(text)
