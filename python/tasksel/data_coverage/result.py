"""What a comparison found: the headline, its parts, and what a person should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

    from tasksel.intervals import Interval

__all__ = ["GAPS_BELOW", "GOOD_FROM", "Coverage", "Flag"]

GOOD_FROM: Final = 0.85
GAPS_BELOW: Final = 0.70


@dataclass(frozen=True)
class Flag:
    """Something that is wrong with a set: a name to ask for, and a sentence."""

    name: str
    message: str


@dataclass(frozen=True, eq=False)
class Coverage:
    """How well a synthetic set covers a real one.

    Attributes
    ----------
    coverage_equivalent : float or None
        0.85: the synthetic set looks as real rows do with 15 % of the real mass missing. None where there are
        too few real rows to say.
    interval : Interval or None
        Coverages at which a real set would look like this one.
    null : Interval or None
        Where real sets of that size with nothing missing lie; below it mass is missing.
    regions : str
        ``tasks`` or ``clusters``: what is compared, and what is removed from the yardstick.
    n_real, n_synthetic, n_compared : int
        Rows of the reference, of the synthetic set, and of each set that the headline compares.
    shortfall : float or None
        The raw statistic of the headline: about the share of the real mass that is lacking, with its noise.
    calibration : pl.DataFrame
        ``missing`` (mass), ``shortfall``, ``deviation``: the yardstick.
    clusters : pl.DataFrame
        Clusters of the real rows with the shares of both sets; see `tasksel.data_coverage.shares`.
    gaps : pl.DataFrame
        Those of which the synthetic set has significantly too little, what lacks most first, with real
        exemplars to show and to prompt with: pass them as `exclude_rows` when the result is measured.
    levels : pl.DataFrame
        The same for tasks and other dimensions.
    figures : pl.DataFrame
        Figures of both sets at one number of rows; see `tasksel.data_coverage.null_bands`.
    statistics : dict
        Figures over all rows: ``precision``, ``recall``, ``density``, ``coverage``, ``duplicates``,
        ``near_duplicates``, ``copies``, ``near_copies``, ``vendi_ratio``, ``classifier_accuracy``,
        ``classifier_p_value``, ``sliced_wasserstein``, ``total_variation``, ``outside_share``.
    flags : tuple of Flag
        ``gaps``, ``absent`` (levels without a row), ``imbalance``, ``outside``, ``duplicates``, ``copies``,
        ``narrow``, ``distinguishable``.
    notes : tuple of str
        What a person should know about the figures.
    settings : dict
        What was asked for.
    """

    coverage_equivalent: float | None
    interval: Interval | None
    null: Interval | None
    regions: str
    n_real: int
    n_synthetic: int
    n_compared: int
    shortfall: float | None
    calibration: pl.DataFrame
    clusters: pl.DataFrame
    gaps: pl.DataFrame
    levels: pl.DataFrame
    figures: pl.DataFrame
    statistics: dict[str, float | None]
    flags: tuple[Flag, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def verdict(self) -> str:
        """``good`` from 0.85, ``gaps`` below 0.70, ``fair`` between them, ``unknown``."""
        if self.coverage_equivalent is None:
            return "unknown"
        if self.coverage_equivalent >= GOOD_FROM:
            return "good"
        return "gaps" if self.coverage_equivalent < GAPS_BELOW else "fair"

    def passes(self, gate: float) -> bool:
        """Tell whether the headline reaches a gate; what is unknown does not."""
        return self.coverage_equivalent is not None and self.coverage_equivalent >= gate

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {
            "coverage_equivalent": self.coverage_equivalent,
            "interval": None if self.interval is None else list(self.interval),
            "null": None if self.null is None else list(self.null),
            "verdict": self.verdict,
            "regions": self.regions,
            "n_real": self.n_real,
            "n_synthetic": self.n_synthetic,
            "n_compared": self.n_compared,
            "shortfall": self.shortfall,
            "calibration": self.calibration.to_dicts(),
            "clusters": self.clusters.to_dicts(),
            "gaps": self.gaps.to_dicts(),
            "levels": self.levels.to_dicts(),
            "figures": self.figures.to_dicts(),
            "statistics": self.statistics,
            "flags": [{"name": flag.name, "message": flag.message} for flag in self.flags],
            "notes": list(self.notes),
            "settings": self.settings,
        }

    def headline(self) -> str:
        """Say in a sentence how well the real data are covered."""
        if self.coverage_equivalent is None:
            return "There are too few real rows to say how much of them is covered."
        found, low_high = self.interval, ""
        if found is not None:
            low_high = f" (95 % interval {found.low:.2f} to {found.high:.2f})"
        return (
            f"Coverage-equivalent {self.coverage_equivalent:.2f}{low_high}: the synthetic set looks as real "
            f"rows do with {1 - self.coverage_equivalent:.0%} of the real mass missing. From {GOOD_FROM:.2f} "
            f"on is good, below {GAPS_BELOW:.2f} there are gaps."
        )

    def _repr_html_(self) -> str:
        from tasksel.html_page_card import CardTable, card

        shown = ("cluster", "task", "real_share", "synthetic_share", "p_adjusted")
        gaps = self.gaps.select(name for name in shown if name in self.gaps.columns)
        notes = [*(flag.message for flag in self.flags), *self.notes]
        return card("Coverage", self.headline(), [CardTable(gaps)] if gaps.height else [], notes)

    def plot_calibration(self, *, width: int = 640) -> Any:
        """Draw the yardstick, real rows of which a known part was removed, with the set on it.

        Parameters
        ----------
        width : int
            In pixels, axes included.

        Returns
        -------
        altair.LayerChart

        Raises
        ------
        SchemaError
            There were too few real rows for a yardstick.
        MissingExtraError
            altair or vl-convert is not installed (extra ``plots``).
        """
        from tasksel.data_coverage.plots import plot_calibration

        return plot_calibration(self.calibration, self.shortfall, self.coverage_equivalent, width=width)

    def plot_gaps(self, *, width: int = 640) -> Any:
        """Draw the shares of both sets in the clusters of the real rows that lack most.

        Parameters
        ----------
        width : int
            In pixels, axes included.

        Returns
        -------
        altair.LayerChart

        Raises
        ------
        SchemaError
            There is no cluster.
        MissingExtraError
            altair or vl-convert is not installed (extra ``plots``).
        """
        from tasksel.data_coverage.plots import plot_gaps

        return plot_gaps(self.clusters, width=width)
