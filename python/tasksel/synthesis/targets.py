"""How many examples of each stratum: by configuration, by what a pool holds, by what a run found missing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.synthesis.config_strata import are_share_tables, innermost_tables
from tasksel.synthesis.config_values import SHARE_TOLERANCE, holds_shares, share_of, stratum_name
from tasksel.synthesis.controlled_rounding import round_table
from tasksel.synthesis.raking import RakedTable, find_contradiction, rake_table
from tasksel.synthesis.shortfall import STRATUM, sum_shortfall
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tasksel.synthesis.config import StrataConfig, SynthesisConfig
    from tasksel.synthesis.controlled_rounding import RoundedTable
    from tasksel.synthesis.held_counts import HeldCounts
    from tasksel.synthesis.raking import Contradiction

__all__ = ["StratumCounts", "count_missing", "count_strata"]

_WORTH_SAYING = 0.05
"""Examples by which a margin may miss after raking before a person is told."""


@dataclass(frozen=True, eq=False)
class StratumCounts:
    """What is wanted of each stratum, and what is planned; an axis a level.

    Attributes
    ----------
    target : NDArray[np.float64]
        What is to be there in the end.
    held : NDArray[np.int64]
        What is there; 0 unless the allocation is ``deficit``.
    planned : NDArray[np.int64]
        What is to be written.
    findings : tuple of str
        What a person should know.
    """

    target: NDArray[np.float64]
    held: NDArray[np.int64]
    planned: NDArray[np.int64]
    findings: tuple[str, ...] = ()


def count_strata(config: SynthesisConfig, held: HeldCounts | None) -> StratumCounts:
    """Turn targets, margins and what a pool holds into whole numbers a stratum.

    Parameters
    ----------
    config : SynthesisConfig
        Its ``strata`` and ``total``.
    held : HeldCounts, optional
        What the pool or selection holds; ``deficit``, ``sqrt`` and ``proportional`` want it.

    Returns
    -------
    StratumCounts

    Raises
    ------
    ConfigError
        Margins contradict each other or rule out what a target wants, or a pool is wanted and not given.
    """
    strata = config.strata
    if strata.allocate in ("deficit", "sqrt", "proportional") and held is None:
        raise ConfigError(
            f'allocate = "{strata.allocate}" follows what a pool or a selection holds; give one with --pool '
            "or --selection."
        )
    possible = possible_strata(strata)
    if strata.targets is not None:
        target, findings = _nested_target(strata, config.total)
        _refuse_impossible(strata, target, possible)
        margins: dict[int, NDArray[np.float64]] = {}
    else:
        margins, findings = _real_margins(strata, config.total)
        target, raking = _raked_target(config, _seed(strata, possible, held), possible, margins)
        findings += raking
    asked = [margins.get(axis, _sum_along(target, axis)) for axis in range(target.ndim)]
    rounded = round_table(target, margins=asked)
    findings += _rounding_findings(strata, rounded)
    nothing = np.zeros(strata.shape, dtype=np.int64)
    if strata.allocate != "deficit" or held is None:
        return StratumCounts(target, nothing, rounded.counts, tuple(findings))
    planned = np.maximum(rounded.counts - held.counts, 0)
    findings += _deficit_findings(strata, rounded.counts, held, planned)
    return StratumCounts(rounded.counts.astype(np.float64), held.counts, planned, tuple(findings))


def count_missing(config: SynthesisConfig, missing: Mapping[str, Mapping[str, int]]) -> StratumCounts:
    """Plan what a run or its validation found missing, and nothing else.

    Parameters
    ----------
    config : SynthesisConfig
        Where a dimension misses less than the most missing one, the rest is shared out as it says.
    missing : mapping
        As `tasksel.synthesis.shortfall.read_shortfall` gives it.

    Returns
    -------
    StratumCounts
        Strata that are missing as often as they are, then others by the configured targets, raked to the
        levels that are missing.

    Raises
    ------
    ConfigError
        What is missing contradicts the configuration's impossible combinations.
    """
    strata, total = config.strata, sum_shortfall(missing)
    least = np.zeros(strata.shape, dtype=np.int64)
    of_strata = missing.get(STRATUM, {})
    for place, values in zip(np.ndindex(strata.shape), strata.combinations(), strict=True):
        least[place] = of_strata.get(stratum_name(values), 0)
    rest = total - int(least.sum())
    if rest <= 0:
        return StratumCounts(least.astype(np.float64), np.zeros_like(least), least)
    possible = possible_strata(strata)
    base = _configured_shares(config, possible)
    margins = {}
    for axis, (level, values) in enumerate(strata.levels.items()):
        if level in missing:
            wanted = np.array([missing[level].get(value, 0) for value in values], dtype=np.float64)
            wanted += (total - wanted.sum()) * _sum_along(base, axis) / base.sum()
            left = np.maximum(wanted - _sum_along(least, axis), 0)
            margins[axis] = left * (rest / left.sum()) if left.sum() else left + rest / len(left)
    # A value that the configuration gives nothing may still be what is missing.
    seed = np.where(possible, np.maximum(base / base.sum(), 1e-6), 0)
    target, findings = _rake(strata, seed, possible, margins, rest)
    planned = least + round_table(target, margins=_all_margins(target, margins)).counts
    return StratumCounts(target + least, np.zeros_like(least), planned, tuple(findings))


def possible_strata(strata: StrataConfig) -> NDArray[np.bool_]:
    """Return which strata may occur; an axis a level."""
    possible = np.ones(strata.shape, dtype=bool)
    places = {
        level: dict(zip(values, range(len(values)), strict=True)) for level, values in strata.levels.items()
    }
    for combination in strata.impossible:
        index = [
            places[level][combination[level]] if level in combination else slice(None) for level in places
        ]
        possible[tuple(index)] = False
    if not possible.any():
        raise ConfigError("impossible of [strata] rules out every stratum.")
    return possible


def _nested_target(strata: StrataConfig, total: int) -> tuple[NDArray[np.float64], list[str]]:
    """Return nested tables of counts and shares as one table of real numbers."""
    tables = list(innermost_tables(strata.targets or {}))
    shares = are_share_tables(tables)
    whole = math.fsum(number for table in tables for number in table.values())
    counted = math.fsum(
        math.fsum(table.values()) for table, is_share in zip(tables, shares, strict=True) if not is_share
    )
    findings = []
    if all(shares) and abs(whole - 1) <= SHARE_TOLERANCE:
        scales = [total / whole] * len(tables)
        findings += _scaled("[strata.targets]", whole)
    else:
        if counted > total:
            raise ConfigError(
                f"The counts of [strata.targets] sum to {counted:,.0f}, more than the total of {total:,}."
            )
        each = (total - counted) / max(1, sum(shares))
        scales = []
        for table, is_share in zip(tables, shares, strict=True):
            given = math.fsum(table.values())
            if is_share:
                holds_shares("A table of shares in [strata.targets]", table.values())
                findings += _scaled("A table of [strata.targets]", given)
            scales.append(each / given if is_share else 1.0)
    scaled = iter(
        [
            {value: number * scale for value, number in table.items()}
            for table, scale in zip(tables, scales, strict=True)
        ]
    )
    values = list(strata.levels.values())
    target = np.array(_lay_out(strata.targets, values, scaled), dtype=np.float64).reshape(strata.shape)
    return target, findings


def _lay_out(table: Any, values: list[tuple[str, ...]], scaled: Any) -> list[float]:
    """Return the numbers of nested tables in the order of the levels; a branch that is 0 holds zeros."""
    if not hasattr(table, "items"):
        return [0.0] * math.prod(map(len, values))
    if not any(hasattr(inner, "items") for inner in table.values()):
        innermost = next(scaled)
        if len(values) > 1:  # all branches are 0
            return [0.0] * math.prod(map(len, values))
        return [innermost[value] for value in values[0]]
    found = {value: _lay_out(inner, values[1:], scaled) for value, inner in table.items()}
    return [number for value in values[0] for number in found[value]]


def _refuse_impossible(
    strata: StrataConfig, target: NDArray[np.float64], possible: NDArray[np.bool_]
) -> None:
    wrong = np.flatnonzero((target > 0) & ~possible)
    if len(wrong):
        name = stratum_name(list(strata.combinations())[wrong[0]])
        raise ConfigError(
            f"[strata.targets] wants {target.flat[wrong[0]]:g} of {name!r}, which impossible rules out."
        )


def _real_margins(strata: StrataConfig, total: int) -> tuple[dict[int, NDArray[np.float64]], list[str]]:
    margins, findings = {}, []
    for axis, (level, values) in enumerate(strata.levels.items()):
        if level in strata.margins:
            table = strata.margins[level]
            shares = share_of(table)
            margins[axis] = np.array([shares[value] * total for value in values])
            if holds_shares(level, table.values()):
                findings += _scaled(f"[strata.margins] {level}", math.fsum(table.values()))
    return margins, findings


def _seed(strata: StrataConfig, possible: NDArray[np.bool_], held: HeldCounts | None) -> NDArray[np.float64]:
    if strata.allocate not in ("sqrt", "proportional") or held is None:
        return possible.astype(np.float64)
    counts = held.counts * possible
    if not counts.any():
        raise ConfigError(
            f"The pool {held.source['name']} holds no row of any stratum to be proportional to."
        )
    return np.sqrt(counts) if strata.allocate == "sqrt" else counts.astype(np.float64)


def _configured_shares(config: SynthesisConfig, possible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the targets without a pool: what a shortfall's remainder is shared out by."""
    if config.strata.targets is not None:
        return _nested_target(config.strata, config.total)[0]
    margins, _ = _real_margins(config.strata, config.total)
    return _rake(config.strata, possible.astype(np.float64), possible, margins, config.total)[0]


def _raked_target(
    config: SynthesisConfig,
    seed: NDArray[np.float64],
    possible: NDArray[np.bool_],
    margins: dict[int, NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[str]]:
    strata = config.strata
    empty = int(((seed == 0) & possible).sum())
    findings = []
    if empty:
        what = "1 stratum gets nothing, since the pool holds none of it"
        many = f"{empty:,} strata get nothing, since the pool holds none of them"
        findings.append(
            f'{what if empty == 1 else many}; allocate = "equal" or "deficit" gives every stratum some.'
        )
    target, raking = _rake(strata, seed, seed > 0, margins, config.total)
    return target, findings + raking


def _rake(
    strata: StrataConfig,
    seed: NDArray[np.float64],
    possible: NDArray[np.bool_],
    margins: dict[int, NDArray[np.float64]],
    total: float,
) -> tuple[NDArray[np.float64], list[str]]:
    contradiction = find_contradiction(possible, margins)
    if contradiction is not None:
        raise ConfigError(_describe_contradiction(strata, contradiction))
    raked = rake_table(seed, margins, total)
    worst = _worst_residuals(strata, raked)
    if worst and worst[0][0] >= 1:
        shown = "; ".join(f"{name} is off by {size:+,.1f}" for miss, size, name in worst[:4] if miss >= 0.5)
        raise ConfigError(
            f"No table has all the margins asked for, given the strata that cannot occur: {shown}. Change "
            "these margins, or allow more combinations."
        )
    if worst and worst[0][0] > _WORTH_SAYING:
        return raked.table, [
            (
                f"Raking stopped after {raked.n_iterations:,} rounds with {worst[0][2]} off by "
                f"{worst[0][1]:+.2f} examples: its margins leave some strata almost nothing."
            )
        ]
    return raked.table, []


def _worst_residuals(strata: StrataConfig, raked: RakedTable) -> list[tuple[float, float, str]]:
    """Return size, signed size and name of each missed margin, the worst first."""
    levels = list(strata.levels.items())
    found = [
        (abs(float(size)), float(size), f"{levels[axis][0]} {levels[axis][1][index]!r}")
        for axis, sizes in raked.residuals.items()
        for index, size in enumerate(sizes)
    ]
    return [] if raked.converged else sorted(found, key=lambda each: -each[0])


def _describe_contradiction(strata: StrataConfig, found: Contradiction) -> str:
    levels = list(strata.levels.items())
    wanting = _listed(levels[found.axis], found.indices)
    wants = "wants" if len(found.indices) == 1 else "want"
    together = " together" if len(found.indices) > 1 else ""
    if not found.other_indices:
        return f"{wanting} {wants} {found.wanted:,.6g}{together}, and every such stratum is ruled out."
    return (
        f"The margins contradict each other: {wanting} {wants} {found.wanted:,.6g}{together}, but may only "
        f"stand with {_listed(levels[found.other_axis], found.other_indices)}, which has "
        f"{found.available:,.6g}: {found.wanted - found.available:,.6g} too many."
    )


def _listed(level: tuple[str, tuple[str, ...]], indices: tuple[int, ...]) -> str:
    return f"{level[0]} {', '.join(repr(level[1][index]) for index in indices)}"


def _rounding_findings(strata: StrataConfig, rounded: RoundedTable) -> list[str]:
    levels = list(strata.levels.items())
    findings = [
        (
            f"No rounding was found that keeps every margin: {levels[miss.axis][0]} "
            f"{levels[miss.axis][1][miss.place]!r} gets {miss.rounded:,} instead of {miss.real:,.2f}."
        )
        for miss in rounded.misses
    ]
    if rounded.n_cells_off:
        findings.append(
            f"{rounded.n_cells_off:,} strata differ by 1 or more from their real target, so that the margins "
            "hold."
        )
    return findings


def _deficit_findings(
    strata: StrataConfig, target: NDArray[np.int64], held: HeldCounts, planned: NDArray[np.int64]
) -> list[str]:
    findings = []
    excess = np.maximum(held.counts - target, 0)
    if excess.any():
        most = int(excess.argmax())
        name = stratum_name(list(strata.combinations())[most])
        n_over = int((excess > 0).sum())
        strata_over = "1 stratum asks" if n_over == 1 else f"{n_over:,} strata ask"
        findings.append(
            f"{held.source['name']} holds {excess.sum():,} more than the targets of {strata_over} for, most "
            f"of them {name!r} ({excess.flat[most]:,}); the margins end above their targets by that."
        )
    if not planned.any():
        findings.append("Nothing is missing: every stratum has its target already.")
    return findings


def _scaled(where: str, given: float) -> list[str]:
    if abs(given - 1) <= 1e-9:
        return []
    return [f"The shares of {where} sum to {given:g}; they were scaled to 1."]


def _all_margins(
    table: NDArray[np.float64], margins: Mapping[int, NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    return [margins.get(axis, _sum_along(table, axis)) for axis in range(table.ndim)]


def _sum_along(table: NDArray[Any], axis: int) -> NDArray[Any]:
    sums: NDArray[Any] = table.sum(axis=tuple(other for other in range(table.ndim) if other != axis))
    return sums
