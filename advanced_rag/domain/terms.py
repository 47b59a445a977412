"""Text analysed for BM25: what the sparse index holds and what it is asked for, the same on every engine.

Unicode is normalised (NFKC), case and diacritics are folded, function words go, words are stemmed (Snowball). Scripts
without blanks between words become overlapping pairs of characters. Identifiers (`pg_stat`, `e-1042`) stay whole and
are also given in parts. A word's script chooses its stemmer; for the Latin script the text's language does.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import Stemmer

from advanced_rag.domain.documents import Terms
from advanced_rag.domain.function_words import FUNCTION_WORDS

DEFAULT_LANGUAGE: Final = "en"

_LATIN_STEMMERS: Final[Mapping[str, str]] = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
    "sv": "swedish",
    "da": "danish",
    "no": "norwegian",
    "fi": "finnish",
}
LANGUAGES: Final = tuple(_LATIN_STEMMERS)
_SCRIPT_STEMMERS: Final = tuple(
    (re.compile(letters), stemmer)
    for letters, stemmer in (
        ("[\u0370-\u03ff\u1f00-\u1fff]", "greek"),
        ("[\u0400-\u052f]", "russian"),
        ("[\u0530-\u058f]", "armenian"),
        ("[\u0600-\u06ff\u0750-\u077f]", "arabic"),
        ("[\u0900-\u097f]", "hindi"),
        ("[\u0b80-\u0bff]", "tamil"),
    )
)
# Letters that tell a language; all of them together count as one function word of it.
_TELLING_LETTERS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(letters)
    for language, letters in {
        "de": "äöüß",
        "fr": "çêèœ",
        "es": "ñ¿¡",
        "it": "òì",
        "pt": "ãõ",
        "sv": "åäö",
        "da": "æøå",
        "no": "æøå",
        "fi": "äö",
    }.items()
}
_MIN_EVIDENCE: Final = 2  # before a Latin text is taken for anything but English: "die casting" is not German

_MAX_TERM_CHARS: Final = 64  # what is longer is no word; it is cut, in documents and queries alike
_CACHED_TOKENS: Final = 1 << 15  # about 10 MB; a text's vocabulary repeats, so most tokens are looked up

_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# Marks that belong to a word but are not \w: accents, Hebrew and Arabic points, Indic and South-East Asian vowels.
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8"
    "\u0900-\u0963\u0971-\u0df3\u0e31-\u0e4e\u0eb1-\u0ece\u0f71-\u0fbc\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
# A number with grouped thousands; or words and what joins them in an identifier, an address, a contraction; C++ and C#.
_TOKEN: Final = re.compile(
    rf"[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![\w,])|[\w{_MARKS}]+(?:[-.:/@&'\u2019][\w{_MARKS}]+)*(?:(?:\+\+|#)(?!\w))?"
)
_SEPARATORS: Final = re.compile(r"[-.:/@&'\u2019+#_]+")
_IDENTIFIER_MARKS: Final = frozenset("_@&+#")
_DECIMAL: Final = re.compile(r"[0-9]+\.[0-9]+")
_HYPHENATED: Final = re.compile(r"[^\W\d_]+-[^\W\d_]+")
_ABBREVIATION: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_CONTRACTED: Final = frozenset("s t d m ll re ve l j n c qu un all dell nell sull dall".split())  # noqa: SIM905
_ACRONYMS: Final = frozenset({"IT", "WHO"})  # not the pronouns; any word in capitals would be too many: headings
# Scripts that do not separate words, and Hangul, whose words carry their particles.
_UNSEGMENTED: Final = re.compile(
    "[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff\u1100-\u11ff\uac00-\ud7a3\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3]+"
)
# In these scripts a mark makes another letter (й is not и); elsewhere it is an accent, which folding drops.
_MARK_IS_LETTER: Final = re.compile("[\u0400-\u052f\u0900-\u1fff\u3040-\u30ff]")
_FOLDED_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ё": "е"}  # noqa: RUF001
)

_LANGUAGES_OF_WORD: Final[Mapping[str, tuple[str, ...]]] = {
    word: tuple(language for language in LANGUAGES if word in FUNCTION_WORDS[language])
    for word in frozenset().union(*(FUNCTION_WORDS[language] for language in LANGUAGES))
    if len(word) > 1  # single letters are names of things in every language
}
_stemmers = threading.local()  # a Stemmer keeps state while it stems


def document_terms(text: str, *, language: str | None = None) -> Terms:
    """Terms of a text that is indexed, in order, joined by single blanks; "" where there is nothing to find.

    Args:
        text: any text.
        language: one of `LANGUAGES`; None: told by its function words, English in doubt. Other scripts than Latin
            have one stemmer each, whatever is said here.
    """
    tokens = _tokens(text)
    language = language or _likeliest(tokens) or DEFAULT_LANGUAGE
    return Terms(" ".join(term for token in tokens for term in _token_terms(token, language)))


def query_terms(text: str, *, language: str | None = None) -> Terms:
    """Terms of a query, to be looked up among `document_terms`.

    A query is too short to be sure of its language. Where its function words do not tell, every word is stemmed in each
    of `LANGUAGES`, so that it meets documents of any; so are words with accents in a query that looks English, and a
    query in another language is stemmed in English too. A stem of the wrong language is rarely a term of any document:
    with this rule SciFact, Cranfield and two more English sets score as with English stems alone, while stemming every
    query in every language costs SciFact 0.009 nDCG@10.
    """
    tokens = _tokens(text)
    language = language or _decided(tokens)
    terms: list[str] = []
    for token in tokens:
        if language is not None and not _token_terms(token, language):
            continue  # a function word of the query's own language
        if language is None or (language == DEFAULT_LANGUAGE and not token.isascii()):
            languages: Sequence[str] = LANGUAGES
        else:
            languages = (language, DEFAULT_LANGUAGE)
        terms.extend(dict.fromkeys(term for each in languages for term in _token_terms(token, each)))
    return Terms(" ".join(terms))


def detected_language(text: str) -> str | None:
    """Which of `LANGUAGES` a Latin text is in by its function words, or None where they do not tell."""
    return _likeliest(_tokens(text))


def _tokens(text: str) -> list[str]:
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _TOKEN.findall(text)


def _evidence(tokens: Sequence[str]) -> Counter[str]:
    """How many distinct function words of each language occur; the letters that tell it count as one."""
    words = {token.casefold() for token in tokens}
    evidence = Counter(language for word in words for language in _LANGUAGES_OF_WORD.get(word, ()))
    letters = {letter for word in words if not word.isascii() for letter in word}
    if letters:
        evidence.update(language for language, telling in _TELLING_LETTERS.items() if letters & telling)
    return evidence


def _likeliest(tokens: Sequence[str]) -> str | None:
    evidence = _evidence(tokens)
    if not evidence:
        return None
    language, count = evidence.most_common(1)[0]
    if count == evidence[DEFAULT_LANGUAGE]:
        return DEFAULT_LANGUAGE
    return language if count >= _MIN_EVIDENCE else None


def _decided(tokens: Sequence[str]) -> str | None:
    """As `_likeliest`, but a tie between two other languages than English decides nothing."""
    language = _likeliest(tokens)
    if language in (None, DEFAULT_LANGUAGE):
        return language
    counts = sorted(_evidence(tokens).values())
    return None if counts[-2:-1] == counts[-1:] else language


def _token_terms(token: str, language: str) -> tuple[str, ...]:
    if len(token) <= _MAX_TERM_CHARS:
        return _cached_token_terms(token, language)
    return tuple(_analysed(token, language))


@lru_cache(maxsize=_CACHED_TOKENS)
def _cached_token_terms(token: str, language: str) -> tuple[str, ...]:
    return tuple(_analysed(token, language))


def _analysed(token: str, language: str) -> Iterator[str]:
    """The terms of one token: as a whole where it is an identifier, and its words."""
    folded = token.casefold()
    if folded.isalpha() and folded.isascii():
        yield from _word_terms(folded, language, keep=_is_acronym(token))
        return
    if "," in folded:  # grouped thousands
        yield folded.replace(",", "")[:_MAX_TERM_CHARS]
        return
    words = [word for word in _SEPARATORS.split(folded) if word]
    if len(folded) <= _MAX_TERM_CHARS:
        if _ABBREVIATION.fullmatch(folded):
            yield folded.replace(".", "")
            return
        if _DECIMAL.fullmatch(folded):
            yield folded
            return
        if _is_identifier(folded, words):
            yield _without_accents(folded.strip("_"))
        elif _HYPHENATED.fullmatch(folded):
            yield from _word_terms("".join(words), language, keep=True)
    apostrophe = "'" in folded or "\u2019" in folded
    for word in words:
        if not (apostrophe and word in _CONTRACTED):
            yield from _word_terms(word, language, keep=len(words) == 1 and _is_acronym(token))


def _is_acronym(token: str) -> bool:
    return token in _ACRONYMS


def _is_identifier(folded: str, words: Sequence[str]) -> bool:
    if any(letter in _IDENTIFIER_MARKS for letter in folded.strip("_")):
        return True
    return len(words) > 1 and ("." in folded or any(letter.isdigit() for letter in folded))


def _word_terms(word: str, language: str, *, keep: bool) -> Iterator[str]:
    if word.isascii():
        yield from _stemmed(word, language, keep=keep)
        return
    end = 0
    for run in _UNSEGMENTED.finditer(word):
        if run.start() > end:
            yield from _stemmed(word[end : run.start()], language, keep=keep)
        yield from _pairs(run.group())
        end = run.end()
    if end < len(word):
        yield from _stemmed(word[end:], language, keep=keep)


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for start in range(len(run) - 1):
        yield run[start : start + 2]


def _stemmed(word: str, language: str, *, keep: bool) -> Iterator[str]:
    word = word[:_MAX_TERM_CHARS]
    algorithm = _LATIN_STEMMERS[language]
    if not word.isascii():
        for script, stemmer in _SCRIPT_STEMMERS:
            if script.search(word):
                language, algorithm = ("ru" if stemmer == "russian" else ""), stemmer
                break
    if keep or word not in FUNCTION_WORDS.get(language, ()):
        yield _without_accents(_stemmer(algorithm).stemWord(word)) or word


def _stemmer(algorithm: str) -> Stemmer.Stemmer:
    stemmer: Stemmer.Stemmer | None = getattr(_stemmers, algorithm, None)
    if stemmer is None:
        stemmer = Stemmer.Stemmer(algorithm, 0)  # its own cache would only repeat ours
        setattr(_stemmers, algorithm, stemmer)
    return stemmer


def _without_accents(term: str) -> str:
    if term.isascii():
        return term
    term = term.translate(_FOLDED_LETTERS)
    if _MARK_IS_LETTER.search(term):
        return term
    decomposed = unicodedata.normalize("NFD", term)
    return "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
