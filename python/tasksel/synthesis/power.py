"""What so many rows can prove: the power of the checks, and the rows that a power needs.

Power is the probability that a check notices what is wrong, at a stated size of the wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.proportion_tests import binomial_distribution, binomial_tail, chi_square_tail
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "LEVEL",
    "WANTED_POWER",
    "missing_share_power",
    "rate_check_power",
    "rows_for_rate_check",
    "short_value_power",
    "smallest_n",
    "unseen_value_power",
]

LEVEL: Final = 0.05
WANTED_POWER: Final = 0.8
MAX_ROWS: Final = 1_000_000
N_TABLES: Final = 4_000
_EXACT_ROWS: Final = 20_000
"""Rows up to which binomial sums are taken; above, the normal approximation has three right digits."""


def rate_check_power(n_rows: int, allowed: float, true: float) -> float:
    """Return the probability that a gate on a failure rate fails: more than `allowed` of the rows fail.

    Parameters
    ----------
    n_rows : int
        Rows that are looked at.
    allowed : float
        Failure rate that the gate still passes.
    true : float
        The rate at which rows really fail.

    Returns
    -------
    float
        Exact (binomial) up to 20,000 rows.

    Examples
    --------
    >>> round(rate_check_power(100, 0.02, 0.04), 3), round(rate_check_power(100, 0.0, 0.01), 3)
    (0.768, 0.634)
    """
    _check_shares(allowed=allowed, true=true)
    if n_rows < 1:
        return 0.0
    # Rounding must not turn "2 of 100 is 2 %" into more than 2 %.
    most = math.floor(allowed * n_rows + 1e-9)
    return _upper_tail(most + 1, n_rows, true)


def short_value_power(n_rows: int, planned: float, realised: float, *, level: float = LEVEL) -> float:
    """Return the power of the exact one-sided binomial test to find that a value is too rare.

    Parameters
    ----------
    n_rows : int
        Rows whose value is known.
    planned, realised : float
        Share that the value should have and share at which it really comes; at most `planned`.
    level : float
        Highest probability of a false alarm.

    Examples
    --------
    >>> short_value_power(100, 0.2, 0.1) > 0.87, short_value_power(100, 0.2, 0.0)
    (True, 1.0)
    """
    _check_shares(planned=planned, realised=realised)
    # The highest count at which the test rejects, or -1.
    rejected = int(np.searchsorted(binomial_distribution(n_rows, planned), level, side="right")) - 1
    return 0.0 if rejected < 0 else float(binomial_distribution(n_rows, realised)[rejected])


def unseen_value_power(n_rows: int, planned: float) -> float:
    """Return the probability that a value of that share is seen at all: ``1 - (1 - planned)^n``.

    Examples
    --------
    >>> round(unseen_value_power(100, 0.2), 6), round(unseen_value_power(10, 0.2), 3)
    (1.0, 0.893)
    """
    _check_shares(planned=planned)
    return 1.0 - (1.0 - planned) ** n_rows


def missing_share_power(
    n_rows: int, share: float, n_cells: int, *, n_reference: int | None = None, level: float = LEVEL
) -> float:
    """Return the power of a χ² test over cells to find that a share of the mass is missing altogether.

    The cells have equal shares; `share` of them (rounded, one at least) have no row, and the rest comes in
    proportion. Against a reference that is a sample itself both rows of the 2 x k table are random, and cells
    that neither has do not count as degrees of freedom.

    Parameters
    ----------
    n_rows : int
        Rows of the sample.
    share : float
        The missing share, above 0 and below 1.
    n_cells : int
        Cells that the test compares, at least 2.
    n_reference : int, optional
        Rows of the reference where the cells' shares are estimated from it; by default they are known.
    level : float
        Highest probability of a false alarm.

    Returns
    -------
    float
        The share of 4,000 drawn tables that the test rejects, always the same ones: right to about .015. The
        noncentral χ² distribution would be far too low here, since cells that stay empty do not vary.

    Examples
    --------
    A stratum that the plan names is counted, and a missing fifth is seen at once. Where the strata are
    clusters of unlabelled texts, it depends on how many there are and how well the real shares are known:
    100 rows against 100 real ones over 40 clusters see a missing fifth less than every second time.

    >>> missing_share_power(100, 0.2, 5), round(missing_share_power(100, 0.2, 40, n_reference=100), 1)
    (1.0, 0.4)
    """
    if not 0 < share < 1 or n_cells < 2:
        raise ConfigError(
            f"A missing share of {share!r} over {n_cells} cells; wanted are 0 to 1 and 2 cells."
        )
    if n_rows < 1 or n_reference == 0:
        return 0.0
    rng = np.random.default_rng(0)
    wanted = np.full(n_cells, 1 / n_cells)
    n_missing = min(n_cells - 1, max(1, round(share * n_cells)))
    realised = np.where(np.arange(n_cells) < n_missing, 0.0, 1 / (n_cells - n_missing))
    drawn = rng.multinomial(n_rows, realised, N_TABLES)
    if n_reference is None:
        expected = n_rows * wanted
        statistics = ((drawn - expected) ** 2 / expected).sum(axis=1)
        return float((statistics >= _chi_square_quantile(level, n_cells - 1)).mean())
    reference = rng.multinomial(n_reference, wanted, N_TABLES)
    total = drawn + reference
    # (a - E a)²/E a + (b - E b)²/E b = (a m - b n)² / (n m (a + b)) in a 2 x k table.
    parts = (drawn * n_reference - reference * n_rows) ** 2 / (n_rows * n_reference * np.maximum(total, 1))
    degrees = np.maximum((total > 0).sum(axis=1) - 1, 1)
    limits = {each: _chi_square_quantile(level, each) for each in set(degrees.tolist())}
    return float((parts.sum(axis=1) >= np.array([limits[each] for each in degrees.tolist()])).mean())


def smallest_n(power: Callable[[int], float], wanted: float = WANTED_POWER) -> int | None:
    """Return the least number of rows at which a check has the wanted power, or None above a million.

    `power` must not fall with n; where counts are whole it does in places, and the number is then that of
    one tooth of the saw. `rows_for_rate_check` minds that.

    Examples
    --------
    >>> smallest_n(lambda n: unseen_value_power(n, 0.2))
    8
    """
    high = 1
    while power(high) < wanted:
        high *= 2
        if high > MAX_ROWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= wanted else (middle, high)
    return high


def rows_for_rate_check(allowed: float, true: float, wanted: float = WANTED_POWER) -> int | None:
    """Return the least number of rows from which on `rate_check_power` stays at the wanted power.

    Each failure more that is allowed lowers the power at once, from where it rises again with n: a saw whose
    lowest points, at ``k / allowed`` rows, rise.

    Examples
    --------
    >>> rows_for_rate_check(0.0, 0.01), rows_for_rate_check(0.02, 0.04)
    (161, 106)
    """
    if true <= allowed:
        return None
    if allowed == 0:
        return smallest_n(lambda n: rate_check_power(n, 0.0, true), wanted)

    def lowest(tooth: int) -> int:
        return max(1, math.ceil(tooth / allowed - 1e-9))

    tooth = smallest_n(lambda k: rate_check_power(lowest(k), allowed, true), wanted)
    if tooth is None or lowest(tooth) > MAX_ROWS:
        return None
    low, high = lowest(tooth - 1) - 1, lowest(tooth)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if rate_check_power(middle, allowed, true) >= wanted else (middle, high)
    return high


def _upper_tail(count: int, n_rows: int, share: float) -> float:
    if n_rows <= _EXACT_ROWS:
        return binomial_tail(count, n_rows, share, upper=True)
    deviation = math.sqrt(n_rows * share * (1 - share))
    if deviation == 0:
        return float(count <= n_rows * share)
    return 0.5 * math.erfc((count - 0.5 - n_rows * share) / deviation / math.sqrt(2))


def _chi_square_quantile(level: float, degrees: int) -> float:
    low, high = 0.0, 10.0 * degrees + 50.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_tail(middle, degrees) > level else (low, middle)
    return high


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share!r}; a share from 0 to 1 is wanted.")
