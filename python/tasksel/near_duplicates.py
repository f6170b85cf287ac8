"""Texts that nearly repeat others, and vectors that do: MinHash finds candidates, exact sets decide.

A text is the set of its runs of five characters; two texts are near-duplicates where the Jaccard similarity
of their sets reaches a threshold. Banded MinHash signatures give the candidates and every candidate is
verified, so that what is reported is true; what is missed follows from the formula in `expected_recall`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel.text_shingles import comparable_text, hash_shingles, mixed_bits
from tasksel_core import nearest_neighbours
from tasksel_core.errors import ArrayError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

__all__ = [
    "SHINGLE_CHARS",
    "SIMILARITY",
    "Bands",
    "Repeats",
    "choose_bands",
    "expected_recall",
    "find_near_copies",
    "find_near_duplicates",
    "jaccard_similarity",
    "minhash_signatures",
    "near_copies_by_vector",
    "near_duplicates_by_vector",
]

SIMILARITY: Final = 0.8
"""Jaccard similarity of runs of characters from which on two texts are near-duplicates."""
COSINE: Final = 0.95
"""Cosine from which on two vectors are; as in `tasksel.contamination`."""
SHINGLE_CHARS: Final = 5
N_HASHES: Final = 128
RECALL: Final = 0.99
"""Least share of the pairs at the threshold that the bands must find; pairs above are found more often."""
MAX_BUCKET: Final = 64
"""Texts of a bucket. One that more share is what a template has in common and tells nothing apart: two texts
that are alike beyond their template meet in other buckets."""
_BLOCK_SHINGLES: Final = 1 << 14
"""Shingles hashed at a time: what stays in the second-level cache."""
_BLOCK_TEXTS: Final = 4096
_ESTIMATE_SLACK: Final = 3.0
"""A pair is verified unless its estimate is this many standard deviations below the threshold."""


class Bands(NamedTuple):
    """How a signature is cut: two texts are candidates where all rows of a band are equal."""

    n_bands: int
    n_rows: int


@dataclass(frozen=True, eq=False)
class Repeats:
    """Which texts or vectors nearly repeat another one, and how nearly.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_repeats,)
        The repeats, ascending.
    of_rows : ndarray of int64, shape (n_repeats,)
        The row that each repeats.
    similarities : ndarray of float64, shape (n_repeats,)
        Jaccard similarity, or cosine; each is at least the threshold.
    n_verified : int
        Pairs that were compared exactly.
    crowded_share : float
        Share of the places in buckets that were not taken since the bucket was full; above about a half the
        texts are so alike that the recall of `expected_recall` does not hold.
    """

    rows: npt.NDArray[np.int64]
    of_rows: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float64]
    n_verified: int
    crowded_share: float = 0.0


def find_near_duplicates(
    texts: Sequence[str | None],
    *,
    threshold: float = SIMILARITY,
    shingle_chars: int = SHINGLE_CHARS,
    n_hashes: int = N_HASHES,
    seed: int = 0,
) -> Repeats:
    """Find the texts that nearly repeat an earlier one that is kept.

    The texts are gone through in order. One that is at least `threshold` similar to an earlier text that was
    itself kept is a repeat of it, of the most similar one where there are several; else it is kept. What is
    left has no near-duplicates, up to what the bands miss.

    Parameters
    ----------
    texts : sequence of str or None
        Compared without case, width of letters and kind of space. None and texts without a visible character
        repeat nothing.
    threshold : float
        Jaccard similarity, above 0 and at most 1.
    shingle_chars : int
        Characters of a run.
    n_hashes : int
        Length of a signature.
    seed : int
        Of the hash functions.

    Returns
    -------
    Repeats

    Raises
    ------
    ConfigError
        A setting is out of range.

    References
    ----------
    Broder, A. Z. (1997). On the resemblance and containment of documents. Compression and Complexity of
    Sequences.

    Examples
    --------
    >>> found = find_near_duplicates(["It broke after a week.", "Fine.", "it broke after a week"])
    >>> found.rows.tolist(), found.of_rows.tolist(), found.similarities.round(2).tolist()
    ([2], [0], [0.94])
    """
    index = _Index(threshold, shingle_chars, n_hashes, seed)
    return index.search(texts, add_others=True)


def find_near_copies(
    texts: Sequence[str | None],
    originals: Sequence[str | None],
    *,
    threshold: float = SIMILARITY,
    shingle_chars: int = SHINGLE_CHARS,
    n_hashes: int = N_HASHES,
    seed: int = 0,
) -> Repeats:
    """Find the texts that nearly repeat one of other texts, the most similar one of each.

    Parameters
    ----------
    texts, originals : sequence of str or None
        What is searched, and what it may be copied from.
    threshold, shingle_chars, n_hashes, seed
        As in `find_near_duplicates`.

    Returns
    -------
    Repeats
        ``of_rows`` are rows of `originals`.

    Raises
    ------
    ConfigError
        A setting is out of range.

    Examples
    --------
    >>> found = find_near_copies(["New.", "It BROKE after a week!"], ["It broke after a week."])
    >>> found.rows.tolist(), found.of_rows.tolist()
    ([1], [0])
    """
    index = _Index(threshold, shingle_chars, n_hashes, seed)
    index.add(originals)
    return index.search(texts, add_others=False)


def jaccard_similarity(first: str, second: str, *, shingle_chars: int = SHINGLE_CHARS) -> float:
    """Return the Jaccard similarity of two texts' runs of characters; 0.0 where both have none.

    Examples
    --------
    >>> jaccard_similarity("abcdef", "ABCDEF  "), jaccard_similarity("abcdef", "abcde")
    (1.0, 0.5)
    """
    return _jaccard(*(_shingle_set(comparable_text(text), shingle_chars) for text in (first, second)))


def expected_recall(similarity: float, bands: Bands) -> float:
    """Return the probability that a pair of that similarity becomes a candidate: ``1 - (1 - s^r)^b``.

    References
    ----------
    Leskovec, J., Rajaraman, A., Ullman, J. D. (2014). Mining of Massive Datasets, section 3.4.2.

    Examples
    --------
    >>> round(expected_recall(0.8, Bands(21, 6)), 4), round(expected_recall(0.4, Bands(21, 6)), 4)
    (0.9983, 0.0826)
    """
    return float(1.0 - (1.0 - similarity**bands.n_rows) ** bands.n_bands)


def choose_bands(threshold: float, n_hashes: int = N_HASHES, *, recall: float = RECALL) -> Bands:
    """Cut a signature into the longest bands that still find `recall` of the pairs at the threshold.

    Examples
    --------
    >>> choose_bands(0.8, 128)
    Bands(n_bands=21, n_rows=6)
    """
    _check_threshold(threshold)
    if n_hashes < 1:
        raise ConfigError(f"n_hashes is {n_hashes}; a whole number of at least 1 is wanted.")
    cuts = (Bands(n_hashes // n_rows, n_rows) for n_rows in range(n_hashes, 0, -1))
    good = (bands for bands in cuts if expected_recall(threshold, bands) >= recall)
    return next(good, Bands(n_hashes, 1))


def minhash_signatures(
    texts: Sequence[str], *, shingle_chars: int = SHINGLE_CHARS, n_hashes: int = N_HASHES, seed: int = 0
) -> npt.NDArray[np.uint32]:
    """Return a signature a text: the share of equal places of two estimates their Jaccard similarity.

    Parameters
    ----------
    texts : sequence of str
        As they are to be compared.
    shingle_chars, n_hashes, seed : int
        As in `find_near_duplicates`.

    Returns
    -------
    ndarray of uint32, shape (n_texts, n_hashes)
        An empty text has the highest number in all places.

    Examples
    --------
    >>> texts = ["to be or not to be", "to be or not to bee"]
    >>> first, second = minhash_signatures(texts, n_hashes=512)
    >>> abs(float((first == second).mean()) - jaccard_similarity(*texts)) < 0.1
    True
    """
    factors, shifts = np.random.default_rng(seed).integers(0, 2**64, (2, n_hashes), dtype=np.uint64)
    factors |= np.uint64(1)
    signatures = np.full((len(texts), n_hashes), np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(texts), _BLOCK_TEXTS):
        hashes, offsets = hash_shingles(texts[start : start + _BLOCK_TEXTS], shingle_chars)
        for first, last in _blocks(offsets):
            # Empty texts have no place to start from, and keep the highest number.
            full = first + np.flatnonzero(np.diff(offsets[first : last + 1]))
            if len(full):
                block = hashes[offsets[first] : offsets[last]]
                places = offsets[full] - offsets[first]
                signatures[start + full] = _minima(block, places, factors, shifts)
    return signatures


def _blocks(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of texts with about `_BLOCK_SHINGLES` shingles; a longer text goes alone."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _BLOCK_SHINGLES, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _minima(
    block: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
    factors: npt.NDArray[np.uint64],
    shifts: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint32]:
    """Take the least value of each text under each function ``a x + b mod 2^64``, a odd; its upper half."""
    minima = np.empty((len(places), len(factors)), dtype=np.uint64)
    values = np.empty_like(block)
    with np.errstate(over="ignore"):
        for column, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            np.multiply(block, factor, out=values)
            values += shift
            minima[:, column] = np.minimum.reduceat(values, places)
    return (minima >> np.uint64(32)).astype(np.uint32)


class _Index:
    """Texts in buckets of their bands; candidates are verified by their sets of shingles."""

    def __init__(self, threshold: float, shingle_chars: int, n_hashes: int, seed: int) -> None:
        self.bands = choose_bands(threshold, n_hashes)
        self.threshold, self.shingle_chars, self.seed = threshold, shingle_chars, seed
        spread = (threshold * (1 - threshold) / self.n_hashes) ** 0.5
        self.least_equal = self.n_hashes * (threshold - _ESTIMATE_SLACK * spread)
        self.buckets: list[dict[int, list[int]]] = [{} for _ in range(self.bands.n_bands)]
        self.texts: list[str] = []
        self.rows: list[int] = []
        self.signatures = np.empty((64, self.n_hashes), dtype=np.uint32)
        self.exact: dict[str, int] = {}
        self.n_verified, self.n_crowded = 0, 0

    @property
    def n_hashes(self) -> int:
        return self.bands.n_bands * self.bands.n_rows

    def add(self, texts: Sequence[str | None]) -> None:
        for row, text, signature, keys in self._signed(texts):
            if text not in self.exact:
                self._put(row, text, signature, keys)

    def search(self, texts: Sequence[str | None], *, add_others: bool) -> Repeats:
        """Look for each text, and add those that repeat nothing where `add_others` is set."""
        found: list[tuple[int, int, float]] = []
        for row, text, signature, keys in self._signed(texts):
            place, similarity = self._nearest(text, signature, keys)
            if place >= 0:
                found.append((row, self.rows[place], similarity))
            elif add_others:
                self._put(row, text, signature, keys)
        columns = list(zip(*found, strict=True)) or [(), (), ()]
        return Repeats(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.int64),
            np.array(columns[2], dtype=np.float64),
            self.n_verified,
            self.n_crowded / max(1, len(self.rows) * self.bands.n_bands),
        )

    def _signed(
        self, texts: Sequence[str | None]
    ) -> Iterator[tuple[int, str, npt.NDArray[np.uint32], list[int]]]:
        """Give row, comparable text, signature and the key of each band, without empty texts."""
        shape = (self.bands.n_bands, self.bands.n_rows)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            block = [comparable_text(text or "") for text in texts[start : start + _BLOCK_TEXTS]]
            signatures = minhash_signatures(
                block, shingle_chars=self.shingle_chars, n_hashes=self.n_hashes, seed=self.seed
            )
            keys = _band_keys(signatures.reshape(-1, *shape)).tolist()
            for place, text in enumerate(block):
                if text:
                    yield start + place, text, signatures[place], keys[place]

    def _put(self, row: int, text: str, signature: npt.NDArray[np.uint32], keys: list[int]) -> None:
        place = len(self.rows)
        self.exact[text] = place
        self.rows.append(row)
        self.texts.append(text)
        if place == len(self.signatures):
            self.signatures = np.concatenate([self.signatures, np.empty_like(self.signatures)])
        self.signatures[place] = signature
        for bucket, key in zip(self.buckets, keys, strict=True):
            members = bucket.setdefault(key, [])
            if len(members) < MAX_BUCKET:
                members.append(place)
            else:
                self.n_crowded += 1

    def _nearest(self, text: str, signature: npt.NDArray[np.uint32], keys: list[int]) -> tuple[int, float]:
        """Return the place of the most similar text in the index and the similarity; -1 for none."""
        if text in self.exact:
            return self.exact[text], 1.0
        found = {
            place for bucket, key in zip(self.buckets, keys, strict=True) for place in bucket.get(key, ())
        }
        if not found:
            return -1, 0.0
        candidates = np.sort(np.fromiter(found, dtype=np.int64, count=len(found)))
        n_equal = (self.signatures[candidates] == signature).sum(axis=1)
        best, best_similarity = -1, 0.0
        own: set[str] | None = None
        for place in candidates[n_equal >= self.least_equal].tolist():
            own = _shingle_set(text, self.shingle_chars) if own is None else own
            similarity = _jaccard(own, _shingle_set(self.texts[place], self.shingle_chars))
            self.n_verified += 1
            if similarity >= self.threshold and similarity > best_similarity:
                best, best_similarity = place, similarity
        return best, best_similarity


def _band_keys(bands: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Hash the rows of each band, shape (n_texts, n_bands, n_rows), to one number."""
    keys = np.zeros(bands.shape[:2], dtype=np.uint64)
    for row in range(bands.shape[2]):
        keys = mixed_bits(keys ^ bands[:, :, row])
    return keys


def _shingle_set(text: str, n_chars: int) -> set[str]:
    """Return the runs themselves, for a verdict that no collision of hashes can change."""
    return (
        {text[start : start + n_chars] for start in range(max(1, len(text) - n_chars + 1))} if text else set()
    )


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / max(1, len(first) + len(second) - shared)


def near_duplicates_by_vector(vectors: npt.NDArray[np.float32], *, threshold: float = COSINE) -> Repeats:
    """Find the rows that have another row as near as `threshold`, by cosine; both of a pair are found.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_rows, n_dimensions)
        Finite, no row of zeros.
    threshold : float
        Cosine, above 0 and at most 1.

    Returns
    -------
    Repeats
        ``of_rows`` is the nearest other row of each.

    Raises
    ------
    ArrayError
        The vectors hold NaN, infinity or a row of zeros.

    Examples
    --------
    >>> near_duplicates_by_vector(np.array([[1, 0], [0, 1], [2, 0.1]], dtype=np.float32)).rows.tolist()
    [0, 2]
    """
    _check_threshold(threshold)
    if len(vectors) < 2:
        return _near_rows(np.empty((0, 1), dtype=np.int64), np.empty((0, 1), dtype=np.float32), threshold)
    return _near_rows(*nearest_neighbours(vectors, vectors, 1, metric="cosine", exclude_self=True), threshold)


def near_copies_by_vector(
    vectors: npt.NDArray[np.float32], originals: npt.NDArray[np.float32], *, threshold: float = COSINE
) -> Repeats:
    """Find the rows whose nearest row of `originals` is as near as `threshold`, by cosine.

    Parameters
    ----------
    vectors, originals : ndarray of float32, shapes (n_rows, n_dimensions) and (n_originals, n_dimensions)
        Finite, no row of zeros.
    threshold : float
        Cosine, above 0 and at most 1.

    Returns
    -------
    Repeats
        ``of_rows`` are rows of `originals`.

    Raises
    ------
    ArrayError
        The widths differ, or the vectors hold NaN, infinity or a row of zeros.

    Examples
    --------
    >>> vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> near_copies_by_vector(vectors, vectors[1:] * 3).rows.tolist()
    [1]
    """
    _check_threshold(threshold)
    if vectors.shape[1] != originals.shape[1]:
        raise ArrayError(
            f"The vectors have {vectors.shape[1]} dimensions and the originals {originals.shape[1]}; both "
            "must come from one model."
        )
    if not len(vectors) or not len(originals):
        return _near_rows(np.empty((0, 1), dtype=np.int64), np.empty((0, 1), dtype=np.float32), threshold)
    return _near_rows(*nearest_neighbours(vectors, originals, 1, metric="cosine"), threshold)


def _near_rows(rows: npt.NDArray[np.int64], distances: npt.NDArray[np.float32], threshold: float) -> Repeats:
    # The kernel gives the distance between vectors scaled to length one.
    cosines = 1.0 - distances[:, 0].astype(np.float64) ** 2 / 2
    close = np.flatnonzero(cosines >= threshold)
    return Repeats(close.astype(np.int64), rows[close, 0], cosines[close], len(rows))


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold!r}; a number above 0 and at most 1 is wanted.")
