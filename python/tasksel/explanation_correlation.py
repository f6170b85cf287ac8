"""Rank correlation of a few numbers, with the probability that chance gives as much."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FEWEST_PAIRS", "RankCorrelation", "rank_correlation"]

FEWEST_PAIRS: Final = 3
"""Pairs under which no correlation is told."""
_EXACT: Final = 8
"""Up to 8 pairs all permutations, at most 40,320, are gone through."""
_CELLS: Final = 5_000_000
"""Numbers permuted in all, which bounds the permutations of long columns."""
_MOST_DRAWS: Final = 9_999
_FEWEST_DRAWS: Final = 499
_BLOCK: Final = 500
_TIE: Final = 1e-9
"""Sums of the same ranks in another order differ by rounding."""


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation and its permutation test.

    Parameters
    ----------
    value : float
        From -1 to 1; NaN where there are under three pairs or a column has one value alone.
    n : int
        Pairs.
    p_value : float
        Share of the permutations whose correlation is as large; 1.0 where there is no correlation.
    is_exact : bool
        Whether all permutations were gone through.
    """

    value: float
    n: int
    p_value: float
    is_exact: bool


def rank_correlation(
    first: ArrayLike,
    second: ArrayLike,
    *,
    alternative: Literal["two-sided", "greater"] = "two-sided",
    seed: int = 0,
) -> RankCorrelation:
    """Correlate the ranks of two columns, ties at their mean rank.

    Parameters
    ----------
    first, second : array-like of float, shape (n,)
        Pairs in which a number is NaN are left out.
    alternative : {"two-sided", "greater"}
        What counts as large: either sign, or positive alone.
    seed : int
        Of the permutations, where there are too many for all of them.

    Returns
    -------
    RankCorrelation

    References
    ----------
    Spearman (1904), "The proof and measurement of association between two things"; Phipson & Smyth (2010),
    "Permutation p-values should never be zero", for the p-value of drawn permutations.

    Examples
    --------
    >>> found = rank_correlation([1, 2, 3, 4, 5], [2, 1, 3, 4, 5], alternative="greater")
    >>> round(found.value, 2), round(found.p_value, 3), found.is_exact
    (0.9, 0.042, True)
    """
    pairs = np.array([first, second], dtype=np.float64)
    pairs = pairs[:, ~np.isnan(pairs).any(axis=0)]
    n = pairs.shape[1]
    if n < FEWEST_PAIRS:
        return RankCorrelation(math.nan, n, 1.0, is_exact=True)
    columns = [_centred_ranks(column) for column in pairs]
    scale = math.sqrt(float(columns[0] @ columns[0]) * float(columns[1] @ columns[1]))
    if scale == 0.0:
        return RankCorrelation(math.nan, n, 1.0, is_exact=True)
    value = float(columns[0] @ columns[1]) / scale
    is_exact = n <= _EXACT
    count = _count_all if is_exact else _count_drawn
    n_large, n_permutations = count(columns[0], columns[1] / scale, value, alternative, seed)
    p_value = n_large / n_permutations if is_exact else (n_large + 1) / (n_permutations + 1)
    return RankCorrelation(value, n, p_value, is_exact)


def _centred_ranks(column: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2.0)[inverse]
    return ranks - (len(column) + 1) / 2.0


def _n_large(products: NDArray[np.float64], value: float, alternative: str) -> int:
    if alternative == "greater":
        return int((products >= value - _TIE).sum())
    return int((np.abs(products) >= abs(value) - _TIE).sum())


def _count_all(
    first: NDArray[np.float64], second: NDArray[np.float64], value: float, alternative: str, _: int
) -> tuple[int, int]:
    orders = np.array(list(itertools.permutations(range(len(first)))))
    return _n_large(first[orders] @ second, value, alternative), len(orders)


def _count_drawn(
    first: NDArray[np.float64], second: NDArray[np.float64], value: float, alternative: str, seed: int
) -> tuple[int, int]:
    rng = np.random.default_rng(seed)
    n_draws = int(np.clip(_CELLS // len(first), _FEWEST_DRAWS, _MOST_DRAWS))
    n_large = 0
    for start in range(0, n_draws, _BLOCK):
        block = np.tile(first, (min(_BLOCK, n_draws - start), 1))
        n_large += _n_large(rng.permuted(block, axis=1) @ second, value, alternative)
    return n_large, n_draws
