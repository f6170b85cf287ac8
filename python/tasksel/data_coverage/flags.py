"""From figures to findings: what is wrong with a synthetic set, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.data_coverage.result import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasksel.data_coverage.yardstick import Equivalent

__all__ = ["find_flags"]

SIGNIFICANCE: Final = 0.001
"""Of what raises a flag by a p-value; folds of the classifier share rows, so that its p is a little small."""


def find_flags(
    equivalent: Equivalent | None,
    figures: pl.DataFrame,
    clusters: pl.DataFrame,
    levels: pl.DataFrame,
    statistics: Mapping[str, float | None],
) -> tuple[Flag, ...]:
    """Collect what is out of the band of real data."""
    found = {row["figure"]: row for row in figures.to_dicts()}
    return (
        *_gaps(equivalent, clusters, levels),
        *_absent(levels),
        *_from_band(found, statistics),
        *_distinguishable(statistics),
    )


def _gaps(equivalent: Equivalent | None, clusters: pl.DataFrame, levels: pl.DataFrame) -> Iterator[Flag]:
    if equivalent is not None and equivalent.coverage < equivalent.null.low:
        yield Flag(
            "gaps",
            f"Real mass is missing: coverage is {equivalent.coverage:.2f}, and real sets of this size lie "
            f"above {equivalent.null.low:.2f}.",
        )
    else:
        n_clusters, n_levels = (_n_certain_gaps(table) for table in (clusters, levels))
        if n_clusters or n_levels:
            yield Flag(
                "gaps", f"{n_clusters} clusters and {n_levels} levels have far too few synthetic rows."
            )


def _n_certain_gaps(table: pl.DataFrame) -> int:
    """Count gaps that are beyond doubt: of those in the table, one in twenty may be false."""
    return table.filter(pl.col("is_gap") & (pl.col("p_adjusted") < SIGNIFICANCE)).height


def _absent(levels: pl.DataFrame) -> Iterator[Flag]:
    """Ask of each dimension whether more levels have no synthetic row than chance leaves out."""
    for (name,), table in levels.drop_nulls("synthetic_rows").group_by("dimension", maintain_order=True):
        n_rows = int(table["synthetic_rows"].sum())
        absent = table.filter((pl.col("synthetic_rows") == 0) & (pl.col("real_rows") > 0))
        expected = float(((1 - table["real_share"]).to_numpy() ** n_rows).sum()) - int(
            (table["real_share"] == 0).sum()
        )
        if not absent.height or poisson_tail(absent.height, max(expected, 0.0)) >= SIGNIFICANCE:
            continue
        yield Flag(
            "absent",
            f"{absent.height} of {table.height} levels of {name} have no synthetic row, with "
            f"{absent['real_share'].sum():.1%} of the real rows; chance leaves out {expected:.1f}.",
        )


def poisson_tail(count: int, expected: float) -> float:
    """Return the chance of `count` rare events or more.

    Examples
    --------
    >>> round(poisson_tail(2, 1.0), 4)
    0.2642
    """
    below = sum(
        math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) if expected else float(k == 0)
        for k in range(count)
    )
    return max(0.0, 1.0 - below)


def _from_band(
    found: Mapping[str, Mapping[str, float]], statistics: Mapping[str, float | None]
) -> Iterator[Flag]:
    def is_out(*names: str) -> bool:
        return any(found[name]["is_out"] for name in names if name in found)

    def both(name: str) -> str:
        return f"{found[name]['synthetic']:.3f} where real rows have {found[name]['real']:.3f}"

    if is_out("total_variation"):
        yield Flag("imbalance", f"Clusters have other shares: total variation {both('total_variation')}.")
    if is_out("precision", "density"):
        share = statistics["outside_share"] or 0.0
        yield Flag(
            "outside",
            f"About {share:.0%} of the synthetic rows lie where there are no real ones: precision "
            f"{both('precision')}, density {both('density')}.",
        )
    if is_out("duplicates", "near_duplicates"):
        yield Flag(
            "duplicates",
            f"Synthetic rows repeat each other: duplicates {both('duplicates')}, near-duplicates "
            f"{both('near_duplicates')}.",
        )
    if is_out("copies", "near_copies"):
        yield Flag(
            "copies",
            f"Synthetic rows are real ones: copies {both('copies')}, near-copies {both('near_copies')}.",
        )
    if is_out("vendi_ratio", "recall"):
        yield Flag(
            "narrow",
            f"The synthetic set is less varied: Vendi ratio {both('vendi_ratio')}, recall {both('recall')}.",
        )


def _distinguishable(statistics: Mapping[str, float | None]) -> Iterator[Flag]:
    accuracy, p_value = statistics["classifier_accuracy"], statistics["classifier_p_value"]
    if accuracy is not None and p_value is not None and p_value < SIGNIFICANCE:
        yield Flag("distinguishable", f"A classifier tells the two sets apart with accuracy {accuracy:.2f}.")
