"""How far annotators agree: the share of equal pairs, and Krippendorff's alpha where answers are choices."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["Agreement", "krippendorff_alpha", "measure_agreement", "pairwise_agreement"]

_MOST_CATEGORIES: Final = 20
_FEWEST_ANSWERS: Final = 3
"""So many answers a category on average, or the answers are free text for which alpha says nothing."""


@dataclass(frozen=True)
class Agreement:
    """What several answers to the same prompts say of each other.

    Parameters
    ----------
    prompts : int
        Prompts with two or more answers.
    exact_match : float or None
        Mean share of a prompt's pairs of answers that are equal; None without such prompts.
    alpha : float or None
        Krippendorff's alpha for nominal data; None where the answers are no closed set, or never vary.
    """

    prompts: int
    exact_match: float | None
    alpha: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-compatible values."""
        return asdict(self)


def measure_agreement(answers: Sequence[Sequence[Hashable]]) -> Agreement:
    """Measure the agreement of answers, given prompt by prompt.

    Examples
    --------
    >>> measure_agreement([["a", "a"], ["b", "b"], ["a", "b"], ["a"]])
    Agreement(prompts=3, exact_match=0.6666666666666666, alpha=0.4444444444444444)
    """
    several = [each for each in answers if len(each) > 1]
    if not several:
        return Agreement(0, None, None)
    shares = [pairwise_agreement(each) for each in several]
    categories = {answer for each in several for answer in each}
    n_answers = sum(map(len, several))
    is_closed = len(categories) <= _MOST_CATEGORIES and n_answers >= _FEWEST_ANSWERS * len(categories)
    alpha = krippendorff_alpha(several) if is_closed else None
    return Agreement(len(several), math.fsum(shares) / len(shares), alpha)


def pairwise_agreement(answers: Sequence[Hashable]) -> float:
    """Return the share of equal pairs among two or more answers.

    Examples
    --------
    >>> pairwise_agreement(["a", "a", "b"])
    0.3333333333333333
    """
    n = len(answers)
    return sum(count * (count - 1) for count in Counter(answers).values()) / (n * (n - 1))


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha for nominal data with any number of answers a unit.

    Parameters
    ----------
    units : sequence of sequences
        The answers of each unit; units with fewer than two are passed over.

    Returns
    -------
    float or None
        1 for perfect agreement, 0 for what chance gives; None where fewer than two categories occur.

    References
    ----------
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section B (coincidences).

    Examples
    --------
    >>> krippendorff_alpha([["x", "x"], ["y", "y"]])
    1.0
    """
    totals: Counter[Hashable] = Counter()
    disagreeing = 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        totals.update(unit)
        disagreeing += len(unit) * (1.0 - pairwise_agreement(unit))
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    return 1.0 - (n - 1) * disagreeing / expected if expected else None
