"""An evaluation read both ways: balanced over labels, and at the labels' real distribution."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel.intervals import bootstrap_interval
from tasksel.suggestions import did_you_mean
from tasksel.synthesis.label_weights import read_labels, read_table
from tasksel_core.errors import ArrayError, ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from numpy.typing import NDArray

    from tasksel.synthesis.label_weights import TableSource

__all__ = ["BothWays", "Figure", "evaluate_both_ways", "evaluate_file"]


@dataclass(frozen=True)
class Figure:
    """A mean and its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class BothWays:
    """A metric balanced over labels, weighted to the real distribution, and as the examples come.

    Attributes
    ----------
    balanced : Figure
        The mean of the labels' means (macro): every label counts the same.
    weighted : Figure
        The labels' means weighted by their real shares: what a user sees.
    plain : Figure
        The mean over the examples as they are.
    labels : DataFrame
        A row a label: ``label``, ``rows``, ``mean`` (null without rows), ``real_share``.
    absent_share : float
        Share of the real data whose labels no example has; the weighted figure leaves them out.
    findings : tuple of str
        What a person should know.
    """

    balanced: Figure
    weighted: Figure
    plain: Figure
    labels: pl.DataFrame
    absent_share: float
    findings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        figures = {name: asdict(getattr(self, name)) for name in ("balanced", "weighted", "plain")}
        return {
            **figures,
            "absent_share": self.absent_share,
            "labels": self.labels.to_dicts(),
            "findings": list(self.findings),
        }


def evaluate_both_ways(
    metric: npt.ArrayLike,
    labels: Sequence[str],
    real_shares: Mapping[str, float],
    *,
    seed: int = 0,
    level: float = 0.95,
    n_resamples: int = 10_000,
) -> BothWays:
    """Read a metric of each example balanced over the labels, and at the labels' real distribution.

    Parameters
    ----------
    metric : array-like of float, shape (n_examples,)
        Whether each answer is right, or any other figure of it; finite.
    labels : sequence of str, shape (n_examples,)
        The true label of each.
    real_shares : mapping of str to float
        Label -> share in the data that the model will meet, in any unit.
    seed : int
        Of the bootstrap.
    level : float
        Of the intervals.
    n_resamples : int
        Of the bootstrap.

    Returns
    -------
    BothWays

    Raises
    ------
    ArrayError
        Metric and labels differ in length, are empty, or the metric is not finite.
    ConfigError
        No label of the examples has a real share.

    Notes
    -----
    Both figures are sums of label means with fixed weights. Their intervals bootstrap the examples'
    contributions around the label means (``n p_y / n_y (m_i - mean_y)``), whose mean has the variance of the
    stratified figure, so that how many examples of each label there are adds none.

    Examples
    --------
    >>> labels = ["good"] * 4 + ["bad"] * 4
    >>> found = evaluate_both_ways([1, 1, 1, 1, 0, 0, 0, 1], labels, {"good": 0.9, "bad": 0.1})
    >>> found.balanced.value, found.weighted.value
    (0.625, 0.925)
    """
    values = np.asarray(metric, dtype=np.float64)
    if values.ndim != 1 or not len(values) or len(values) != len(labels):
        raise ArrayError(
            f"metric has shape {values.shape} and there are {len(labels)} labels; a number for each label is "
            "wanted, at least one."
        )
    if not np.isfinite(values).all():
        raise ArrayError(f"metric holds {(~np.isfinite(values)).sum()} values that are not finite.")
    names = sorted(set(labels))
    numbers = {name: number for number, name in enumerate(names)}
    codes = np.array([numbers[label] for label in labels], dtype=np.int64)
    shares = np.array([real_shares.get(name, 0.0) for name in names], dtype=np.float64)
    total = float(sum(real_shares.values()))
    if not shares.sum() > 0:
        raise ConfigError("No label of the evaluation has a share in the real distribution.")
    rows = np.bincount(codes)
    means = np.bincount(codes, weights=values) / rows
    absent = 1 - float(shares.sum()) / total
    rng = np.random.default_rng(seed)

    def figure(weights: NDArray[np.float64]) -> Figure:
        spread = len(values) * (weights / rows)[codes] * (values - means[codes])
        value = float(weights @ means)
        low, high = bootstrap_interval(value + spread, rng, level=level, n_resamples=n_resamples)
        # A mean stays among the values, which the contributions may leave.
        return Figure(value, max(low, float(values.min())), min(high, float(values.max())))

    balanced, weighted = figure(np.full(len(names), 1 / len(names))), figure(shares / shares.sum())
    plain = bootstrap_interval(values, rng, level=level, n_resamples=n_resamples)
    table = pl.DataFrame(
        {
            "label": pl.Series(names, dtype=pl.String),
            "rows": rows.astype(np.int64),
            "mean": means,
            "real_share": shares / total,
        }
    )
    lacking = {name: share for name, share in real_shares.items() if name not in numbers}
    lost = pl.DataFrame({"label": list(lacking)}, schema={"label": pl.String}).with_columns(
        rows=pl.lit(0, pl.Int64),
        mean=pl.lit(None, pl.Float64),
        real_share=pl.Series([share / total for share in lacking.values()], dtype=pl.Float64),
    )
    table = pl.concat([table, lost]).sort(["real_share", "label"], descending=[True, False])
    as_it_comes = Figure(float(values.mean()), *plain)
    findings = tuple(_findings(table, absent))
    return BothWays(balanced, weighted, as_it_comes, table, max(absent, 0.0), findings)


def evaluate_file(
    source: TableSource, real_shares: Mapping[str, float], *, column: str, metric: str, seed: int = 0
) -> BothWays:
    """Read a file with a label and a metric of each example both ways.

    Parameters
    ----------
    source : path or DataFrame
        A row an example.
    real_shares : mapping of str to float
        As in `evaluate_both_ways`.
    column, metric : str
        Columns of the label and of the metric; numbers or booleans.
    seed : int
        Of the bootstrap.

    Returns
    -------
    BothWays

    Raises
    ------
    SchemaError
        A column is missing, not a number, or has gaps.
    """
    frame, name = read_table(source, "evaluation")
    labels = read_labels(frame, column, name)
    if metric not in frame.columns:
        hint = did_you_mean(metric, frame.columns)
        raise SchemaError(
            f"{name} has no column {metric!r}; it has {', '.join(map(repr, frame.columns))}.{hint}"
        )
    values = frame[metric]
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise SchemaError(f"The column {metric!r} of {name} is {values.dtype}; numbers are wanted.")
    gaps = labels.null_count() + values.null_count()
    if gaps:
        raise SchemaError(f"{name} has {gaps:,} rows without {column} or {metric}; drop or fill them.")
    return evaluate_both_ways(values.cast(pl.Float64).to_numpy(), labels.to_list(), real_shares, seed=seed)


def _findings(table: pl.DataFrame, absent: float) -> list[str]:
    findings = []
    if absent > 1e-9:
        lost = table.filter((pl.col("rows") == 0) & (pl.col("real_share") > 0))["label"].to_list()
        findings.append(
            f"{absent:.1%} of the real data has labels that no example has ({', '.join(map(repr, lost[:5]))}"
            f"{', ...' if len(lost) > 5 else ''}); the weighted figure is of the rest."
        )
    single = table.filter(pl.col("rows") == 1).height
    if single:
        have = "1 label has" if single == 1 else f"{single:,} labels have"
        findings.append(f"{have} a single example, whose chance the intervals cannot see.")
    return findings
