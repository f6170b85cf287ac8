"""What a person should know about a plan before paying for it, each with a number and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.synthesis.config_values import stratum_name
from tasksel.synthesis.controlled_rounding import around
from tasksel.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasksel.synthesis.config import SynthesisConfig
    from tasksel.synthesis.plan_examples import DimensionPlan

__all__ = ["advise", "find_uneven_tiers"]

MAX_VALUES: Final = 20
"""Values of one level from which on a person is told to group them."""
FEW_ITEMS: Final = 5
"""Examples under which a stratum shows no variation and proves nothing."""
EDGE_SHARES: Final = (0.05, 0.10)
_NAMES_SHOWN: Final = 3


def advise(
    config: SynthesisConfig, planned: NDArray[np.int64], dimensions: Sequence[DimensionPlan], n_edge: int
) -> list[str]:
    """Return advice on the size and shape of a plan.

    Parameters
    ----------
    config : SynthesisConfig
        What was asked for.
    planned : NDArray[np.int64]
        Examples of each stratum, an axis a level.
    dimensions : sequence of DimensionPlan
        Without the edge cases.
    n_edge : int
        Edge cases among the examples.

    Returns
    -------
    list of str
        A sentence or two each; empty when nothing needs saying.
    """
    total = int(planned.sum())
    if not total:
        return []
    findings = _wide_levels(config)
    findings += _small_strata(config, planned)
    findings += _edge_share(config, total, n_edge)
    findings += _thin_dimensions(planned, dimensions)
    return findings


def find_uneven_tiers(
    config: SynthesisConfig, strata_tiers: Sequence[NDArray[np.int64]], dimensions: Sequence[DimensionPlan]
) -> list[str]:
    """Return which tiers do not hold a stratum, value or edge category in proportion, and how near they are.

    Parameters
    ----------
    config : SynthesisConfig
        Names of the levels.
    strata_tiers : sequence of NDArray[np.int64]
        Examples of each stratum, a table a tier.
    dimensions : sequence of DimensionPlan
        All of them, edge cases too.

    Returns
    -------
    list of str
        A sentence a tier and dimension; empty where every margin is within 1.
    """
    tables = {"strata": [tier.ravel() for tier in strata_tiers]}
    for axis, level in enumerate(config.strata.levels):
        others = tuple(other for other in range(strata_tiers[-1].ndim) if other != axis)
        tables[f"values of {level}"] = [tier.sum(axis=others) for tier in strata_tiers]
    tables |= {f"values of {each.name}": [tier.sum(axis=0) for tier in each.tiers] for each in dimensions}
    findings = []
    for name, (*smaller, full) in tables.items():
        for counts in smaller:
            size = int(counts.sum())
            real = full * (size / int(full.sum()))
            low, high = around(real)
            off = int(((counts < low) | (counts > high)).sum())
            if off:
                worst = float(np.abs(counts - real).max())
                findings.append(
                    f"In the tier of {size:,}, {name} are up to {worst:.2f} from their share of it "
                    f"({off:,} of {len(counts):,})."
                )
    return findings


def _wide_levels(config: SynthesisConfig) -> list[str]:
    return [
        (
            f"The level {level!r} has {len(values):,} values; over about {MAX_VALUES} a level is hard to "
            "fill and to check: group them, or make a second level of the groups."
        )
        for level, values in config.strata.levels.items()
        if len(values) > MAX_VALUES
    ]


def _small_strata(config: SynthesisConfig, planned: NDArray[np.int64]) -> list[str]:
    small = np.flatnonzero((planned.ravel() > 0) & (planned.ravel() < FEW_ITEMS))
    is_tiny = planned.sum() < planned.size  # which is said once, by the dimensions
    if not len(small) or is_tiny or config.strata.allocate == "deficit":
        return []
    combinations = list(config.strata.combinations())
    shown = ", ".join(repr(stratum_name(combinations[place])) for place in small[:_NAMES_SHOWN])
    more = ", ..." if len(small) > _NAMES_SHOWN else ""
    n_used = int((planned > 0).sum())
    return [
        (
            f"{len(small):,} of {n_used:,} strata get under {FEW_ITEMS} examples ({shown}{more}), too few to "
            f"vary or to check: merge values, or raise total from {int(planned.sum()):,} to about "
            f"{_total_for(planned, FEW_ITEMS):,}."
        )
    ]


def _total_for(planned: NDArray[np.int64], least: int) -> int:
    """Return the total at which the smallest stratum, in proportion, has so many examples."""
    return int(np.ceil(planned.sum() * least / planned[planned > 0].min()))


def _edge_share(config: SynthesisConfig, total: int, n_edge: int) -> list[str]:
    low, high = EDGE_SHARES
    if config.edge is None:
        return ["There are no edge cases; a section [edge] with share = 0.08 plans some."]
    share = n_edge / total
    if low <= config.edge.share <= high and n_edge:
        return []
    what = "too few to find what breaks" if share < low else "more than the ordinary cases can spare"
    return [
        (
            f"Edge cases are {share:.1%} of the examples ({n_edge:,} of {total:,}), {what}: a share of "
            f"{low:g} to {high:g} is usual."
        )
    ]


def _thin_dimensions(planned: NDArray[np.int64], dimensions: Sequence[DimensionPlan]) -> list[str]:
    total, n_strata = int(planned.sum()), int((planned > 0).sum())
    findings = []
    if total < planned.size:
        findings.append(
            f"{counted(total, 'example')} for {planned.size:,} strata: {planned.size - n_strata:,} get none. "
            f"Raise total to {planned.size * FEW_ITEMS:,}, or take a level away."
        )
    thin = [each for each in dimensions if len(each.values) > 1 and n_strata * len(each.values) > total]
    if thin:
        widest = max(thin, key=lambda each: len(each.values))
        pairs = n_strata * len(widest.values)
        findings.append(
            f"{n_strata:,} strata times {len(widest.values)} values of {widest.name} are {pairs:,} "
            f"combinations, for {counted(total, 'example')}: not every one can occur. A total of "
            f"{pairs:,} gives one each; or take fewer values."
        )
    return findings
