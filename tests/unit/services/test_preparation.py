"""From a given document to chunks that the model can take in whole."""

from __future__ import annotations

import pytest

from advanced_rag.domain.chunking import embedded_text
from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import ValidationError
from advanced_rag.services.preparation import Preparation
from tests.fakes.encoder import WordTokenizer
from tests.fakes.services import FIELDS, given

ACME = Tenant("acme")
WINDOW = 64


def preparation() -> Preparation:
    return Preparation(WordTokenizer(), FIELDS, max_tokens=60, overlap_tokens=0, window_tokens=WINDOW)


@pytest.mark.parametrize("title", ["", "Keys", "A title of rather many words " * 3])
@pytest.mark.parametrize("headings", [0, 3])
def test_a_chunk_fits_the_window_with_its_title_and_headings(title: str, headings: int) -> None:
    path = "".join(f"{'#' * level} Heading number {level}\n\n" for level in range(1, headings + 1))
    text = path + "The spare keys hang in cabinet B. " * 60
    document, _ = preparation().identified(ACME, given(text, "keys", title=title))
    draft = preparation().draft(document)
    assert len(draft.spans) > 1
    for span in draft.spans:
        embedded = embedded_text(title, span.heading, text[span.start : span.end])
        assert len(WordTokenizer().token_offsets(embedded)) <= WINDOW - 2


def test_an_id_is_kept_or_made_from_the_content() -> None:
    kept, content = preparation().identified(ACME, given("text", "keys"))
    made, same = preparation().identified(ACME, given("text"))
    again, _ = preparation().identified(ACME, given("text"))
    other, _ = preparation().identified(Tenant("globex"), given("text"))
    assert (kept.id, content) == ("keys", same)
    assert made.id == again.id != other.id


def test_declared_metadata_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="/metadata/year"):
        preparation().identified(ACME, given("text", metadata={"year": "soon"}))
