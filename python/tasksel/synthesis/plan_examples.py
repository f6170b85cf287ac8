"""Planned examples: every stratum, dimension and edge category in exact counts, tier by tier.

Each tier is the tier above it rounded down to its size, so that smaller tiers are prefixes. A dimension is a
table of strata against values with exact sums on both sides, cut into tiers in the same way. Inside a tier's
stratum the values are dealt in an order of their own, so that dimensions are independent of each other there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.synthesis.config_values import stratum_name
from tasksel.synthesis.controlled_rounding import around, largest_remainder, round_table
from tasksel.synthesis.table_flow import InfeasibleTableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tasksel.synthesis.config import StrataConfig

__all__ = ["DimensionPlan", "cut_counts", "cut_tiers", "deal_examples", "plan_dimension"]

_ATTEMPTS: Final = 4
"""Orders of the strata that are tried where a small tier cannot be in proportion; one does nearly always."""


@dataclass(frozen=True, eq=False)
class DimensionPlan:
    """Counts of a dimension's values in every stratum of every tier.

    Attributes
    ----------
    name : str
        Its column.
    values : tuple of str or None
        What the column holds; None for an example that is no edge case.
    tiers : tuple of NDArray[np.int64]
        A table a tier, shape (n_strata, n_values), each within the next.
    """

    name: str
    values: tuple[str | None, ...]
    tiers: tuple[NDArray[np.int64], ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Examples of each value, shape (n_values,)."""
        counts: NDArray[np.int64] = self.tiers[-1].sum(axis=0)
        return counts


def cut_tiers(planned: NDArray[np.int64], sizes: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    """Return the strata of each tier, so that it holds them and their levels in proportion.

    Parameters
    ----------
    planned : NDArray[np.int64]
        Examples of each stratum, an axis a level.
    sizes : sequence of int
        Rising; the last is the sum of `planned`.

    Returns
    -------
    tuple of NDArray[np.int64]
        A table a tier, each within the next.

    Examples
    --------
    >>> [tier.tolist() for tier in cut_tiers(np.array([6, 2, 2]), [5, 10])]
    [[3, 1, 1], [6, 2, 2]]
    """
    tiers = [planned]
    total = int(planned.sum())
    for size in reversed(sizes[:-1]):
        tiers.append(round_table(planned * (size / total), high=tiers[-1]).counts)
    return tuple(tiers[::-1])


def plan_dimension(
    name: str,
    weights: Mapping[str, float] | Mapping[str | None, float],
    strata_tiers: Sequence[NDArray[np.int64]],
    *,
    counts: NDArray[np.int64] | None = None,
    seed: int,
) -> DimensionPlan:
    """Spread a dimension's values over the strata of each tier in exact counts.

    Parameters
    ----------
    name : str
        Its column.
    weights : mapping of str or None to float
        Value -> share of the examples, in any unit.
    strata_tiers : sequence of NDArray[np.int64]
        As `cut_tiers` gives them.
    counts : NDArray[np.int64], optional
        Examples of each value, where they are not the weights' largest remainders.
    seed : int
        Decides which strata get the remainders; sums do not depend on it.

    Returns
    -------
    DimensionPlan
    """
    strata = [tier.ravel() for tier in strata_tiers]
    exact = largest_remainder(list(weights.values()), int(strata[-1].sum())) if counts is None else counts
    # Rounding hands remainders on from row to row; a seeded order of the rows decides who gets them.
    orders = [
        np.argsort(_random_keys(len(strata[-1]), seed, name, f"strata {attempt}"), kind="stable")
        for attempt in range(_ATTEMPTS)
    ]
    for order in orders:
        tiers = _cut_down(strata, exact, order)
        if tiers is not None:
            return DimensionPlan(name, tuple(weights), tiers)
    return DimensionPlan(name, tuple(weights), _build_up(strata, exact, orders[0]))


def _cut_down(
    strata: Sequence[NDArray[np.int64]], exact: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...] | None:
    """Return a table of strata against values for each tier: the whole one first, each smaller one within it.

    Every cell of the whole table is within 1 of its share. What it gives a small stratum can leave a smaller
    tier without any table; then there is None.
    """
    total = max(1, int(strata[-1].sum()))
    tiers: list[NDArray[np.int64]] = []
    for rows in reversed(strata):
        size = int(rows.sum())
        real = np.outer(rows[order], exact / total)
        high = tiers[-1] if tiers else np.where(real > 0, size, 0)
        margins = [rows[order], exact * (size / total)]
        try:
            tiers.append(round_table(real, margins=margins, high=high, strict=True).counts)
        except InfeasibleTableError:
            return None
    back = np.argsort(order, kind="stable")
    return tuple(tier[back] for tier in tiers[::-1])


def _build_up(
    strata: Sequence[NDArray[np.int64]], exact: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Return such tables from the smallest tier on.

    With the sums of every tier fixed beforehand, what is added to a tier can always be laid out; it is the
    cells that give way.
    """
    sizes = [int(tier.sum()) for tier in strata]
    parts = cut_tiers(exact, sizes)
    if not all(_is_around(part, exact * (size / sizes[-1])) for part, size in zip(parts, sizes, strict=True)):
        parts = cut_counts(exact, sizes)
    tiers: list[NDArray[np.int64]] = []
    for rows, columns in zip(strata, parts, strict=True):
        real = np.outer(rows[order], columns / max(1, rows.sum()))
        low = tiers[-1] if tiers else None
        tiers.append(round_table(real, margins=[rows[order], columns], low=low).counts)
    back = np.argsort(order, kind="stable")
    return tuple(tier[back] for tier in tiers)


def _is_around(counts: NDArray[np.int64], real: NDArray[Any]) -> bool:
    low, high = around(real)
    return bool(((counts >= low) & (counts <= high)).all())


def cut_counts(counts: NDArray[np.int64], sizes: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    """Return nested parts of some counts, each within 1 of its proportion: the quota method.

    Parameters
    ----------
    counts : NDArray[np.int64], shape (n,)
        What is there in all.
    sizes : sequence of int
        Rising; the last is the sum of `counts`.

    Returns
    -------
    tuple of NDArray[np.int64]
        Counts for each size.

    References
    ----------
    Balinski, M. L., Young, H. P. (1975). The quota method of apportionment. American Mathematical Monthly
    82, 701-730.

    Examples
    --------
    >>> [part.tolist() for part in cut_counts(np.array([6, 3, 1]), [2, 5, 10])]
    [[2, 0, 0], [3, 2, 0], [6, 3, 1]]
    """
    total = int(counts.sum())
    part = np.zeros_like(counts)
    parts = []
    for size in range(1, total + 1):
        # Eligible is who stays within the upper quota: part < counts * size / total, in whole numbers.
        eligible = part * total < counts * size
        claims = np.where(eligible, counts / (part + 1), -1.0)
        part[int(np.argmax(claims))] += 1
        if size in sizes:
            parts.append(part.copy())
    return tuple(parts)


def deal_examples(
    strata: StrataConfig,
    strata_tiers: Sequence[NDArray[np.int64]],
    dimensions: Sequence[DimensionPlan],
    *,
    seed: int,
) -> pl.DataFrame:
    """Return a row a planned example, so that each tier is a prefix.

    Parameters
    ----------
    strata : StrataConfig
        Levels and values.
    strata_tiers : sequence of NDArray[np.int64]
        As `cut_tiers` gives them.
    dimensions : sequence of DimensionPlan
        Of the same tiers; each is a column.
    seed : int
        Of the order inside a tier and of the values inside a stratum.

    Returns
    -------
    DataFrame
        Columns ``plan_id``, ``tier``, ``stratum``, the levels, the dimensions.
    """
    sizes = [int(tier.sum()) for tier in strata_tiers]
    total = sizes[-1]
    stratum = np.empty(total, dtype=np.int64)
    dealt = {each.name: np.empty(total, dtype=np.int64) for each in dimensions}
    start, before = 0, np.zeros(strata_tiers[-1].size, dtype=np.int64)
    for number, size in enumerate(sizes):
        rows = strata_tiers[number].ravel() - before
        before = strata_tiers[number].ravel()
        block = slice(start, size)
        grouped = np.repeat(np.arange(len(rows)), rows)
        order = _even_order(rows, seed, f"tier {size}")
        stratum[block] = grouped[order]
        for each in dimensions:
            earlier = each.tiers[number - 1] if number else 0
            dealt[each.name][block] = _deal_values(each.tiers[number] - earlier, seed, f"{each.name} {size}")[
                order
            ]
        start = size
    return _frame(strata, sizes, stratum, dimensions, dealt)


def _deal_values(counts: NDArray[np.int64], seed: int, purpose: str) -> NDArray[np.int64]:
    """Return a value for each example, strata one after the other, in a random order inside each."""
    n_strata, n_values = counts.shape
    values = np.repeat(np.tile(np.arange(n_values), n_strata), counts.ravel())
    strata = np.repeat(np.arange(n_strata), counts.sum(axis=1))
    shuffled = np.lexsort((_random_keys(len(values), seed, purpose, "values"), strata))
    dealt: NDArray[np.int64] = values[shuffled]
    return dealt


def _even_order(rows: NDArray[np.int64], seed: int, purpose: str) -> NDArray[np.int64]:
    """Return an order in which every stratum comes evenly, so that a run cut short is short of all alike."""
    strata = np.repeat(np.arange(len(rows)), rows)
    ranks = np.arange(len(strata)) - np.repeat(np.cumsum(rows) - rows, rows)
    due = (ranks + 0.5) / rows[strata]
    ties = _random_keys(len(rows), seed, purpose, "order")[strata]
    order: NDArray[np.int64] = np.lexsort((ties, due))
    return order


def _frame(
    strata: StrataConfig,
    sizes: Sequence[int],
    stratum: NDArray[np.int64],
    dimensions: Sequence[DimensionPlan],
    dealt: Mapping[str, NDArray[np.int64]],
) -> pl.DataFrame:
    combinations = list(strata.combinations())
    total = sizes[-1]
    columns = {
        "plan_id": pl.Series([f"s-{number:06d}" for number in range(1, total + 1)], dtype=pl.String),
        "tier": pl.Series(np.repeat(np.asarray(sizes, dtype=np.int64), np.diff([0, *sizes]))),
        "stratum": _take([stratum_name(values) for values in combinations], stratum),
    }
    for axis, level in enumerate(strata.levels):
        columns[level] = _take([values[axis] for values in combinations], stratum)
    for each in dimensions:
        columns[each.name] = _take(list(each.values), dealt[each.name])
    return pl.DataFrame(columns)


def _take(values: Sequence[str | None], places: NDArray[np.int64]) -> pl.Series:
    return pl.Series(values, dtype=pl.String).gather(places)


def _random_keys(n: int, seed: int, *purpose: str) -> NDArray[np.uint64]:
    """Return random numbers that depend on seed and purpose alone.

    They are the generator's own 64 bits: numpy promises those for all versions, and no more than those.
    """
    digest = hashlib.sha256("\0".join([str(seed), *purpose]).encode()).digest()
    keys: NDArray[np.uint64] = np.random.PCG64(int.from_bytes(digest[:16], "little")).random_raw(n)
    return keys
