"""What a round bought: the figure of its model, and its gain over that of another round, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from tasksel.evaluation import REPORT_NAME
from tasksel.evaluation_figures import BOOTSTRAP_RESAMPLES, direction_of
from tasksel.evaluation_results import REPORT_SHAPE
from tasksel.intervals import paired_bootstrap_interval
from tasksel.json_shapes import NUMBER, check_shape
from tasksel.run_folder import MANIFEST_NAME, read_json, read_versioned
from tasksel.run_folder_frames import read_frame
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Figure", "Gain", "measure_gain", "read_figure"]

_SEED: Final = 0


class Gain(NamedTuple):
    """By how much a figure is better, with a 95 % interval; better is above 0 whatever the metric."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A figure of an evaluation.

    Parameters
    ----------
    suite, metric : str
        Of what.
    level : {"macro", "micro"}
        The mean over tasks, or over questions where there is one task alone.
    mean, low, high : float
        With a 95 % interval.
    """

    suite: str
    metric: str
    level: str
    mean: float
    low: float
    high: float


def read_figure(folder: Path, metric: str | None = None) -> Figure:
    """Read a figure of an evaluation.

    Parameters
    ----------
    folder : Path
        Of the evaluation.
    metric : str, optional
        By default the first of the first suite that has figures.

    Raises
    ------
    ConfigError
        The evaluation has no such figure.
    """
    found = [
        (suite, name) for suite in _read_suites(folder) for name in suite["figures"] if metric in (None, name)
    ]
    if not found:
        raise ConfigError(
            f"The evaluation has no figure {metric or 'at all'}; {folder / REPORT_NAME} has all."
        )
    suite, chosen = found[0]
    figures = suite["figures"][chosen]
    level = "macro" if len(suite["tasks"]) > 1 else "micro"
    return Figure(suite["suite"], chosen, level, **figures[level])


def measure_gain(earlier: Path, later: Path, figure: Figure) -> Gain:
    """Compare two evaluations of the same questions.

    Parameters
    ----------
    earlier, later : Path
        Folders of evaluations.
    figure : Figure
        Which figure; its level says whether tasks or questions are paired.
    """
    first, second = (_values(folder, figure) for folder in (later, earlier))
    direction = direction_of(figure.metric)
    rng = np.random.default_rng(_SEED)
    low, high = sorted(
        direction * end
        for end in paired_bootstrap_interval(first, second, rng, n_resamples=BOOTSTRAP_RESAMPLES)
    )
    return Gain(direction * float((first - second).mean()), low, high)


def _read_suites(folder: Path) -> list[dict[str, Any]]:
    if (folder / MANIFEST_NAME).is_file():
        read_versioned(folder / MANIFEST_NAME)  # says in which version the figures are written
    suites: list[dict[str, Any]] = read_json(folder / REPORT_NAME, REPORT_SHAPE)["suites"]
    return suites


def _values(folder: Path, figure: Figure) -> NDArray[np.float64]:
    """Return the figure of each task, or of each question, in an order that two evaluations share."""
    if figure.level == "macro":
        tasks = next(each["tasks"] for each in _read_suites(folder) if each["suite"] == figure.suite)
        check_shape(tasks, [{"task": str, figure.metric: NUMBER}], folder / REPORT_NAME)
        by_task = {row["task"]: float(row[figure.metric]) for row in tasks}
        return np.array([by_task[name] for name in sorted(by_task)])
    name = figure.suite.replace(":", "-").replace("/", "-")
    examples = read_frame(folder / name / "examples.parquet", {figure.metric: (NUMBER, bool)})
    ordered = examples.sort("id") if "id" in examples.columns else examples
    return ordered[figure.metric].cast(pl.Float64).to_numpy()
