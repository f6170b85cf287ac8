"""The loop on the embedded model and pool: score, weigh the tasks, allocate, pick, beside random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasksel.pool import load_pool
from tasksel.run_folder import atomic_path
from tasksel.scoring import ScoreProgress, ScoreSummary, score
from tasksel.selection import Selection, select
from tasksel.toy_world import make_toy_pool
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from tasksel.pool import Pool

__all__ = ["DEMO_STRATEGIES", "DemoResult", "run_demo"]

DEMO_STRATEGIES = ("random", "weighted-task-diversity")
DEMO_BUDGET_SHARE = 0.2
DEMO_NEW_TOKENS = 16
"""Answers of the toy world are at most 8 tokens long."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo did.

    Parameters
    ----------
    pool : str
        Name of the pool.
    rows : int
        Prompts in it.
    budget : int
        Prompts selected by each strategy.
    scores : ScoreSummary
        Figures of the scoring stage.
    selections : mapping of str to Selection
        One a strategy.
    folder : Path
        Where the files are.
    """

    pool: str
    rows: int
    budget: int
    scores: ScoreSummary
    selections: Mapping[str, Selection]
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {
            "pool": {"name": self.pool, "rows": self.rows},
            "budget": self.budget,
            "scores": self.scores.to_dict(),
            "strategies": [
                {
                    "strategy": name,
                    "budget": self.budget,
                    "folder": str(self.folder / name),
                    **selection.manifest["figures"],
                    "allocation": selection.allocation.to_dicts(),
                    "notes": list(selection.notes),
                }
                for name, selection in self.selections.items()
            ],
            "folder": str(self.folder),
        }


def run_demo(
    out: str | os.PathLike[str] = "tasksel-demo",
    *,
    pool: str | os.PathLike[str] | None = None,
    model: str = "demo",
    budget: int | None = None,
    seed: int = 0,
    task_column: str | None = None,
    id_column: str | None = None,
    progress: ScoreProgress | None = None,
) -> DemoResult:
    """Score a pool and select from it at random and by weighted task diversity.

    Parameters
    ----------
    out : path
        Folder for the files: the pool (when it is the embedded one), ``run/`` with the scores, and a
        folder for each strategy. A second call continues where the first stopped.
    pool : path, optional
        Your own pool; the default is the embedded toy world.
    model : str
        A model path or name; ``"demo"`` is the embedded one.
    budget : int, optional
        Prompts to select; default a fifth of the pool.
    seed : int
        Seed of the embedded pool and of every random choice.
    task_column, id_column : str, optional
        Columns of your own pool to use as task and id.
    progress : callable, optional
        Called with ``(rows_done, rows_total, tokens_done)`` while scoring.

    Returns
    -------
    DemoResult

    Raises
    ------
    SchemaError
        The pool has no tasks, or cannot be read.
    MissingExtraError
        torch or transformers is not installed.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = _demo_pool(folder, pool, seed=seed, task_column=task_column, id_column=id_column)
    if "task" not in loaded.frame.columns:
        raise SchemaError(
            f"{loaded.name} has no task column, which the demo needs; it has "
            f"{', '.join(loaded.frame.columns)}. Name one with --task-column."
        )
    summary = score(
        loaded, model=model, out=folder / "run", max_new_tokens=DEMO_NEW_TOKENS, progress=progress
    )
    chosen_budget = budget or max(1, round(DEMO_BUDGET_SHARE * loaded.frame.height))
    selections = {
        name: select(
            loaded,
            scores=folder / "run",
            budget=chosen_budget,
            strategy=name,
            seed=seed,
            out=folder / name,
        )
        for name in DEMO_STRATEGIES
    }
    return DemoResult(
        pool=loaded.name,
        rows=loaded.frame.height,
        budget=chosen_budget,
        scores=summary,
        selections=selections,
        folder=folder,
    )


def _demo_pool(
    folder: Path,
    pool: str | os.PathLike[str] | None,
    *,
    seed: int,
    task_column: str | None,
    id_column: str | None,
) -> Pool:
    """Load the user's pool, or write the embedded one to the folder, where it can be looked at."""
    if pool is not None:
        return load_pool(pool, task_column=task_column, id_column=id_column)
    path = folder / "pool.parquet"
    with atomic_path(path) as temporary:
        make_toy_pool(seed).write_parquet(temporary)
    return load_pool(path)
