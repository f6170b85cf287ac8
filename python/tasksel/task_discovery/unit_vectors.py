"""Embeddings of length one, some rows at a time, and the centers that they are nearest to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel_core import nearest_neighbours
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Nearest", "mean_vectors", "nearest_centers", "sampled_rows", "unit_rows", "usable_rows"]

BLOCK_ROWS: Final = 1 << 15


class Nearest(NamedTuple):
    """The centers that rows are nearest to.

    Attributes
    ----------
    centers : ndarray of int64, shape (n_rows,)
        Place of the nearest center.
    similarity : ndarray of float64, shape (n_rows,)
        Cosine similarity with it.
    next_similarity : ndarray of float64, shape (n_rows,)
        That with the second nearest; -1 where there is one center only.
    """

    centers: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    next_similarity: npt.NDArray[np.float64]


def usable_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Tell which rows have a direction: all but those of zeros.

    Raises
    ------
    SchemaError
        A value is not finite.
    """
    usable = np.empty(len(vectors), dtype=np.bool_)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise SchemaError(
                f"The embedding of row {row + 1:,} holds NaN or infinity; all values must be finite."
            )
        usable[start : start + BLOCK_ROWS] = block.any(axis=1)
    return usable


def unit_rows(vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Copy some rows, each scaled to length one; squared Euclidean distances are then 2 - 2 cos.

    Examples
    --------
    >>> unit_rows(np.array([[3, 4], [0, 9]], dtype=np.float32), np.array([0])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    chosen = np.array(vectors[rows], dtype=np.float32)
    # By the largest value first: squares of very large or small values leave float32's range.
    chosen /= np.abs(chosen).max(axis=1, keepdims=True, initial=np.float32(1e-38))
    chosen /= np.sqrt(np.einsum("ij,ij->i", chosen, chosen))[:, None]
    return chosen


def sampled_rows(rows: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw at most so many of `rows`, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def nearest_centers(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], centers: npt.NDArray[np.float32]
) -> Nearest:
    """Find the centers of largest cosine similarity.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Rows of `rows` have a direction.
    rows : ndarray of int64
        Which of them.
    centers : ndarray of float32, shape (n_centers, d)
        Of length one; at least one. Of equally near ones the first counts.
    """
    labels = np.empty(len(rows), dtype=np.int64)
    similarity = np.empty((len(rows), 2))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        found, distances = nearest_neighbours(unit_rows(vectors, rows[part]), centers, 2)
        labels[part] = found[:, 0]
        similarity[part, 0] = 1 - distances[:, 0].astype(np.float64) ** 2 / 2
        similarity[part, 1] = 1 - distances[:, 1].astype(np.float64) ** 2 / 2 if len(centers) > 1 else -1
    return Nearest(labels, similarity[:, 0], similarity[:, 1])


def mean_vectors(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    n_labels: int,
) -> npt.NDArray[np.float32]:
    """Give each label the direction of the mean of its rows, of length one; zeros where it has none.

    Sums are in float64 and in the order of the rows, so that they are the same everywhere.
    """
    sums = np.zeros((n_labels, vectors.shape[1]))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        order = np.argsort(labels[part], kind="stable")
        found, firsts = np.unique(labels[part][order], return_index=True)
        block = unit_rows(vectors, rows[part][order]).astype(np.float64)
        sums[found] += np.add.reduceat(block, firsts, axis=0)
    lengths = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
    return (sums / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
