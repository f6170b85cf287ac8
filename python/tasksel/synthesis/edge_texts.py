"""Texts at the edge, made from ordinary ones: short, long, with characters that programs trip over."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tasksel.synthesis.edge_extremes import DEEP_BRACKETS, LONG_DIGITS
from tasksel.synthesis.edge_measures import longest_allowed, shortest_allowed
from tasksel.synthesis.edge_places import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from tasksel.synthesis.edge_places import Place

    Builder: TypeAlias = "Callable[[Place, np.random.Generator], Any]"
    """Gives another value for a place, or `SKIP` where the variant does not apply."""

__all__ = [
    "EXTREME_TEXT_VARIANTS",
    "SKIP",
    "UNICODE_VARIANTS",
    "VERY_LONG_VARIANTS",
    "VERY_SHORT_VARIANTS",
    "fitted_text",
    "pick",
]

SKIP: Final = object()
MAX_LONG_CHARS: Final = 26_000
MAX_BRACKETS: Final = 2_000

_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001 - the full stops of other scripts
_NO_TEXT: Final = "As before."
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1) if chr(code).isalnum()}
_LOOK_ALIKES: Final = {
    ord(latin): cyrillic
    for latin, cyrillic in zip(
        "aceopxyABCEHKMOPTX",
        "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0410\u0412\u0421\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425",
        strict=True,
    )
}
_MARKS: Final = "\u0300\u0301\u0302\u0303\u0308\u030a\u0315\u0327\u0330\u0336\u0353\u035b\u0360"
_LATIN_PAIR: Final = re.compile("[A-Za-z]{2}")


def pick(rng: np.random.Generator, values: Any) -> Any:
    """Return one of several values."""
    return values[int(rng.integers(len(values)))]


def fitted_text(text: str, length: int, rng: np.random.Generator) -> str:
    """Return a text of exactly `length` characters from the sentences of another, repeated as needed.

    A shorter text is the beginning; a longer one goes on with the sentences in any order. It never ends in
    space, so that a program that trims it does not change its length.

    Examples
    --------
    >>> import numpy as np
    >>> fitted_text("It broke. Why?", 20, np.random.default_rng(0))
    'It broke. Why? Why?.'
    """
    made = text if text.strip() else _NO_TEXT
    sentences = [each for each in _SENTENCE_END.split(made.strip()) if each.strip()]
    parts, size = [made], len(made)
    while size < length:
        parts.append(pick(rng, sentences))
        size += 1 + len(parts[-1])
    made = " ".join(parts)[:length]
    return made if made == made.rstrip() else made.rstrip() + "." * (length - len(made.rstrip()))


# Very short


def _within(place: Place, text: str, rng: np.random.Generator) -> Any:
    """Return a text that is not blank, at least as long as the schema wants, and very short."""
    low = int(limits_of(place).low or 0)
    text = text.strip()[: shortest_allowed(place)].strip()
    return fitted_text(text or place.value, max(low, len(text), 1), rng)


def _one_character(place: Place, rng: np.random.Generator) -> Any:
    return _within(place, place.value.strip()[:1], rng)


def _one_word(place: Place, rng: np.random.Generator) -> Any:
    words = [word for word in place.value.split() if len(word) <= shortest_allowed(place)]
    return _within(place, pick(rng, words), rng) if words else SKIP


def _few_words(place: Place, rng: np.random.Generator) -> Any:
    most = shortest_allowed(place)
    return (
        _within(place, place.value.strip()[: most + 1].rsplit(None, 1)[0], rng)
        if place.value.strip()
        else SKIP
    )


VERY_SHORT_VARIANTS: Final[Mapping[str, Builder]] = {
    "one-character": _one_character,
    "one-word": _one_word,
    "few-words": _few_words,
}


# Very long


def _long_length(place: Place, rng: np.random.Generator) -> int:
    high = limits_of(place).high
    low = max(longest_allowed(place), int(limits_of(place).low or 0))
    most = MAX_LONG_CHARS if high is None else min(MAX_LONG_CHARS, int(high))
    return int(rng.integers(low, max(low, most) + 1))


def _sentences(place: Place, rng: np.random.Generator) -> Any:
    return fitted_text(place.value, _long_length(place, rng), rng)


def _one_long_word(place: Place, rng: np.random.Generator) -> Any:
    length = _long_length(place, rng)
    word = "".join(place.value.split()) or _NO_TEXT.replace(" ", "")
    return (word * (length // len(word) + 1))[:length]


def _many_lines(place: Place, rng: np.random.Generator) -> Any:
    length = _long_length(place, rng)
    return "\n".join(fitted_text(place.value, length, rng).split(" "))


VERY_LONG_VARIANTS: Final[Mapping[str, Builder]] = {
    "sentences": _sentences,
    "one-long-word": _one_long_word,
    "many-lines": _many_lines,
}


# Unicode


def _inserting(*chunks: str) -> Builder:
    """Make a builder that puts one of some chunks somewhere into the text, which gives way where it must."""

    def build(place: Place, rng: np.random.Generator) -> Any:
        return _inserted(place, pick(rng, chunks), rng)

    return build


def _inserted(place: Place, chunk: str, rng: np.random.Generator) -> Any:
    text, high = place.value, limits_of(place).high
    if high is not None:
        text = text[: max(int(high) - len(chunk), 0)]
    at = int(rng.integers(len(text) + 1))
    return text[:at] + chunk + text[at:]


def _combining(place: Place, rng: np.random.Generator) -> Any:
    stack = "".join(pick(rng, _MARKS) for _ in range(int(rng.integers(3, 12))))
    return _inserted(place, f"z{stack}", rng)


def _decomposed(place: Place, rng: np.random.Generator) -> Any:
    text = unicodedata.normalize("NFD", place.value)
    high = limits_of(place).high
    if not unicodedata.is_normalized("NFC", text) and (high is None or len(text) <= high):
        return text
    return _inserted(place, "cafe\u0301", rng)


def _full_width(place: Place, rng: np.random.Generator) -> Any:
    wide = place.value.translate(_FULL_WIDTH)
    return wide if wide != place.value else _inserted(place, "\uff21\uff22\uff11 \ufb01n", rng)


def _look_alike(place: Place, rng: np.random.Generator) -> Any:
    pairs = list(_LATIN_PAIR.finditer(place.value))
    start = pick(rng, pairs).start() if pairs else 0
    swapped = (
        place.value[:start]
        + place.value[start : start + 1].translate(_LOOK_ALIKES)
        + place.value[start + 1 :]
    )
    return swapped if swapped != place.value else _inserted(place, "p\u0430yp\u0430l", rng)


UNICODE_VARIANTS: Final[Mapping[str, Builder]] = {
    "control": _inserting("\x00", "\x07\x08", "\x1b[31m", "\x1b]0;\x07", "\x7f", "\x9b2J", "\x0b\x0c"),
    "line-separators": _inserting("\u2028", "\u2029", "\x85"),
    "bidi": _inserting("\u202e", "\u2066\u2067", "\u202d\u202c\u202c", "\u200f"),
    "zero-width": _inserting("\u200b", "\u200d\u200d", "\ufeff", "\u2060", "\u00ad"),
    "combining": _combining,
    "astral": _inserting(
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\U0001f44d\U0001f3fd",
        "\U0001f1e9\U0001f1ea",
        "\U0001d4d0",
        "\U00020000",
    ),
    "surrogate": _inserting("\ud83d", "\udc4d", "\udc4d\ud83d"),
    "noncharacter": _inserting("\uffff", "\ufdd0", "\U0001ffff"),
    "decomposed": _decomposed,
    "compatibility": _full_width,
    "homoglyph": _look_alike,
}


# Extreme


def _program_token(place: Place, rng: np.random.Generator) -> Any:
    """Return NaN and the like alone, repeated where the schema wants a longer text."""
    token = pick(rng, ("NaN", "null", "None", "undefined", "-Infinity", "1e999", "#REF!", "true", "-0", "[]"))
    low = int(limits_of(place).low or 0)
    return " ".join([token] * (1 + max(low - len(token), 0) // (len(token) + 1) + (len(token) < low)))


def _nested_brackets(place: Place, rng: np.random.Generator) -> Any:
    high = limits_of(place).high
    room = MAX_BRACKETS if high is None else min(MAX_BRACKETS, int(high) // 2)
    if room < DEEP_BRACKETS:
        return SKIP
    depth = int(rng.integers(DEEP_BRACKETS, room + 1))
    opening, closing = pick(rng, ("[]", "{}", "()"))
    return _inserted(place, opening * depth + closing * depth, rng)


def _long_number(place: Place, rng: np.random.Generator) -> Any:
    digits = "".join(str(digit) for digit in rng.integers(1, 10, size=4 * LONG_DIGITS))
    high = limits_of(place).high
    return _inserted(place, digits[: int(high) // 2] if high is not None else digits, rng)


EXTREME_TEXT_VARIANTS: Final[Mapping[str, Builder]] = {
    "program-token": _program_token,
    "nested-brackets": _nested_brackets,
    "long-number": _long_number,
}
