"""The language of a text: its script, then the small words and letters that a language is full of.

There is no model in it and nothing to download. What it cannot tell it does not guess: a text of few words,
a list of names or a piece of code has no language here, and is None.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

from tasksel.text_language_words import LETTERS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LANGUAGES", "count_languages", "detect_language", "language_code"]

MAX_CHARS: Final = 4000
"""More of a text than this changes no verdict; it bounds the work on very long ones."""
MIN_EVIDENCE: Final = 1.2
"""About one word that a single language has, or two that a few share."""
MIN_RATE: Final = 0.08
"""Evidence a word under which a long text is no prose of that language."""
MIN_LEAD: Final = 1.15
"""The best language must lead the second by this factor; Danish and Norwegian often stay closer."""
MIN_SCRIPT_SHARE: Final = 0.4
"""Share of the letters in one script from which on the script decides."""

# Vowel signs of Devanagari are no letters to `re`, but parts of words.
_WORD: Final = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f\u0900-\u097f])+(?:['\u2019][^\W\d_]+)?")

_SCRIPTS: Final[tuple[tuple[int, int, str], ...]] = (
    (0x0041, 0x024F, "latin"),
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "armenian"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0750, 0x077F, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0980, 0x09FF, "bengali"),
    (0x0A00, 0x0A7F, "gurmukhi"),
    (0x0A80, 0x0AFF, "gujarati"),
    (0x0B80, 0x0BFF, "tamil"),
    (0x0C00, 0x0C7F, "telugu"),
    (0x0C80, 0x0CFF, "kannada"),
    (0x0D00, 0x0D7F, "malayalam"),
    (0x0E00, 0x0E7F, "thai"),
    (0x10A0, 0x10FF, "georgian"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x3040, 0x30FF, "kana"),
    (0x3400, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "hangul"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFF, "arabic"),
)
_ONE_LANGUAGE: Final[Mapping[str, str]] = {
    "greek": "el",
    "armenian": "hy",
    "hebrew": "he",
    "bengali": "bn",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "thai": "th",
    "georgian": "ka",
    "hangul": "ko",
}
_SHARED: Final[Mapping[str, tuple[str, ...]]] = {
    "cyrillic": ("ru", "uk", "bg", "sr"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr", "ne"),
}
_LATIN: Final = tuple(code for code in WORDS if code not in {c for cs in _SHARED.values() for c in cs})
LANGUAGES: Final = tuple(sorted({*WORDS, *_ONE_LANGUAGE.values(), "ja", "zh"}))
"""ISO 639-1 codes that `detect_language` can return."""


def detect_language(text: str) -> str | None:
    """Name the language of a text, or None where that is not clear.

    The script decides alone for Greek, Hebrew, Thai, Korean, Japanese and others that have one of their own.
    Latin, Cyrillic, Arabic and Devanagari texts are told apart by their most frequent words and by letters
    that few languages have. The main language is meant: a quotation in another one does not change it.

    Parameters
    ----------
    text : str
        The first 4,000 characters are looked at.

    Returns
    -------
    str or None
        One of `LANGUAGES`, the two letters of ISO 639-1 (``no`` for both forms of Norwegian). None for a text
        without letters, of too few words, in a language that is not in the list, or between two.

    Notes
    -----
    It needs prose: of one to three words most have none of the frequent words, and the answer is None. A
    language outside the list that shares words with one inside it may be taken for that: Galician for
    Portuguese or Spanish, Afrikaans for Dutch, Croatian and Bosnian are one with Serbian in Latin letters
    (``hr``). ``scripts/measure_text_language.py`` prints how often it is right on any translated program.

    Examples
    --------
    >>> detect_language("The battery does not last as long as it did."), detect_language("Er ist nicht da.")
    ('en', 'de')
    >>> detect_language("電池がすぐに切れます。"), detect_language("SKU 4411-B"), detect_language("")
    ('ja', None, None)
    """
    text = unicodedata.normalize("NFC", text[:MAX_CHARS])
    scripts = Counter(_script_of(char) for char in text if char.isalpha())
    n_letters = sum(scripts.values())
    if not n_letters:
        return None
    if scripts["kana"] + scripts["han"] >= MIN_SCRIPT_SHARE * n_letters:
        # Japanese prose is never without kana; a share, since Chinese texts quote a product name in them.
        return "ja" if scripts["kana"] > 0.1 * (scripts["kana"] + scripts["han"]) else "zh"
    script = max(scripts, key=lambda name: (scripts[name], name))
    if scripts[script] < MIN_SCRIPT_SHARE * n_letters:
        return None
    if script in _ONE_LANGUAGE:
        return _ONE_LANGUAGE[script]
    candidates = _LATIN if script == "latin" else _SHARED.get(script, ())
    return _by_words(text.lower(), candidates)


def language_code(name: str) -> str:
    """Return the two letters that a language tag begins with: ``en-GB`` and ``EN_us`` are both ``en``.

    Examples
    --------
    >>> language_code("pt-BR"), language_code("nb")
    ('pt', 'no')
    """
    code = re.split(r"[-_]", name.strip().lower())[0]
    return {"nb": "no", "nn": "no", "iw": "he", "in": "id", "sh": "sr"}.get(code, code)


def count_languages(texts: Iterable[str | None]) -> dict[str, int]:
    """Count texts by language, the most frequent first; None counts as ``unknown``.

    Examples
    --------
    >>> count_languages(["It was what we wanted.", "Das ist ein Buch.", "It is not here.", "42", None])
    {'en': 2, 'unknown': 2, 'de': 1}
    """
    counted = Counter(detect_language(text or "") or "unknown" for text in texts)
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0] == "unknown", each[0])))


@functools.lru_cache(maxsize=1 << 14)
def _script_of(char: str) -> str:
    code = ord(char)
    return next((name for first, last, name in _SCRIPTS if first <= code <= last), "other")


def _by_words(text: str, candidates: tuple[str, ...]) -> str | None:
    words = [word.replace("\u2019", "'") for word in _WORD.findall(text)]
    scores = dict.fromkeys(candidates, 0.0)
    for table, units in ((_evidence(WORDS, candidates), words), (_evidence(LETTERS, candidates), text)):
        for unit, count in Counter(units).items():
            for code, weight in table.get(unit, ()):
                # The tenth "der" proves less than the first, and letters must not outvote words.
                scores[code] += weight * min(count, 3 + count / 2)
    ranked = sorted(candidates, key=lambda code: -scores[code])
    if not ranked or scores[ranked[0]] < max(MIN_EVIDENCE, MIN_RATE * len(words)):
        return None
    if len(ranked) > 1 and scores[ranked[0]] < MIN_LEAD * scores[ranked[1]]:
        return None
    return ranked[0]


_tables: dict[tuple[int, tuple[str, ...]], dict[str, list[tuple[str, float]]]] = {}


def _evidence(source: Mapping[str, str], candidates: tuple[str, ...]) -> dict[str, list[tuple[str, float]]]:
    """Give each word its languages, weighted by how few they are: a word that all have says nothing."""
    key = (id(source), candidates)
    if key not in _tables:
        holders: dict[str, list[str]] = {}
        for code in candidates:
            units = source.get(code, "")
            for unit in set(units.split() if source is WORDS else units.replace(" ", "")):
                holders.setdefault(unit, []).append(code)
        scale = 1.0 if source is WORDS else 0.6
        _tables[key] = {
            unit: [(code, scale / len(codes)) for code in codes] for unit, codes in holders.items()
        }
    return _tables[key]
