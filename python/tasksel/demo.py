"""The whole loop on the embedded model and pool: score, select in four ways, train on each, evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model import load_model, suitable_threads
from tasksel.evaluation import EvaluationSettings, evaluate
from tasksel.evaluation_figures import pool_weighted_mean
from tasksel.hidden_states import embed_hidden_states
from tasksel.pool import load_pool
from tasksel.run_folder import make_folder, write_text
from tasksel.run_folder_frames import write_array, write_frame
from tasksel.scoring import ScoreProgress, ScoreSummary, score
from tasksel.selection import Selection, select
from tasksel.toy_world import make_toy_holdout, make_toy_pool
from tasksel.training import train
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import polars as pl

    from tasksel.pool import Pool

__all__ = ["DEMO_STRATEGIES", "DemoFigures", "DemoResult", "run_demo"]

DEMO_STRATEGIES: Final = ("random", "task-diversity", "weighted-task-diversity", "k-center")
DEMO_BUDGET_SHARE: Final = 0.2
DEMO_NEW_TOKENS: Final = 16
"""Answers of the toy world are at most 8 tokens long."""
DEMO_TRAINING: Final[dict[str, Any]] = {
    "full": True,
    "learning_rate": 3e-4,
    "epochs": 8,
    "batch_size": 32,
}
"""As in the studies of the toy world, whose model is too small for the recipes of large ones."""


@dataclass(frozen=True)
class DemoFigures:
    """How a model answers the held-out prompts of the embedded world.

    Parameters
    ----------
    macro_exact_match : float
        Share of right answers, every task counting the same.
    micro_exact_match : float
        The same with each task weighted by its share of the pool.
    """

    macro_exact_match: float
    micro_exact_match: float


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
    base : DemoFigures or None
        The model before any training; None for a pool of the user's own, which has no held-out prompts.
    trained : mapping of str to DemoFigures
        The model trained on each selection; empty for a pool of the user's own.
    """

    pool: str
    rows: int
    budget: int
    scores: ScoreSummary
    selections: Mapping[str, Selection]
    folder: Path
    base: DemoFigures | None
    trained: Mapping[str, DemoFigures]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {
            "pool": {"name": self.pool, "rows": self.rows},
            "budget": self.budget,
            "scores": self.scores.to_dict(),
            "base": None if self.base is None else vars(self.base),
            "strategies": [
                {
                    "strategy": name,
                    "budget": self.budget,
                    **(vars(self.trained[name]) if name in self.trained else {}),
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
    progress: Callable[[str, str], ScoreProgress | None] | None = None,
) -> DemoResult:
    """Score a pool, select from it in four ways, train a model on each selection, and compare.

    With a pool of your own the demo ends with the selections: what a training on them is worth can only be
    told with held-out prompts, which `tasksel.study` makes from a labelled file.

    Parameters
    ----------
    out : path
        Folder for the files: ``pool.parquet``, ``holdout.parquet`` and ``embeddings.npy``, ``run/`` with the
        scores, and for each strategy a folder with the selection, the training and the evaluation. A second
        call continues where the first stopped.
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
        ``(label, unit) -> ScoreProgress or None``, called at the beginning of each stage.

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
    if pool is None:
        loaded = _toy_pool(folder, seed)
    else:
        loaded = load_pool(pool, task_column=task_column, id_column=id_column)
    if "task" not in loaded.frame.columns:
        raise SchemaError(
            f"{loaded.name} has no task column, which the demo needs; it has "
            f"{', '.join(loaded.frame.columns)}. Name one with --task-column."
        )
    begin = progress or (lambda _, __: None)
    summary = score(
        loaded,
        model=model,
        out=folder / "run",
        max_new_tokens=DEMO_NEW_TOKENS,
        progress=begin("Scoring", "prompts"),
    )
    chosen_budget = budget or max(1, round(DEMO_BUDGET_SHARE * loaded.frame.height))
    embeddings = _embed(folder / "embeddings.npy", loaded, model)
    selections = {
        name: select(
            loaded,
            scores=folder / "run",
            embeddings=embeddings if name == "k-center" else None,
            budget=chosen_budget,
            strategy=name,
            seed=seed,
            out=folder / name,
        )
        for name in DEMO_STRATEGIES
    }
    base, trained = None, {}
    if pool is None:
        judge = _Judge(folder, loaded.frame, seed)
        base = judge.evaluate(model, folder / "base", begin("Base model", "prompts"))
        trained = {
            name: judge.train_and_evaluate(chosen, model, folder / name, begin(name, "steps"))
            for name, chosen in selections.items()
        }
    return DemoResult(
        pool=loaded.name,
        rows=loaded.frame.height,
        budget=chosen_budget,
        scores=summary,
        selections=selections,
        folder=folder,
        base=base,
        trained=trained,
    )


def _toy_pool(folder: Path, seed: int) -> Pool:
    """Write the embedded pool to the folder, where it can be looked at."""
    make_folder(folder)
    path = folder / "pool.parquet"
    write_frame(path, make_toy_pool(seed))
    return load_pool(path)


def _embed(path: Path, pool: Pool, model: str) -> str:
    """Write the mean hidden states of the model over each prompt, unless they are there for these prompts."""
    marker = path.with_suffix(".sha256")
    if path.exists() and marker.exists() and marker.read_text(encoding="utf-8") == pool.sha256:
        return str(path)
    marker.unlink(missing_ok=True)
    causal_model = load_model(model)
    with suitable_threads(causal_model):
        vectors = embed_hidden_states(causal_model, pool.frame["prompt"].to_list())
    write_array(path, vectors)
    write_text(marker, pool.sha256)
    return str(path)


class _Judge:
    """Evaluates models on held-out prompts of the embedded world."""

    def __init__(self, folder: Path, pool: pl.DataFrame, seed: int) -> None:
        self._seed = seed
        path = folder / "holdout.parquet"
        write_frame(path, make_toy_holdout(seed))
        self._holdout = load_pool(path)
        self._shares = dict(pool["task"].value_counts(normalize=True).iter_rows())

    def train_and_evaluate(
        self, selection: Selection, model: str, folder: Path, progress: ScoreProgress | None
    ) -> DemoFigures:
        """Train on a selection, whose responses the embedded pool has, and evaluate."""
        trained = train(
            selection.frame.drop("rank"),
            model=model,
            out=folder,
            seed=self._seed,
            progress=progress,
            **DEMO_TRAINING,
        )
        assert trained.model is not None  # noqa: S101 - full finetuning writes a model; for the type checker
        return self.evaluate(trained.model, folder / "evaluation", None)

    def evaluate(self, model: str, folder: Path, progress: ScoreProgress | None) -> DemoFigures:
        """Return exact match over the held-out prompts."""
        found = evaluate(
            self._holdout,
            model=model,
            out=folder,
            settings=EvaluationSettings(max_new_tokens=DEMO_NEW_TOKENS),
            progress=progress,
        )["exact"]
        shares = [self._shares.get(task, 0.0) for task in found.tasks["task"]]
        micro = pool_weighted_mean(found.tasks["exact_match"].to_list(), shares)
        return DemoFigures(found.figures["exact_match"]["macro"]["mean"], micro)
