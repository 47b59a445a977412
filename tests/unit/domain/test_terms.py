"""Analysis for BM25."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.terms import LANGUAGES, detected_language, document_terms, query_terms

ENGLISH = "The wings of the aircraft were tested in a tunnel, and it is known that they vibrate."
GERMAN = "Die Kündigungen wurden von der Leitung geprüft und sind nicht gültig, weil eine Unterschrift fehlt."


@given(st.text())
def test_terms_are_single_blank_separated_words_without_capitals(text: str) -> None:
    for terms in (document_terms(text), query_terms(text)):
        assert terms.split() == ([] if terms == "" else terms.split(" "))
        assert not terms.isascii() or terms == terms.lower()


@given(st.text(st.characters(codec="ascii")) | st.text())
def test_a_text_asked_as_a_query_finds_every_term_of_itself(text: str) -> None:
    assert set(document_terms(text, language="de").split()) <= set(query_terms(text, language="de").split())


@given(st.text(), st.sampled_from(LANGUAGES))
def test_analysis_is_repeatable(text: str, language: str) -> None:
    assert document_terms(text, language=language) == document_terms(text, language=language)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ""),
        ("...?! \n", ""),
        ("Running runs RAN", "run run ran"),
        ("naïve Café", "naiv cafe"),
        ("ﬁnance ＡＢＣ", "financ abc"),  # noqa: RUF001
        ("pg_stat", "pg_stat pg stat"),
        ("e-1042", "e-1042 e 1042"),
        ("E-1042", "e-1042 e 1042"),
        ("v2.5.1", "v2.5.1 v2 5 1"),
        ("config.yaml", "config.yaml config yaml"),
        ("ann@example.org", "ann@example.org ann exampl org"),
        ("__init__", "init"),
        ("3.14", "3.14"),
        ("1,000 km", "1000 km"),
        ("C++ and C#", "c++ c c# c"),
        ("#4", "4"),
        ("e-mail", "email e mail"),
        ("the company's don't", "compani don"),
        ("soft\u00adware zero\u200bwidth", "softwar zerowidth"),
        ("IT and it", "it"),
        ("\ud800 lone", "lone"),
    ],
)
def test_english_and_undecided_text_becomes(text: str, terms: str) -> None:
    assert document_terms(text) == terms


@pytest.mark.parametrize(
    ("document", "query"),
    [
        (GERMAN, "Kündigung"),
        (GERMAN, "Wer prüft eine Kündigung?"),
        (GERMAN, "unterschriften"),
        ("Les locataires ont été informés des nouvelles obligations par la direction.", "obligation"),
        ("Los contratos de los empleados se firman con la dirección.", "contrato"),
        ("Красные ёлки растут в лесу.", "елка красная"),
        ("東京都の人口は千四百万人です。", "人口"),
        ("北京大学图书馆", "图书馆"),
        ("カタカナのテスト", "テスト"),
        ("서울의 인구", "인구"),
        ("Οι πολίτες ψηφίζουν.", "πολίτης"),  # noqa: RUF001
        ("iPhone15の価格", "iphone15"),
        ("The COVID-19 vaccines", "covid vaccine"),
        ("select from pg_stat_activity", "pg_stat_activity"),
        ("select from pg_stat_activity", "activity"),
        ("Der Vertrag von Müller wurde nicht verlängert und ist ungültig.", "what did Müller sign"),
    ],
)
def test_a_query_meets_inflected_unsegmented_and_composed_words(document: str, query: str) -> None:
    assert set(query_terms(query).split()) & set(document_terms(document).split())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Les contrats sont signés par la direction et les salariés.", "fr"),
        ("Los contratos de los empleados se firman en la oficina.", "es"),
        ("I contratti dei dipendenti sono firmati nella sede.", "it"),
        ("Os contratos dos empregados são assinados na sede.", "pt"),
        ("De contracten van het personeel worden niet ondertekend.", "nl"),
        ("Avtalen är inte undertecknad av alla som arbetar här.", "sv"),
        ("", None),
        ("E-1042", None),
        ("Die casting", None),
        ("The de novo synthesis of E. coli in vitro", "en"),
        ("0-dimensional biomaterials show inductive properties.", None),
        ("What is the notice period?", "en"),
        ("東京", None),
    ],
)
def test_function_words_tell_the_language(text: str, language: str | None) -> None:
    assert detected_language(text) == language


def test_function_words_of_the_language_are_left_out() -> None:
    assert set(document_terms(GERMAN).split()).isdisjoint({"die", "wurden", "von", "der", "und", "sind", "eine"})
    assert query_terms("What is it about?") == ""
    assert query_terms("Wie lange ist die Frist?").split() == ["lang", "frist"]


def test_an_english_query_is_stemmed_in_english_alone() -> None:
    assert query_terms("the cells of the wings") == "cell wing"


def test_an_endless_word_is_cut_and_costs_linear_time() -> None:
    assert len(document_terms("x" * 2_000_000)) <= 64
    assert len(document_terms("1a" * 1_000_000)) <= 64
    assert document_terms("1.b-" * 500_000).startswith("1 b 1 b")


def test_threads_do_not_disturb_each_other() -> None:
    texts = [f"{stem}{ending} " * 50 for stem in ("walk", "test", "jump") for ending in ("ing", "ed", "s")]
    expected = [document_terms(text, language="en") for text in texts]
    differences: list[int] = []

    def analyse() -> None:
        for number in range(50):
            # A fresh word each time, so that the stemmer is asked and not the cache.
            fresh = f"q{threading.get_ident()}x{number}ing"
            if not document_terms(f"{texts[number % 9]} {fresh}", language="en").startswith(expected[number % 9]):
                differences.append(number)

    threads = [threading.Thread(target=analyse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert differences == []
