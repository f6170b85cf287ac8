"""How near two texts are: words that must change, and shingles that they share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Similarity", "compare_texts", "shingle_similarity", "word_distance"]

SHINGLE_CHARS: Final = 5
MAX_CHANGED_WORDS: Final = 2
MAX_CHANGED_SHARE: Final = 0.1
MAX_CHANGED_WORDS_OF_LONG: Final = 32
"""Past this the shingles decide, so that two texts of thousands of words are compared in no time."""
MIN_SHARED_SHINGLES: Final = 0.8

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")


class Similarity(NamedTuple):
    """How near two texts are.

    Attributes
    ----------
    changed_words : int or None
        Words to insert, delete or replace; None where they are more than could be near.
    shared_shingles : float
        Jaccard similarity of the sets of runs of five characters, from 0 to 1.
    is_near : bool
        At most two words or a tenth of the words differ, and not most of a short text; or four fifths of
        the shingles are shared. Equal texts are near too.
    """

    changed_words: int | None
    shared_shingles: float
    is_near: bool


def compare_texts(one: str, other: str) -> Similarity:
    """Compare two texts by words and by characters.

    Examples
    --------
    >>> compare_texts("The battery lasts all day.", "The battery never lasts all day.")
    Similarity(changed_words=1, shared_shingles=0.612..., is_near=True)
    >>> compare_texts("The battery lasts all day.", "Too loud for a library.").is_near
    False
    """
    first, second = _TOKEN.findall(one), _TOKEN.findall(other)
    longest = max(len(first), len(second))
    allowed = max(min(MAX_CHANGED_WORDS, longest // 2), int(MAX_CHANGED_SHARE * longest))
    allowed = min(allowed, MAX_CHANGED_WORDS_OF_LONG)
    changed = word_distance(first, second, most=allowed)
    shared = shingle_similarity(one, other)
    return Similarity(changed, shared, changed is not None or shared >= MIN_SHARED_SHINGLES)


def word_distance(one: Sequence[str], other: Sequence[str], *, most: int) -> int | None:
    """Return the edit distance of two sequences of words, or None where it is above `most`.

    Only the diagonals that can lead there are looked at, O((len + 1) x most).

    References
    ----------
    Ukkonen, E. (1985). Algorithms for approximate string matching. Information and Control 64, 100-118.

    Examples
    --------
    >>> word_distance("a b c d".split(), "a x c".split(), most=2)
    2
    >>> word_distance("a b c d".split(), "a x c".split(), most=1) is None
    True
    """
    if abs(len(one) - len(other)) > most:
        return None
    beyond = most + 1
    previous = {column: column for column in range(min(most, len(other)) + 1)}
    for row, word in enumerate(one, start=1):
        current: dict[int, int] = {}
        for column in range(max(0, row - most), min(len(other), row + most) + 1):
            if column == 0:
                current[0] = row
                continue
            replaced = previous.get(column - 1, beyond) + (word != other[column - 1])
            added = min(previous.get(column, beyond), current.get(column - 1, beyond)) + 1
            current[column] = min(replaced, added)
        if min(current.values()) > most:
            return None
        previous = current
    distance = previous.get(len(other), beyond)
    return None if distance > most else distance


def shingle_similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of the runs of `SHINGLE_CHARS` characters, in lower case.

    Of a shorter text the whole of it is its one run. Two empty texts are equal: 1.0.
    """
    first, second = _shingles(one), _shingles(other)
    return len(first & second) / len(first | second) if first or second else 1.0


def _shingles(text: str) -> set[str]:
    plain = " ".join(text.casefold().split())
    last = max(len(plain) - SHINGLE_CHARS, 0)
    return {plain[start : start + SHINGLE_CHARS] for start in range(last + 1)} if plain else set()
