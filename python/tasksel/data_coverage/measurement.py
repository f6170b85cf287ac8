"""Coverage of one set by another, from embeddings alone or with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.data_coverage.flags import find_flags
from tasksel.data_coverage.inputs import check_dimensions, check_labels, check_pair, kept_rows
from tasksel.data_coverage.neighbourhoods import (
    nearest_distances,
    prdc_and_covered,
    same_distance,
    similar_distance,
)
from tasksel.data_coverage.null_bands import measure_null_bands
from tasksel.data_coverage.result import Coverage
from tasksel.data_coverage.shares import cluster_table, level_table, total_variation
from tasksel.data_coverage.spread import classifier_test, sliced_wasserstein, vendi_score
from tasksel.data_coverage.yardstick import MIN_REAL_ROWS, measure_equivalent
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tasksel.data_coverage.null_bands import NullBands
    from tasksel.data_coverage.yardstick import Equivalent

__all__ = ["N_CLUSTERS", "N_EXEMPLARS", "coverage"]

N_CLUSTERS: Final = 50
N_EXEMPLARS: Final = 5
MAX_TASKS: Final = 1000
MIN_ROWS_PER_TASK: Final = 4
MAX_CLASSIFIED_ROWS: Final = 2000

_LEVEL_SCHEMA: Final = {
    "dimension": pl.String,
    "level": pl.String,
    "covered": pl.Float64,
    "real_rows": pl.Int64,
    "synthetic_rows": pl.Int64,
    "real_share": pl.Float64,
    "synthetic_share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "is_gap": pl.Boolean,
    "is_excess": pl.Boolean,
}


def coverage(
    real_embeddings: npt.ArrayLike,
    synthetic_embeddings: npt.ArrayLike,
    *,
    real_tasks: Sequence[Any] | None = None,
    synthetic_tasks: Sequence[Any] | None = None,
    dimensions: Mapping[str, tuple[Any, Any]] | None = None,
    exclude_rows: npt.ArrayLike | None = None,
    n_clusters: int = N_CLUSTERS,
    n_exemplars: int = N_EXEMPLARS,
    level: float = 0.95,
    seed: int = 0,
) -> Coverage:
    """Measure how much of a real set's mass a synthetic set covers, and how else they differ.

    The headline is ``coverage_equivalent``: held-out real rows, of which a known part was taken away, are the
    yardstick, at one number of rows for both. 0.85 means "as if 15 % of the real mass were missing". Removed
    are whole tasks where the real rows have labels, else whole clusters. What the synthetic set has too much
    of lowers it too, as far as it takes rows from the rest; what it invents, repeats or copies raises a flag.

    Parameters
    ----------
    real_embeddings, synthetic_embeddings : array-like of float, shape (n_rows, n_columns)
        Of one model. Half precision and float64 are converted to float32.
    real_tasks, synthetic_tasks : sequence, optional
        A label for each row. The real ones sharpen the headline; the synthetic ones are compared with them in
        ``levels`` and otherwise not believed.
    dimensions : mapping of str to pair of sequences, optional
        Further labels of both sets, for ``levels``.
    exclude_rows : array-like of int, optional
        Real rows to leave out of the reference: those that the synthetic set was prompted with.
    n_clusters : int
        Of the table of gaps and the total variation; fewer for less than 10 real rows a cluster.
    n_exemplars : int
        Real rows that stand for a cluster.
    level : float
        Of all intervals; 1 minus it is the share of false gaps that is accepted.
    seed : int
        Of everything random.

    Returns
    -------
    Coverage

    Raises
    ------
    ArrayError
        A set is empty, not finite or of another width, or labels do not fit the rows.
    ConfigError
        A setting is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> centers, topic = 6 * rng.standard_normal((20, 16)), rng.integers(20, size=4000)
    >>> real = centers[topic] + rng.standard_normal((4000, 16))
    >>> half = centers[rng.integers(10, size=1000)] + rng.standard_normal((1000, 16))
    >>> found = coverage(real, half, real_tasks=topic)
    >>> 0.45 < found.coverage_equivalent < 0.55, found.gaps.height >= 10
    (True, True)
    """
    _check_settings(n_clusters, n_exemplars, level, seed)
    all_real, synthetic = check_pair(real_embeddings, synthetic_embeddings)
    tasks = check_labels("real_tasks", real_tasks, len(all_real))
    other_tasks = check_labels("synthetic_tasks", synthetic_tasks, len(synthetic))
    if tasks is None and other_tasks is not None:
        raise ConfigError("synthetic_tasks without real_tasks: there is nothing to compare them with.")
    pairs = check_dimensions(dimensions, len(all_real), len(synthetic))
    rows = kept_rows(len(all_real), exclude_rows)
    real = all_real if len(rows) == len(all_real) else all_real[rows]
    tasks = None if tasks is None else [tasks[row] for row in rows]
    notes: list[str] = []
    codes = _task_codes(tasks, notes)
    equivalent = _equivalent(real, synthetic, codes, level, seed, notes)
    clusters = cluster_table(
        real,
        synthetic,
        n_clusters=n_clusters,
        n_exemplars=n_exemplars,
        level=level,
        seed=seed,
        real_tasks=tasks,
    )
    clusters = _original_rows(clusters, rows)
    statistics, covered = _statistics(real, synthetic, clusters, seed)
    bands = None if len(real) < 4 else measure_null_bands(real, synthetic, n_clusters=n_clusters, seed=seed)
    statistics["outside_share"] = None if bands is None else _outside_share(bands)
    labelled = {} if tasks is None else {"task": (tasks, other_tasks)}
    labelled |= {name: ([ours[row] for row in rows], theirs) for name, (ours, theirs) in pairs.items()}
    levels = _levels(labelled, covered, level)
    figures = pl.DataFrame(schema=_FIGURE_SCHEMA) if bands is None else bands.figures
    return Coverage(
        coverage_equivalent=None if equivalent is None else equivalent.coverage,
        interval=None if equivalent is None else equivalent.interval,
        null=None if equivalent is None else equivalent.null,
        regions="clusters" if codes is None else "tasks",
        n_real=len(real),
        n_synthetic=len(synthetic),
        n_compared=0 if equivalent is None else equivalent.n_compared,
        shortfall=None if equivalent is None else equivalent.shortfall,
        calibration=_calibration(equivalent),
        clusters=clusters,
        gaps=clusters.filter("is_gap"),
        levels=levels,
        figures=figures,
        statistics=statistics,
        flags=find_flags(equivalent, figures, clusters, levels, statistics),
        notes=tuple(notes),
        settings={
            "n_clusters": n_clusters,
            "n_exemplars": n_exemplars,
            "level": level,
            "seed": seed,
            "excluded_rows": len(all_real) - len(real),
        },
    )


_FIGURE_SCHEMA: Final = {
    "figure": pl.String,
    "synthetic": pl.Float64,
    "real": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "is_out": pl.Boolean,
}


def _check_settings(n_clusters: int, n_exemplars: int, level: float, seed: int) -> None:
    if n_clusters < 1:
        raise ConfigError(f"n_clusters is {n_clusters}; a whole number of at least 1 is wanted.")
    if n_exemplars < 0:
        raise ConfigError(f"n_exemplars is {n_exemplars}; a whole number of at least 0 is wanted.")
    if not 0 < level < 1:
        raise ConfigError(f"level is {level!r}; a number above 0 and below 1 is wanted.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; a whole number of at least 0 is wanted.")


def _task_codes(tasks: list[str] | None, notes: list[str]) -> npt.NDArray[np.int64] | None:
    """Give the tasks numbers, if there are enough rows of enough of them to be told apart."""
    if tasks is None:
        return None
    names, codes = np.unique(np.array(tasks, dtype=object).astype(str), return_inverse=True)
    if 2 <= len(names) <= min(MAX_TASKS, len(tasks) // MIN_ROWS_PER_TASK):
        return codes.astype(np.int64)
    notes.append(
        f"{len(names):,} tasks in {len(tasks):,} real rows are no yardstick (2 to {MAX_TASKS:,}, of "
        f"{MIN_ROWS_PER_TASK} rows and more on average); clusters were used."
    )
    return None


def _equivalent(
    real: npt.NDArray[np.float32],
    synthetic: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64] | None,
    level: float,
    seed: int,
    notes: list[str],
) -> Equivalent | None:
    if len(real) < MIN_REAL_ROWS:
        notes.append(f"{len(real)} real rows are no yardstick; at least {MIN_REAL_ROWS} are needed.")
        return None
    found = measure_equivalent(real, synthetic, real_tasks=codes, level=level, seed=seed)
    if found.n_compared < len(synthetic):
        notes.append(
            f"The headline compares {found.n_compared:,} rows of the {len(synthetic):,} at a time, as many "
            f"as {len(real):,} real rows are a yardstick for."
        )
    missing = 1 - found.null.low
    notes.append(
        f"{found.n_compared:,} rows notice a coverage below {found.null.low:.2f}; less than {missing:.0%} "
        "missing can be chance."
    )
    return found


def _statistics(
    real: npt.NDArray[np.float32], synthetic: npt.NDArray[np.float32], clusters: pl.DataFrame, seed: int
) -> tuple[dict[str, float | None], npt.NDArray[np.bool_]]:
    """Figures over all rows."""
    rng = np.random.default_rng(seed)
    figures, covered = prdc_and_covered(real, synthetic)
    to_others, to_real = nearest_distances(synthetic), nearest_distances(synthetic, real)
    same, similar = same_distance(real), similar_distance(real)
    ours, theirs = (rows[rng.permutation(len(rows))[:MAX_CLASSIFIED_ROWS]] for rows in (real, synthetic))
    told = classifier_test(ours, theirs, rng)
    statistics: dict[str, float | None] = {
        "total_variation": total_variation(clusters),
        **figures._asdict(),
        "duplicates": float((to_others <= same).mean()),
        "near_duplicates": float((to_others <= similar).mean()),
        "copies": float((to_real <= same).mean()),
        "near_copies": float((to_real <= similar).mean()),
        "vendi_ratio": vendi_score(synthetic) / vendi_score(real),
        "classifier_accuracy": told.accuracy,
        "classifier_p_value": told.p_value,
        "sliced_wasserstein": sliced_wasserstein(ours, theirs, rng),
    }
    return statistics, covered


def _outside_share(bands: NullBands) -> float:
    """Estimate how many synthetic rows lie outside: what precision lacks of that of held-out real rows."""
    row = bands.figures.row(by_predicate=pl.col("figure") == "precision", named=True)
    return float(np.clip(1 - row["synthetic"] / max(row["real"], 1e-9), 0.0, 1.0))


def _levels(
    labelled: Mapping[str, tuple[list[str], list[str] | None]], covered: npt.NDArray[np.bool_], level: float
) -> pl.DataFrame:
    tables = [
        level_table(name, ours, theirs, covered, level=level).cast(_LEVEL_SCHEMA)  # type: ignore[arg-type]
        for name, (ours, theirs) in labelled.items()
    ]
    return pl.concat([pl.DataFrame(schema=_LEVEL_SCHEMA), *tables])


def _calibration(equivalent: Equivalent | None) -> pl.DataFrame:
    names = ("missing", "shortfall", "deviation")
    curve = np.empty((0, 3)) if equivalent is None else equivalent.curve
    return pl.DataFrame({name: curve[:, column] for column, name in enumerate(names)})


def _original_rows(clusters: pl.DataFrame, rows: npt.NDArray[np.int64]) -> pl.DataFrame:
    """Count exemplars as the caller does, with the rows that were left out."""
    exemplars = [[int(rows[row]) for row in each] for each in clusters["exemplars"].to_list()]
    return clusters.with_columns(pl.Series("exemplars", exemplars, dtype=pl.List(pl.Int64)))
