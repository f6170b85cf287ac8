"""Values that stand more than once, found by their 64-bit hashes in order.

A hash table of millions of texts costs more memory than the texts; a sorted array of hashes costs eight
bytes a text. Texts are compared only where hashes meet, so that the answer is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["repeated_keys", "repeated_rows"]


def repeated_rows(values: pl.Series) -> pl.Series:
    """Mark the rows whose value stands in another row too: `Series.is_duplicated`, in less memory.

    Parameters
    ----------
    values : Series, shape (n_rows,)
        Text; nulls count as equal.

    Returns
    -------
    Series of Boolean, shape (n_rows,)

    Examples
    --------
    >>> repeated_rows(pl.Series(["a", "b", "a", None])).to_list()
    [True, False, True, False]
    """
    hashes = values.hash()
    mask = hashes.is_in(pl.Series(repeated_keys(hashes.to_numpy())).implode())
    if mask.any():  # different values may have one hash
        exact = np.zeros(len(values), dtype=np.bool_)
        exact[mask.to_numpy()] = values.filter(mask).is_duplicated().to_numpy()
        mask = pl.Series(exact)
    return mask.alias(values.name)


def repeated_keys(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the keys that stand more than once, each once and in order.

    Examples
    --------
    >>> repeated_keys(np.array([3, 1, 3, 2, 1, 3], dtype=np.uint64))
    array([1, 3], dtype=uint64)
    """
    ordered = np.sort(keys)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
