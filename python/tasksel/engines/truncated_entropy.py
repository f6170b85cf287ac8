"""The entropy that can be known from the likeliest tokens alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["truncated_entropy"]


def truncated_entropy(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the entropy of the listed tokens and of all others as one outcome, in nats.

    With p the probabilities of the listed tokens and r the rest of 1, it is -Σ p log p - r log r, which is
    never above the entropy of the whole distribution.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_tokens, n_listed)
        Of different tokens; 0 fills shorter lists.

    Returns
    -------
    ndarray of float64, shape (n_tokens,)

    Examples
    --------
    >>> truncated_entropy(np.array([[0.5, 0.25], [1.0, 0.0]])).round(4).tolist()
    [1.0397, 0.0]
    """
    rest = np.maximum(0.0, 1.0 - probabilities.sum(axis=1))
    every = np.column_stack([probabilities, rest])
    surprise = -every * np.log(np.where(every > 0.0, every, 1.0))
    entropy: npt.NDArray[np.float64] = surprise.sum(axis=1) + 0.0
    return entropy
