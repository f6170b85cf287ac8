"""Whether a text is plainly in another language than it should be; no more than that.

Letters tell scripts apart, and the commonest little words tell languages of one script apart. A text is
called wrong only where much speaks against the language that is wanted and little for it. Short texts,
languages that are not listed here, mixtures, and near relatives (Danish and Norwegian) pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

__all__ = ["contradicts_language", "known_languages", "language_code"]

_FEWEST_LETTERS: Final = 12
_FEWEST_WORDS: Final = 6
_FEWEST_HITS: Final = 3
_CLEARLY_MORE: Final = 3
_SCRIPTS: Final = {
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
    "zh": ("CJK",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "ko": ("HANGUL", "CJK"),
}
_LITTLE_WORDS: Final = {
    "en": "the and of to is in that it was for with my this not are have but you on be at or an they from i",
    "de": "der die das und ist nicht ich zu mit ein eine den dem auf für es sich auch wie von aber habe war",
    "fr": "le la les et est un une des que qui pas je pour dans ce il sur avec mais plus très du au nous mon",
    "es": "el la los las y es un una que no en por con para mi se lo pero muy del al como más este he está",
    "it": "il la le e è un una che non di per con mi si ma molto del della sono ho questo anche gli alla più",
    "pt": "o os as e é um uma que não em por com para meu se mas muito do da no foi está isso eu",
    "nl": "de het een en is niet ik van dat met voor op zijn maar ook mijn te er aan heb was deze naar wel",
    "sv": "och att det som en ett är inte jag på av för med den har till men om var så mycket min från kan",
    "da": "og at det som en et er ikke jeg på af for med den har til men om var så meget min fra kan vi",
    "pl": "i w nie na się że to jest z do jak ale za co po mi był bardzo od tak jestem czy przez moje tym",
    "tr": "ve bir bu da de için çok ile ben ama değil gibi daha ne kadar var yok sonra bana benim",
    "cs": "a se je na v že to s z do ale jsem by jak za co po si byl velmi tak pro není mi jako",
}
_WORDS: Final = {code: frozenset(words.split()) for code, words in _LITTLE_WORDS.items()}
_NAMES: Final = {
    "arabic": "ar",
    "bulgarian": "bg",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "mandarin": "zh",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
}


def known_languages() -> tuple[str, ...]:
    """Return the codes of the languages that can be told apart, sorted."""
    return tuple(sorted({*_SCRIPTS, *_WORDS}))


def language_code(language: str) -> str:
    """Return the code of a language: ``en`` for ``en-GB`` and for ``English``; unknown names as they are.

    Examples
    --------
    >>> language_code("pt_BR"), language_code("German"), language_code("Klingon")
    ('pt', 'de', 'klingon')
    """
    name = language.strip().casefold()
    return _NAMES.get(name, re.split(r"[-_]", name)[0])


def contradicts_language(text: str, language: str) -> bool:
    """Whether a text is plainly not in a language.

    Parameters
    ----------
    text : str
        What was written.
    language : str
        A code or an English name; for one that is not known every text passes.

    Examples
    --------
    >>> contradicts_language("Der Akku ist nach einem Tag leer und das ist nicht in Ordnung.", "en")
    True
    >>> contradicts_language("The battery is empty after a day.", "en")
    False
    """
    code = language_code(language)
    if code not in _SCRIPTS and code not in _WORDS:
        return False
    scripts = Counter(_script(char) for char in text if char.isalpha())
    n_letters = sum(scripts.values())
    if n_letters < _FEWEST_LETTERS:
        return False
    wanted = _SCRIPTS.get(code, ("LATIN",))
    if 2 * sum(scripts[name] for name in wanted) < n_letters:
        return True
    if code == "ja" and not (scripts["HIRAGANA"] or scripts["KATAKANA"]):
        return n_letters >= 2 * _FEWEST_LETTERS  # as long a Japanese text has kana somewhere
    return code in _WORDS and _other_words_prevail(text, code)


def _other_words_prevail(text: str, code: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if len(words) < _FEWEST_WORDS:
        return False
    hits = {name: sum(word in little for word in words) for name, little in _WORDS.items()}
    most = max(hits.values())
    return most >= _FEWEST_HITS and most >= _CLEARLY_MORE * max(1, hits[code])


def _script(char: str) -> str:
    """Return the first word of a letter's name, which is its script."""
    return "LATIN" if char.isascii() else unicodedata.name(char, "?").split(" ")[0]
