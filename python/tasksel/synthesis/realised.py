"""Requested against realised: how often the writer did what it was asked, and what is short in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.intervals import Interval, wilson_interval
from tasksel.proportion_tests import chi_square_statistic, goodness_of_fit_test, holm
from tasksel.synthesis.checkers import Realised, find_by_pattern, find_by_rule
from tasksel.synthesis.checkers_classifier import corrected_shares, find_by_classifier
from tasksel.synthesis.checkers_judge import find_by_judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tasksel.synthesis.checkers import CheckedDimension, Confusion, Evidence

__all__ = ["DimensionResult", "ValueResult", "compare_realised", "correct_tests", "find_realised"]

N_RESAMPLES: Final = 1_000
MAX_CONDITION: Final = 50.0
"""Condition number of the confusions up to which they are inverted."""
_FINDERS: Final = {
    "rule": find_by_rule,
    "regex": find_by_pattern,
    "classifier": find_by_classifier,
    "judge": find_by_judge,
}


@dataclass(frozen=True)
class ValueResult:
    """One value of a dimension.

    Attributes
    ----------
    value : str
    planned, requested, realised : int
        Planned examples, records of such an example, and records that were found to have the value.
    share : float or None
        Realised share; corrected for the checker's confusions where they are known.
    interval : Interval or None
        95 % interval of the share.
    missing : int
        What the next plan should add.
    """

    value: str
    planned: int
    requested: int
    realised: int
    share: float | None = None
    interval: Interval | None = None
    missing: int = 0


@dataclass
class DimensionResult:
    """A dimension, requested against realised.

    Attributes
    ----------
    name, kind : str
        Kind of check, or ``none``.
    reason : str
        Why it was not measured, or what to know.
    n_rows : int
        Records whose value is known.
    n_unknown : int
        Records of which the checker could say nothing.
    n_agreed : int
        Records that have the value they were asked for.
    agreement : float or None
        Share of them; corrected where the checker's confusions are known.
    interval : Interval or None
        95 % interval of the agreement.
    values : list of ValueResult
    confusion : dict of (str, str) to int
        (requested, realised) -> records.
    p_value, p_corrected : float or None
        That the realised counts come from the planned shares; after Holm's correction over dimensions.
    test : str
        How it was found.
    account : dict
        Figures of the checker itself.
    """

    name: str
    kind: str
    reason: str = ""
    n_rows: int = 0
    n_unknown: int = 0
    n_agreed: int = 0
    agreement: float | None = None
    interval: Interval | None = None
    values: list[ValueResult] = field(default_factory=list)
    confusion: dict[tuple[str, str], int] = field(default_factory=dict)
    p_value: float | None = None
    p_corrected: float | None = None
    test: str = "none"
    account: dict[str, Any] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether anything is known of what was realised."""
        return self.agreement is not None


def find_realised(dimension: CheckedDimension, evidence: Evidence) -> Realised:
    """Check a dimension the way its configuration says.

    Raises
    ------
    ProviderError
        A judge was asked and its endpoint failed for good.
    """
    if dimension.check is None:
        return Realised([], "no check is configured, and no field of the item has its name")
    return _FINDERS[dimension.check.kind](dimension, evidence)


def compare_realised(
    dimension: CheckedDimension,
    requested: Sequence[str | None],
    planned: Mapping[str, int],
    realised: Realised,
    rng: np.random.Generator,
) -> DimensionResult:
    """Compare what was asked of each record with what it has.

    Parameters
    ----------
    dimension : CheckedDimension
        Its values.
    requested : sequence of str or None
        What the plan asked of each record; None and values that are not allowed are left out.
    planned : mapping of str to int
        Planned examples of each value, with or without a record.
    realised : Realised
        From `find_realised`.
    rng : numpy.random.Generator
        Of drawn tests and resamples.

    Returns
    -------
    DimensionResult
        Without the correction for several dimensions; see `correct_tests`.
    """
    kind = "none" if dimension.check is None else dimension.check.kind
    result = DimensionResult(dimension.name, kind, realised.reason, account=realised.account)
    asked = Counter(value for value in requested if value is not None and value in planned)
    if len(realised.values) != len(requested) or not requested:
        result.reason = realised.reason or "there are no records"
        result.values = [
            ValueResult(value, planned.get(value, 0), asked[value], 0) for value in dimension.values
        ]
        return result
    pairs = [
        (one, other)
        for one, other in zip(requested, realised.values, strict=True)
        if one in planned and one is not None and other is not None
    ]
    result.confusion = dict(sorted(Counter(pairs).items()))
    result.n_rows, result.n_unknown = len(pairs), asked.total() - len(pairs)
    result.n_agreed = sum(one == other for one, other in pairs)
    if not pairs:
        result.reason = realised.reason or "the checker could say nothing of any record"
        result.values = [
            ValueResult(value, planned.get(value, 0), asked[value], 0) for value in dimension.values
        ]
        return result
    found = Counter(other for _, other in pairs)
    unknown = asked - Counter(one for one, _ in pairs)
    if realised.confusion is None:
        result.agreement = result.n_agreed / len(pairs)
        result.interval = wilson_interval(result.n_agreed, len(pairs))
        result.values = [
            _counted_value(value, planned, asked, found, unknown, len(pairs)) for value in dimension.values
        ]
        counts = [found[value] for value in dimension.values]
        shares = [planned.get(value, 0) for value in dimension.values]
        if sum(counts) and sum(shares):
            test = goodness_of_fit_test(counts, shares, rng)
            result.p_value, result.test = test.p_value, test.method
    else:
        _fill_corrected(result, dimension, pairs, planned, asked, realised.confusion, rng)
    return result


def correct_tests(results: Sequence[DimensionResult]) -> None:
    """Set `p_corrected` of all that were tested, by Holm over these."""
    tested = [each for each in results if each.p_value is not None and each.test != "none"]
    for each, corrected in zip(tested, holm([each.p_value or 0.0 for each in tested]).tolist(), strict=True):
        each.p_corrected = corrected


def _counted_value(
    value: str,
    planned: Mapping[str, int],
    asked: Counter[str],
    found: Counter[str],
    unknown: Counter[str],
    n_rows: int,
) -> ValueResult:
    wanted = planned.get(value, 0)
    # Of a record that nothing is known of, nothing is known against it.
    missing = max(0, wanted - found[value] - unknown[value])
    interval = wilson_interval(found[value], n_rows)
    return ValueResult(value, wanted, asked[value], found[value], found[value] / n_rows, interval, missing)


def _fill_corrected(
    result: DimensionResult,
    dimension: CheckedDimension,
    pairs: Sequence[tuple[str, str]],
    planned: Mapping[str, int],
    asked: Counter[str],
    confusion: Confusion,
    rng: np.random.Generator,
) -> None:
    """Correct shares and agreement for the checker's confusions; intervals by resampling both samples."""
    places = {value: place for place, value in enumerate(confusion.values)}
    n_values = len(places)
    table = np.zeros((n_values, n_values), dtype=np.int64)
    for one, other in pairs:
        if one in places:
            table[places[one], places[other]] += 1
    found = np.bincount([places[other] for _, other in pairs], minlength=n_values)
    shares = corrected_shares(found, confusion.counts)
    drawn_shares, drawn_agreement = [], []
    for _ in range(N_RESAMPLES // 5):
        known = _redrawn(confusion.counts, rng)
        drawn_table = _redrawn(table, rng)
        drawn_shares.append(
            corrected_shares(rng.multinomial(len(pairs), found / found.sum()), known, steps=60)
        )
        drawn_agreement.append(_corrected_agreement(drawn_table, known))
    low, high = np.quantile(drawn_shares, (0.025, 0.975), axis=0)
    if table.sum():
        result.agreement = min(1.0, max(0.0, _corrected_agreement(table, confusion.counts)))
        # The estimate itself belongs to its interval, also where resampling leans to one side.
        ends = np.clip(np.quantile(drawn_agreement, (0.025, 0.975)), 0.0, 1.0).tolist()
        result.interval = Interval(min(ends[0], result.agreement), max(ends[1], result.agreement))
    result.values = []
    for value in dimension.values:
        wanted = planned.get(value, 0)
        if value not in places:
            result.values.append(ValueResult(value, wanted, asked[value], 0))
            continue
        place = places[value]
        ends = Interval(min(low[place], shares[place]), max(high[place], shares[place]))
        total = sum(planned.values())
        # What the checker may have imagined is not ordered again.
        is_short = total > 0 and ends.high < wanted / total
        missing = max(0, wanted - round(float(shares[place]) * len(pairs))) if is_short else 0
        result.values.append(
            ValueResult(value, wanted, asked[value], int(found[place]), float(shares[place]), ends, missing)
        )
    wanted_shares = np.array([planned.get(value, 0) for value in places], dtype=np.float64)
    if wanted_shares.sum():
        result.p_value = _confused_test(found, wanted_shares / wanted_shares.sum(), confusion.counts, rng)
        result.test = "drawn"


def _corrected_agreement(table: NDArray[np.int64], confusion: NDArray[np.int64]) -> float:
    """Return the share of records whose true value is the requested one.

    By the inverse of the confusions: its parts may leave [0, 1], and chance evens out over the requested
    values. Shares that are kept inside would count every chance deviation as disagreement; they are taken
    where the inverse would blow up chance alone.
    """
    sizes = table.sum(axis=1)
    smoothed = confusion + 0.5 / len(confusion)
    rates = smoothed / smoothed.sum(axis=1, keepdims=True)
    if np.linalg.cond(rates) <= MAX_CONDITION:
        return float(np.trace(table @ np.linalg.inv(rates)) / max(1, sizes.sum()))
    right = sum(
        sizes[place] * corrected_shares(table[place], confusion)[place]
        for place in np.flatnonzero(sizes).tolist()
    )
    return float(right / max(1, sizes.sum()))


def _confused_test(
    found: NDArray[np.int64],
    wanted: NDArray[np.float64],
    confusion: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """Test whether what was found comes from the planned shares seen through the confusions.

    The confusions are known from a sample alone, so each draw takes other ones, as its counts allow.
    """
    smoothed = confusion + 0.5 / len(found)
    expected = wanted @ (smoothed / smoothed.sum(axis=1, keepdims=True))
    statistic = chi_square_statistic(found, expected)
    n_larger = 0
    for _ in range(N_RESAMPLES):
        rates = np.stack([rng.dirichlet(row) for row in smoothed])
        mixture = wanted @ rates
        drawn = rng.multinomial(int(found.sum()), mixture / mixture.sum())
        n_larger += chi_square_statistic(drawn, expected) >= statistic - 1e-9
    return (1 + n_larger) / (1 + N_RESAMPLES)


def _redrawn(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw every row of a table of counts again, with as many."""
    return np.stack(
        [rng.multinomial(row.sum(), row / max(1, row.sum())) if row.sum() else row for row in counts]
    )
