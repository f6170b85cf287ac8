"""Which kinds of characters, that programs stumble over, a text holds."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNICODE_KINDS", "unicode_kinds"]

UNICODE_KINDS: Final[Mapping[str, str]] = {
    "control": "control characters other than tab and line ends",
    "line-separators": "U+0085, U+2028 or U+2029",
    "bidi": "marks, embeddings, overrides or isolates of writing direction",
    "zero-width": "characters without width",
    "combining": "three and more marks on one character",
    "astral": "characters past U+FFFF",
    "surrogate": "halves of surrogate pairs",
    "noncharacter": "code points that are no characters",
    "decomposed": "text that is not in normalisation form C",
    "compatibility": "full-width letters or digits, or ligatures",
    "homoglyph": "letters of two alphabets in one word",
}
"""Kind -> what it is."""

_NONCHARACTERS: Final = [plane + last for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)]
_PATTERNS: Final = {
    "control": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"),
    "line-separators": re.compile("[\x85\u2028\u2029]"),
    "bidi": re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"),
    "zero-width": re.compile("[\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2064\ufeff]"),
    "astral": re.compile("[\U00010000-\U0010ffff]"),
    "surrogate": re.compile("[\ud800-\udfff]"),
    "noncharacter": re.compile("[\ufdd0-\ufdef" + "".join(map(chr, _NONCHARACTERS)) + "]"),
    "compatibility": re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\ufb00-\ufb06]"),
    "homoglyph": re.compile(
        "[A-Za-z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][A-Za-z]",
    ),
}
_STACKED_MARKS: Final = 3
"""Two marks on one character are ordinary in several scripts."""


def unicode_kinds(text: str) -> frozenset[str]:
    r"""Return the `UNICODE_KINDS` that a text holds; empty for ordinary text in any script.

    Examples
    --------
    >>> sorted(unicode_kinds("Grüße\u200b an\x07 alle"))
    ['control', 'zero-width']
    >>> unicode_kinds("Grüße, Привет, नमस्ते, 你好\n")
    frozenset()
    """
    if text.isascii():
        return frozenset({"control"} if _PATTERNS["control"].search(text) else ())
    kinds = {kind for kind, pattern in _PATTERNS.items() if pattern.search(text)}
    if not unicodedata.is_normalized("NFC", text):
        kinds.add("decomposed")
    if _has_stacked_marks(text):
        kinds.add("combining")
    return frozenset(kinds)


def _has_stacked_marks(text: str) -> bool:
    stacked = 0
    for char in text:
        stacked = stacked + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if stacked >= _STACKED_MARKS:
            return True
    return False
