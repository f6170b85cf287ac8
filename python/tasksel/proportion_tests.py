"""Tests of counts against shares: χ², exact multinomial and binomial, permutations; and their correction.

All need numpy alone. Exact tests enumerate where that is feasible and draw where it is not; a drawn p-value
counts the observation itself, so that it is never zero and never too small on average.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel_core.errors import ArrayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

__all__ = [
    "TestResult",
    "benjamini_hochberg",
    "binomial_distribution",
    "binomial_tail",
    "binomial_test",
    "chi_square_statistic",
    "chi_square_tail",
    "goodness_of_fit_test",
    "holm",
    "independence_test",
    "multinomial_test",
]

MIN_EXPECTED: Final = 5.0
"""Expected count in every cell from which on χ² is trusted (Cochran 1954)."""
MAX_OUTCOMES: Final = 20_000
"""Outcomes that are enumerated; above that they are drawn."""
N_DRAWS: Final = 20_000
_SAME: Final = 1e-9
"""Outcomes whose probabilities differ by no more are equally likely; rounding is far below it."""


class TestResult(NamedTuple):
    """What a test says.

    Attributes
    ----------
    p_value : float
        Probability of a deviation at least as large, were the shares right.
    method : str
        ``chi-square``, ``exact``, ``drawn`` or ``none`` where there is nothing to test.
    statistic : float
        χ².
    """

    p_value: float
    method: str
    statistic: float


TestResult.__test__ = False  # type: ignore[attr-defined]  # pytest takes a class of this name for a test


def goodness_of_fit_test(
    counts: npt.ArrayLike, shares: npt.ArrayLike, rng: np.random.Generator
) -> TestResult:
    """Test whether counts come from shares: by χ² where all expected counts are large, else exactly.

    Parameters
    ----------
    counts : array-like of int, shape (n_values,)
        How often each value was seen.
    shares : array-like of float, shape (n_values,)
        What was wanted, in any unit; not negative, not all zero. A value of share 0 that was seen gives 0.0.
    rng : numpy.random.Generator
        For outcomes that are too many to enumerate.

    Returns
    -------
    TestResult
        p-value 1.0 by ``none`` where nothing was counted or only one value is allowed.

    Raises
    ------
    ArrayError
        The two differ in shape, hold negative or broken numbers, or all shares are zero.

    References
    ----------
    Cochran, W. G. (1954). Some methods for strengthening the common χ² tests. Biometrics 10, 417-451.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = goodness_of_fit_test([30, 50, 20], [50, 30, 20], rng)
    >>> result.method, round(result.p_value, 5), round(result.statistic, 2)
    ('chi-square', 2e-05, 21.33)
    >>> goodness_of_fit_test([4, 0], [0.5, 0.5], rng)[:2]
    (0.125, 'exact')
    """
    observed, expected = _checked(counts, shares)
    statistic = chi_square_statistic(observed, expected)
    if (observed[expected == 0] > 0).any():
        return TestResult(0.0, "exact", math.inf)
    possible = expected > 0
    observed, expected = observed[possible], expected[possible]
    if not observed.sum() or len(observed) < 2:
        return TestResult(1.0, "none", 0.0)
    if (expected * observed.sum()).min() >= MIN_EXPECTED:
        return TestResult(chi_square_tail(statistic, len(observed) - 1), "chi-square", statistic)
    p_value, method = multinomial_test(observed, expected, rng)
    return TestResult(p_value, method, statistic)


def chi_square_statistic(counts: npt.ArrayLike, shares: npt.ArrayLike) -> float:
    """Return Pearson's χ²: the sum of (observed - expected)² / expected; inf where a share is 0 and seen."""
    observed, expected = _checked(counts, shares)
    wanted = expected * observed.sum()
    if (observed[wanted == 0] > 0).any():
        return math.inf
    return float(((observed - wanted)[wanted > 0] ** 2 / wanted[wanted > 0]).sum())


def multinomial_test(
    counts: npt.ArrayLike, shares: npt.ArrayLike, rng: np.random.Generator
) -> tuple[float, str]:
    """Return the probability of all outcomes that are at most as likely as the counts, and how it was found.

    Parameters
    ----------
    counts, shares, rng
        As in `goodness_of_fit_test`.

    Returns
    -------
    p_value : float
    method : str
        ``exact`` up to 20,000 outcomes, else ``drawn`` (20,000 draws).

    References
    ----------
    Read, T. R. C., Cressie, N. A. C. (1988). Goodness-of-Fit Statistics for Discrete Multivariate Data, 4.2.

    Examples
    --------
    >>> multinomial_test([4, 0], [0.5, 0.5], np.random.default_rng(0))
    (0.125, 'exact')
    """
    observed, expected = _checked(counts, shares)
    n_rows, n_values = int(observed.sum()), len(observed)
    threshold = float(_log_probability(observed[None], expected)[0])
    if math.comb(n_rows + n_values - 1, n_values - 1) <= MAX_OUTCOMES:
        outcomes = np.array(list(_compositions(n_rows, n_values)), dtype=np.int64).reshape(-1, n_values)
        logs = _log_probability(outcomes, expected)
        return min(1.0, float(np.exp(logs[logs <= threshold + _SAME]).sum())), "exact"
    logs = _log_probability(rng.multinomial(n_rows, expected, N_DRAWS), expected)
    return float((1 + (logs <= threshold + _SAME).sum()) / (1 + N_DRAWS)), "drawn"


def binomial_tail(successes: int, trials: int, share: float, *, upper: bool) -> float:
    """Return the probability of at least (`upper`), or at most, that many successes.

    Examples
    --------
    >>> binomial_tail(0, 10, 0.5, upper=False), binomial_tail(0, 10, 0.5, upper=True)
    (0.0009765625, 1.0)
    """
    if not 0 <= share <= 1 or trials < 0:
        raise ArrayError(f"{trials} trials at a share of {share!r}; a share from 0 to 1 is wanted.")
    wanted = range(max(0, successes), trials + 1) if upper else range(min(successes, trials) + 1)
    if len(wanted) > trials + 1 - len(wanted):  # the shorter sum is the more exact one
        rest = range(max(0, successes)) if upper else range(successes + 1, trials + 1)
        return min(1.0, max(0.0, 1.0 - float(_binomial_probabilities(trials, share, rest).sum())))
    return min(1.0, float(_binomial_probabilities(trials, share, wanted).sum()))


def binomial_distribution(trials: int, share: float) -> npt.NDArray[np.float64]:
    """Return the probability of at most 0, 1, … `trials` successes, shape (trials + 1,).

    Examples
    --------
    >>> binomial_distribution(2, 0.5).tolist()
    [0.25, 0.75, 1.0]
    """
    return np.minimum(1.0, np.cumsum(_binomial_probabilities(trials, share, range(trials + 1)))).round(15)


def binomial_test(successes: int, trials: int, share: float) -> float:
    """Return the two-sided exact p-value: all counts that are at most as likely as the one seen.

    Examples
    --------
    >>> round(binomial_test(2, 10, 0.5), 6)
    0.109375
    """
    probabilities = _binomial_probabilities(trials, share, range(trials + 1))
    return min(1.0, float(probabilities[probabilities <= probabilities[successes] * (1 + _SAME)].sum()))


def independence_test(
    table: npt.ArrayLike, rng: np.random.Generator, *, n_draws: int = N_DRAWS
) -> TestResult:
    """Test whether rows and columns of a table of counts are independent, given its margins.

    A table of two by two is tested by Fisher's exact test; larger ones by χ² where all expected counts are
    at least 5, else by the share of permuted tables whose χ² is at least as large.

    Parameters
    ----------
    table : array-like of int, shape (n_rows, n_columns)
    rng : numpy.random.Generator
        Permutes.
    n_draws : int
        Permutations.

    Returns
    -------
    TestResult
        p-value 1.0 by ``none`` where a margin leaves no choice.

    Raises
    ------
    ArrayError
        The table is not two-dimensional or holds negative numbers.

    Examples
    --------
    >>> result = independence_test([[3, 1], [1, 3]], np.random.default_rng(0))
    >>> round(result.p_value, 4), result.method
    (0.4857, 'exact')
    """
    counts = np.asarray(table)
    if counts.ndim != 2 or (counts.size and (counts < 0).any()):
        raise ArrayError(f"The table has shape {counts.shape}; two dimensions without negatives are wanted.")
    counts = counts.astype(np.int64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return TestResult(1.0, "none", 0.0)
    rows, columns, total = counts.sum(axis=1), counts.sum(axis=0), int(counts.sum())
    expected = np.outer(rows, columns) / total
    statistic = float(((counts - expected) ** 2 / expected).sum())
    if counts.shape == (2, 2):
        return TestResult(_fisher(counts), "exact", statistic)
    if expected.min() >= MIN_EXPECTED:
        return TestResult(
            chi_square_tail(statistic, (len(rows) - 1) * (len(columns) - 1)), "chi-square", statistic
        )
    row_of, column_of = np.repeat(np.arange(len(rows)), rows), np.repeat(np.arange(len(columns)), columns)
    n_larger = 0
    for _ in range(n_draws):
        cells = row_of * len(columns) + rng.permutation(column_of)
        drawn = np.bincount(cells, minlength=expected.size).reshape(expected.shape)
        n_larger += float(((drawn - expected) ** 2 / expected).sum()) >= statistic * (1 - _SAME)
    return TestResult((1 + n_larger) / (1 + n_draws), "drawn", statistic)


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return p-values corrected so that one false alarm among all is as rare as the level says.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of
    Statistics 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    return _stepwise(p_values, lambda ranks, n_tests: n_tests - ranks, downwards=False)


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return p-values corrected so that the share of false ones among those reported is as the level says.

    References
    ----------
    Benjamini, Y., Hochberg, Y. (1995). Controlling the false discovery rate. Journal of the Royal Statistical
    Society B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    return _stepwise(p_values, lambda ranks, n_tests: n_tests / (ranks + 1), downwards=True)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the probability that χ² with so many degrees of freedom is at least `statistic`.

    The upper regularised incomplete gamma function, by its series below ``a + 1`` and its continued fraction
    above (Press et al., Numerical Recipes, section 6.2).

    Examples
    --------
    >>> round(chi_square_tail(3.841458820694124, 1), 12), chi_square_tail(0.0, 3)
    (0.05, 1.0)
    """
    if degrees < 1 or not statistic >= 0:
        raise ArrayError(f"χ² of {statistic} with {degrees} degrees of freedom; both must be positive.")
    if statistic == 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0
    a, x = degrees / 2, statistic / 2
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1.0 - front * _gamma_series(a, x))
    return min(1.0, front * _gamma_fraction(a, x))


def _gamma_series(a: float, x: float) -> float:
    term = total = 1 / a
    while abs(term) > abs(total) * 1e-16:
        a += 1
        term *= x / a
        total += term
    return total


def _gamma_fraction(a: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    value = d
    for step in range(1, 100_000):
        factor = -step * (step - a)
        b += 2
        d = 1 / _away_from_zero(factor * d + b, tiny)
        c = _away_from_zero(b + factor / c, tiny)
        value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _away_from_zero(number: float, tiny: float) -> float:
    return number if abs(number) > tiny else tiny


def _fisher(counts: npt.NDArray[np.int64]) -> float:
    (a, b), (c, d) = counts.tolist()
    first, column, total = a + b, a + c, a + b + c + d
    low, high = max(0, first + column - total), min(first, column)
    logs = np.array(
        [
            _log_choose(column, each) + _log_choose(total - column, first - each) - _log_choose(total, first)
            for each in range(low, high + 1)
        ]
    )
    return min(1.0, float(np.exp(logs[logs <= logs[a - low] + _SAME]).sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _binomial_probabilities(trials: int, share: float, counts: range) -> npt.NDArray[np.float64]:
    if not len(counts):
        return np.zeros(0)
    if share in (0.0, 1.0):
        return np.array([float(count == trials * share) for count in counts])
    seen = np.arange(counts.start, counts.stop)
    factorials = _log_factorials(trials)
    logs = factorials[trials] - factorials[seen] - factorials[trials - seen]
    return np.asarray(np.exp(logs + seen * math.log(share) + (trials - seen) * math.log1p(-share)))


def _log_factorials(highest: int) -> npt.NDArray[np.float64]:
    """Return the logarithms of 0! to highest!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, highest + 1)))])


def _log_probability(
    outcomes: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the logarithm of each outcome's multinomial probability; shares of 0 must not be seen."""
    total = int(outcomes.sum(axis=1).max(initial=0))
    table = _log_factorials(total)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(table[total] - table[outcomes].sum(axis=1) + outcomes @ logs)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to share `total` things among `parts`."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _checked(
    counts: npt.ArrayLike, shares: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    observed, wanted = np.asarray(counts), np.asarray(shares, dtype=np.float64)
    if observed.ndim != 1 or observed.shape != wanted.shape or not observed.size:
        raise ArrayError(f"counts have shape {observed.shape} and shares {wanted.shape}; one each is wanted.")
    if (observed < 0).any() or not np.isfinite(wanted).all() or (wanted < 0).any() or not wanted.sum() > 0:
        raise ArrayError("Counts and shares must be finite and not negative, and not all shares zero.")
    return observed.astype(np.int64), wanted / wanted.sum()


def _stepwise(
    p_values: npt.ArrayLike,
    factor: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]],
    *,
    downwards: bool,
) -> npt.NDArray[np.float64]:
    """Multiply the sorted p-values and make them monotone again, from the largest or from the smallest."""
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ArrayError("p-values must be numbers from 0 to 1 in one dimension.")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * factor(np.arange(len(values), dtype=np.float64), len(values))
    ordered = scaled[::-1] if downwards else scaled
    monotone = (np.minimum if downwards else np.maximum).accumulate(ordered)
    scaled = monotone[::-1] if downwards else monotone
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(scaled, 1.0)
    return corrected
