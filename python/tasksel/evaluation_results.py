"""The results of an evaluation, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.csv_cells import defused_texts
from tasksel.evaluation_figures import overall_figures, task_figures
from tasksel.json_shapes import AN_OBJECT, NUMBER, NUMBER_OR_NULL
from tasksel.run_folder import make_folder, write_text
from tasksel.run_folder_frames import write_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

__all__ = ["REPORT_SHAPE", "Evaluation", "EvaluationSettings", "SuiteResult", "summarise", "write_suite"]

_FIGURE: Final = {"mean": NUMBER, "low": NUMBER_OR_NULL, "high": NUMBER_OR_NULL}
REPORT_SHAPE: Final = {
    "suites": [
        {
            "suite": str,
            "figures": {...: {"macro?": _FIGURE, "micro?": _FIGURE}},
            "tasks": [AN_OBJECT],
            "notes": [str],
        }
    ]
}
"""Of ``report.json``."""


@dataclass(frozen=True)
class SuiteResult:
    """The figures of one suite.

    Attributes
    ----------
    name : str
        As it was asked for.
    tasks : pl.DataFrame
        One row a task (a generator in ``winrate``), best first.
    figures : dict
        ``{metric: {"macro": {"mean", "low", "high"}, "micro": {...}}}``; empty for ``winrate``.
    examples : pl.DataFrame or None
        One row an example, where the suite has them.
    notes : tuple of str
        What a person should know.
    win_rates : pl.DataFrame or None
        AlpacaEval's figures, where a judge was asked; see `tasksel.winrate.win_rates`.
    replies : dict or None
        How many replies of the judge were of which kind; see `tasksel.judge.count_outcomes`.
    """

    name: str
    tasks: pl.DataFrame
    figures: dict[str, dict[str, Any]]
    examples: pl.DataFrame | None
    notes: tuple[str, ...] = ()
    win_rates: pl.DataFrame | None = None
    replies: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account without the examples."""
        n_examples = None if self.examples is None else self.examples.height
        return {
            "suite": self.name,
            "examples": n_examples,
            "figures": self.figures,
            "tasks": self.tasks.to_dicts(),
            "notes": list(self.notes),
            **({} if self.win_rates is None else {"win_rates": self.win_rates.to_dicts()}),
            **({} if self.replies is None else {"replies": self.replies}),
        }


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes
    ----------
    suites : tuple of SuiteResult
        In the order asked for.
    manifest : dict
        Inputs with their hashes, settings and versions.
    folder : str or None
        Where the files are.
    """

    suites: tuple[SuiteResult, ...]
    manifest: dict[str, Any]
    folder: str | None = None

    def __getitem__(self, name: str) -> SuiteResult:
        """Return a suite by its name."""
        return next(suite for suite in self.suites if suite.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        suites = [suite.to_dict() for suite in self.suites]
        return {**self.manifest, "suites": suites, "folder": self.folder}


@dataclass(frozen=True)
class EvaluationSettings:
    """How answers are made and losses measured.

    Attributes
    ----------
    max_new_tokens : int
        Longest answer of ``exact`` and ``winrate``.
    prompt_template : str or None
        As for `tasksel.score`.
    max_tokens : int
        Longest prompt and response of ``loss`` together, as for `tasksel.train`.
    mmlu_shots, bbh_shots : int
        Solved examples before a question.
    batch_tokens : int
        Padded tokens of one batch.
    device, dtype : str
        As for `tasksel.score`.
    seed : int
        Of the bootstrap intervals.
    """

    max_new_tokens: int = 64
    prompt_template: str | None = None
    max_tokens: int = 2048
    mmlu_shots: int = 5
    bbh_shots: int = 3
    batch_tokens: int = 8192
    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0


def summarise(
    name: str, examples: pl.DataFrame, metrics: Sequence[str], notes: Sequence[str], *, seed: int
) -> SuiteResult:
    """Return the figures of a suite from its examples; see `task_figures` and `overall_figures`."""
    tasks = task_figures(examples, metrics)
    return SuiteResult(name, tasks, overall_figures(examples, metrics, seed=seed), examples, tuple(notes))


def _folder_name(suite: str) -> str:
    return suite.replace(":", "-").replace("/", "-")


def write_suite(out: Path, result: SuiteResult) -> None:
    """Write the examples and tasks of a suite into its own folder below `out`."""
    folder = out / _folder_name(result.name)
    make_folder(folder)
    if result.examples is not None:
        write_frame(folder / "examples.parquet", result.examples)
    write_text(folder / "tasks.csv", defused_texts(result.tasks).write_csv())
