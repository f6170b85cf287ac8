"""What a study found: one row a cell, one row a task, the comparisons, and the files that they stand in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from tasksel.evaluation_figures import direction_of, pool_weighted_mean
from tasksel.html_page_card import CardTable, card
from tasksel.run_folder import read_json
from tasksel.study.cells import ALL_LABELS, CELL_SHAPE, NO_LABELS
from tasksel.study.comparisons import compare_arms, measure_label_efficiency, summarise_arms
from tasksel.study.config import BENCHMARKS
from tasksel.study.result_plots import (
    draw_differences,
    draw_efficiency,
    draw_gains,
    draw_scores,
    worlds_with_gains,
)
from tasksel.study.verdicts import state_verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasksel.study.cells import Cell, CellWork
    from tasksel.study.config import StudyConfig
    from tasksel.study.trainings import Training

__all__ = ["CollectedCells", "StudyResult", "choose_candidate", "collect_results"]


@dataclass(frozen=True)
class CollectedCells:
    """The figures of some cells.

    Attributes
    ----------
    cells : pl.DataFrame
        One row a cell and metric: ``phase``, ``world``, ``seed``, ``arm``, ``budget``, ``labels``,
        ``pool_rows``, ``metric``, ``macro``, ``micro``, ``training`` (equal where two arms chose the same).
    tasks : pl.DataFrame
        One row a cell and task: ``phase``, ``world``, ``seed``, ``arm``, ``budget``, ``task``, ``labels``,
        ``confidence`` (of the base model; null where no arm asked for it), ``pool_share`` and a column a
        metric.
    """

    cells: pl.DataFrame
    tasks: pl.DataFrame


def collect_results(
    work: CellWork, finished: Sequence[tuple[Cell, Training, dict[str, Any]]], phase: str
) -> CollectedCells:
    """Put the figures of finished cells into frames.

    Parameters
    ----------
    work : CellWork
        Knows the study and its folder.
    finished : sequence of (Cell, Training, dict)
        Each with the result of its training.
    phase : {"tune", "report"}
        What they are for.
    """
    cells, tasks = [], []
    for cell, training, result in finished:
        kept = read_json(cell.path(work.out), CELL_SHAPE)
        place = {
            "phase": phase,
            "world": cell.world,
            "seed": cell.seed,
            "arm": cell.arm,
            "budget": float(cell.budget),
        }
        shares = [row["pool_share"] for row in result["tasks"]]
        for metric in work.study.metrics:
            macro, micro = _means(result, metric, shares)
            cells.append(
                {
                    **place,
                    "labels": kept["labels"],
                    "pool_rows": kept["pool_rows"],
                    "metric": metric,
                    "macro": macro,
                    "micro": micro,
                    "training": training.key,
                }
            )
        confidences = work.find_draw(cell.world, cell.seed).task_confidences
        for row in result["tasks"]:
            labels, confidence = kept["picked"].get(row["task"], 0), confidences.get(row["task"])
            tasks.append({**place, "labels": labels, "confidence": confidence, **row})
    return CollectedCells(
        pl.DataFrame(cells, infer_schema_length=None), pl.DataFrame(tasks, infer_schema_length=None)
    )


def _means(result: dict[str, Any], metric: str, shares: Sequence[float]) -> tuple[float, float]:
    if metric in BENCHMARKS:
        found = result["benchmarks"][metric]
        return found["macro"], found["micro"]
    values = [row[metric] for row in result["tasks"]]
    return math.fsum(values) / len(values), pool_weighted_mean(values, shares)


def choose_candidate(study: StudyConfig, tuned: CollectedCells) -> str:
    """Return the candidate with the best mean over the tuning cells; the first of equal ones."""
    assert study.tuning is not None  # noqa: S101 - asked for only then; for the type checker
    sign = direction_of(study.primary)
    cells = tuned.cells.filter(pl.col("metric") == study.primary)
    means = dict(cells.group_by("arm").agg(pl.col("macro").mean()).iter_rows())
    return max(study.tuning.candidates, key=lambda name: sign * means[name])


def _with_ends(cells: pl.DataFrame, baselines: Sequence[str]) -> pl.DataFrame:
    """End the curve of each baseline at all labels, where every arm's ends."""
    ends = cells.filter(pl.col("arm") == ALL_LABELS)
    arms = cells.filter(~pl.col("arm").is_in([NO_LABELS, ALL_LABELS]))
    return pl.concat([arms, *(ends.with_columns(pl.lit(name).alias("arm")) for name in baselines)])


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a study found.

    Attributes
    ----------
    study : StudyConfig
        What was asked.
    report, tuning : CollectedCells
        Figures on the report's seeds, and those on which a candidate was chosen (empty without tuning).
    chosen : str or None
        The candidate that went on to the report.
    arms : pl.DataFrame
        See `tasksel.study.comparisons.summarise_arms`.
    differences : pl.DataFrame
        Macro, then micro (column ``kind``); see `tasksel.study.comparisons.compare_arms`.
    efficiency : pl.DataFrame
        See `tasksel.study.comparisons.measure_label_efficiency`.
    gains : dict
        Gain curves of each world, where there is an oracle.
    contamination : pl.DataFrame
        One row a draw and reference (``world``, ``seed``, ``reference``): its ``questions``, those with too
        few words to tell (``unchecked``), ``shared_questions`` that share a run of words with the pool, and
        ``sharing_pool_rows``.
    folder : Path
        Where the files are.
    """

    study: StudyConfig
    report: CollectedCells
    tuning: CollectedCells
    chosen: str | None
    arms: pl.DataFrame
    differences: pl.DataFrame
    efficiency: pl.DataFrame
    gains: dict[str, Any]
    contamination: pl.DataFrame
    folder: Path

    @property
    def shown(self) -> CollectedCells:
        """What the comparisons are of: the report, or the tuning where there is none."""
        return self.report if self.report.cells.height else self.tuning

    @classmethod
    def compare(
        cls,
        study: StudyConfig,
        *,
        tuning: CollectedCells,
        report: CollectedCells,
        chosen: str | None,
        gains: dict[str, Any],
        contamination: Sequence[dict[str, Any]],
        folder: Path,
    ) -> StudyResult:
        """Compare the arms of the report, or of the tuning where there is no report."""
        shown = report if report.cells.height else tuning
        differences = [
            compare_arms(shown.cells, study.baselines, kind=kind).with_columns(pl.lit(kind).alias("kind"))
            for kind in ("macro", "micro")
        ]
        return cls(
            study=study,
            report=report,
            tuning=tuning,
            chosen=chosen,
            arms=summarise_arms(shown.cells),
            differences=pl.concat(differences),
            efficiency=measure_label_efficiency(_with_ends(shown.cells, study.baselines), study.baselines),
            gains=gains,
            contamination=pl.DataFrame(contamination).sort("world", "reference", "seed"),
            folder=folder,
        )

    def _repr_html_(self) -> str:
        verdicts = state_verdicts(self.differences, self.study.primary, self.study.baselines)
        primary = self.arms.filter(pl.col("metric") == self.study.primary)
        table = primary.select("world", "arm", "budget", "labels", "seeds", "macro", "micro")
        names = set(primary["arm"]) - {NO_LABELS, ALL_LABELS}
        arms = f"{len(names)} arms compared by {self.study.primary}."
        headline = self.study.question or arms
        tables = [CardTable(table, rows=20)]
        title = f"Study: {self.study.title or self.study.name}"
        return card(title, headline, tables, [each.replace("**", "") for each in verdicts])

    def plot_scores_by_budget(self) -> Any:
        """Draw what each arm scores with each budget, by the primary metric.

        Returns
        -------
        altair.ConcatChart

        Raises
        ------
        SchemaError
            There is nothing to draw.
        MissingExtraError
            altair or vl-convert is not installed (extra ``plots``).
        """
        return draw_scores(self.shown.cells, self.study.primary)

    def plot_differences(self) -> Any:
        """Draw the paired differences to each baseline; returns and errors as in `plot_scores_by_budget`."""
        return draw_differences(self.differences, self.shown.cells, self.study.primary)

    def plot_label_efficiency(self) -> Any:
        """Draw the labels that random needs; returns and errors as in `plot_scores_by_budget`."""
        return draw_efficiency(self.efficiency, self.study.primary)

    def plot_gains_by_confidence(self, world: str | None = None) -> Any:
        """Draw what labels gained in each task; returns and errors as in `plot_scores_by_budget`.

        Parameters
        ----------
        world : str, optional
            One of `worlds_with_gains`; the first of them if left out.
        """
        return draw_gains(self.shown.tasks, self.study.primary, world)

    def worlds_with_gains(self) -> list[str]:
        """Return the worlds whose gains by task are known."""
        return worlds_with_gains(self.shown.tasks, self.study.primary)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "primary": self.study.primary,
            "chosen": self.chosen,
            "arms": self.arms.to_dicts(),
            "differences": self.differences.to_dicts(),
            "efficiency": self.efficiency.to_dicts(),
            "folder": str(self.folder),
        }
