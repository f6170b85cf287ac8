"""Texts as sets of hashes: runs of words, and runs of characters."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

__all__ = [
    "Shingles",
    "WordRuns",
    "comparable_text",
    "hash_shingles",
    "hash_word_runs",
    "mixed_bits",
    "number_words",
    "word_keys",
]

_WORD: Final = re.compile(r"\w+")
_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_MULTIPLIER: Final = 0xD1342543DE82EF95
"""Odd, so that no bit is lost in Horner's rule."""


class WordRuns(NamedTuple):
    """Hashed runs of words: the text of each, and the word of the text that it starts with."""

    hashes: npt.NDArray[np.uint64]
    texts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


class Shingles(NamedTuple):
    """Hashed runs of characters: those of text i are ``hashes[offsets[i]:offsets[i + 1]]``, with repeats."""

    hashes: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]


def number_words(texts: Iterable[str], vocabulary: dict[str, int]) -> list[list[int]]:
    """Give the words of each text, in lower case, as numbers; new words are added to `vocabulary`.

    Examples
    --------
    >>> number_words(["A rose is a rose."], {})
    [[0, 1, 2, 0, 1]]
    """
    return [
        [vocabulary.setdefault(word, len(vocabulary)) for word in _WORD.findall(text.lower())]
        for text in texts
    ]


def word_keys(n_words: int) -> npt.NDArray[np.uint64]:
    """Give every word a random 64-bit number; by SplitMix64, so that a run is the same everywhere."""
    with np.errstate(over="ignore"):
        return mixed_bits(np.arange(1, n_words + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def mixed_bits(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of each number so that all depend on all: the finaliser of SplitMix64, one to one."""
    with np.errstate(over="ignore"):
        mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_word_runs(words: Sequence[Sequence[int]], keys: npt.NDArray[np.uint64], length: int) -> WordRuns:
    """Hash every run of `length` words that stays inside its text.

    Parameters
    ----------
    words : sequence of sequences of int
        From `number_words`.
    keys : ndarray of uint64, shape (n_words,)
        From `word_keys`.
    length : int
        Words of a run.
    """
    counts = np.array([len(each) for each in words], dtype=np.int64)
    flat = np.fromiter((number for each in words for number in each), dtype=np.int64, count=int(counts.sum()))
    text_of, ends = np.repeat(np.arange(len(words)), counts), np.cumsum(counts)
    n_runs = max(0, len(flat) - length + 1)
    hashes = np.zeros(n_runs, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(length):
            # Horner's rule with an odd multiplier: order matters, and no bit is lost.
            hashes = hashes * np.uint64(_MULTIPLIER) + keys[flat[offset : offset + n_runs]]
    places = np.flatnonzero(np.arange(n_runs) + length <= ends[text_of[:n_runs]])
    texts = text_of[places]
    return WordRuns(hashes[places], texts, places - (ends - counts)[texts])


def comparable_text(text: str) -> str:
    r"""Return a text without what a copy is often changed in: case, width of letters, kind of space.

    Examples
    --------
    >>> comparable_text(" \uff2cike\tNEW\r\n\r\nagain ")
    'like new again'
    """
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def hash_shingles(texts: Sequence[str], n_chars: int) -> Shingles:
    """Hash every run of `n_chars` characters of each text; a shorter text is one run, an empty one none.

    Parameters
    ----------
    texts : sequence of str
        As they are to be compared; see `comparable_text`.
    n_chars : int
        Characters of a run, at least 1.

    Returns
    -------
    Shingles
        In the order of the texts and of their characters; memory is some 40 bytes a character.

    Raises
    ------
    ConfigError
        `n_chars` is below 1.

    Examples
    --------
    >>> shingles = hash_shingles(["abcab", "ab", ""], 2)
    >>> shingles.offsets.tolist(), len(set(shingles.hashes.tolist()))
    ([0, 4, 5, 5], 3)
    """
    if n_chars < 1:
        raise ConfigError(f"n_chars is {n_chars}; a whole number of at least 1 is wanted.")
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    points = np.frombuffer("".join(texts).encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    starts = np.cumsum(lengths) - lengths
    counts = np.where(lengths > 0, np.maximum(lengths - n_chars + 1, 1), 0)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
    ends = np.repeat(starts + lengths, counts)
    # Every text has its characters mixed once; 0 stands for what a short text lacks.
    mixed = mixed_bits(points.astype(np.uint64) + np.uint64(1))
    hashes = np.zeros(len(places), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(n_chars):
            inside = places + offset < ends
            char = mixed[np.minimum(places + offset, max(0, len(points) - 1))] * inside
            hashes = hashes * np.uint64(_MULTIPLIER) + char
    return Shingles(mixed_bits(hashes), offsets)
