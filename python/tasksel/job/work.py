"""Rows, tokens and time of what a stage has left to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.evaluation_results import EvaluationSettings
from tasksel.job.rates import measure_embedding, measure_scoring, measure_training
from tasksel.job.sections import SECTIONS
from tasksel.job.stages import EmbedStage, ScoreStage, SelectStage
from tasksel.job.stages_evaluation import EvaluateStage
from tasksel.job.stages_tasks import TasksStage
from tasksel.job.stages_training import LabelStage, TrainStage
from tasksel.run_status_shards import read_stage
from tasksel.token_counts import TokenCounter
from tasksel.training_settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.job.context import JobContext
    from tasksel.job.rates import Rate
    from tasksel.job.stage import Stage

__all__ = ["StageWork", "WorkEstimates"]

DEFAULT_NEW_TOKENS: Final = {"score": 256, "evaluate": EvaluationSettings().max_new_tokens}
"""Longest answer where the file does not say it; as the functions have it."""
DEFAULT_EPOCHS: Final = TrainingSettings().epochs
_NOT_ASKED: Final = "not measured"
_UNKNOWN_ROWS: Final = "unknown: how many labels the budget buys is known once they are selected"


@dataclass(frozen=True)
class StageWork:
    """What a stage has left to do.

    Parameters
    ----------
    rows : int or None
        Prompts, examples or selected rows.
    prompt_tokens : int or None
        That are read.
    new_tokens : int or None
        That are written at most.
    seconds : float or None
        None where it is not known.
    tokens_basis, time_basis : str
        Where the figures are from.
    """

    rows: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    seconds: float | None = None
    tokens_basis: str = ""
    time_basis: str = ""


class WorkEstimates:
    """Says what stages have left to do; each rate is measured once.

    Parameters
    ----------
    context : JobContext
        The job.
    measure : bool
        Whether models may be tried.
    """

    def __init__(self, context: JobContext, *, measure: bool) -> None:
        self._context = context
        self._measure = measure
        self._rates: dict[str, Rate] = {}

    def of(self, stage: Stage, state: str) -> StageWork:
        """Say what a stage has left to do; of one that goes on only the rest counts."""
        config = self._context.config
        if isinstance(stage, (ScoreStage, EmbedStage)):
            return self._of_shards(stage, state, config[stage.section])
        if isinstance(stage, TasksStage):
            return self._of_tasks(stage)
        if isinstance(stage, SelectStage):
            return StageWork(rows=stage.selection.most_prompts(self._context.given_pool.frame.height))
        if isinstance(stage, LabelStage):
            return StageWork(rows=self._budget_of(stage.selection))
        if isinstance(stage, TrainStage):
            return self._of_training(stage)
        if isinstance(stage, EvaluateStage):
            return self._of_evaluation()
        return StageWork()

    def _rate(self, name: str, measure: Callable[[], Rate]) -> Rate:
        if not self._measure:
            return None, _NOT_ASKED
        if name not in self._rates:
            self._rates[name] = measure()
        return self._rates[name]

    def _of_shards(self, stage: ScoreStage | EmbedStage, state: str, keys: Mapping[str, Any]) -> StageWork:
        frame = self._context.given_pool.frame
        n_left, eta_s = frame.height, None
        if state == "goes on":
            status = read_stage(stage.folder(self._context), hashes=False)
            n_left, eta_s = frame.height - status.rows_done, status.eta_s
        count = TokenCounter(keys.get("model")).count(frame["prompt"].to_list())
        seconds, basis = eta_s, "at the rate of the run so far"
        if eta_s is None:
            measured = measure_scoring if isinstance(stage, ScoreStage) else measure_embedding
            rate, basis = self._rate(stage.section, lambda: measured(frame, keys))
            seconds = None if rate is None else rate * n_left
        new_tokens = None
        if isinstance(stage, ScoreStage):
            new_tokens = n_left * int(keys.get("max_new_tokens", DEFAULT_NEW_TOKENS["score"]))
        read_tokens = round(count.tokens * n_left / frame.height)
        return StageWork(n_left, read_tokens, new_tokens, seconds, count.basis, basis)

    def _of_tasks(self, stage: TasksStage) -> StageWork:
        """Say what embedding the prompts is, where that is done here; the search is not timed."""
        frame, keys = self._context.given_pool.frame, self._context.config["tasks"]
        if stage.needs or "embeddings" in keys:
            return StageWork(frame.height)
        named = {"model": keys["embedding_model"]} if "embedding_model" in keys else {}
        rate, basis = self._rate("tasks", lambda: measure_embedding(frame, named))
        return StageWork(
            frame.height, seconds=None if rate is None else rate * frame.height, time_basis=basis
        )

    def _of_training(self, stage: TrainStage) -> StageWork:
        keys, frame = self._context.config["train"], self._context.given_pool.frame
        n_rows = self._budget_of(stage.selection)
        rate, basis = self._rate("train", lambda: measure_training(frame, keys))
        if n_rows is None or rate is None:
            return StageWork(n_rows, time_basis=_UNKNOWN_ROWS if n_rows is None else basis)
        n_passes = n_rows * int(keys.get("epochs", DEFAULT_EPOCHS))
        return StageWork(n_rows, seconds=rate * n_passes, time_basis=basis)

    def _of_evaluation(self) -> StageWork:
        """Say what answering the held-out prompts is; other suites have questions of their own."""
        keys, holdout = self._context.config["evaluate"], self._context.holdout
        suites = keys.get("suite", ["exact"])
        if holdout is None or suites != ["exact"]:
            rows = None if holdout is None else holdout.frame.height
            return StageWork(rows, time_basis="not measured: that is done for the suite exact alone")
        frame = holdout.frame
        max_new_tokens = int(keys.get("max_new_tokens", DEFAULT_NEW_TOKENS["evaluate"]))
        count = TokenCounter(keys["model"]).count(frame["prompt"].to_list())
        taken = {name: value for name, value in keys.items() if name in SECTIONS["score"].keys}
        asked = {"max_new_tokens": max_new_tokens, **taken}
        rate, basis = self._rate("evaluate", lambda: measure_scoring(frame, asked))
        seconds = None if rate is None else rate * frame.height
        return StageWork(
            frame.height, count.tokens, frame.height * max_new_tokens, seconds, count.basis, basis
        )

    def _budget_of(self, selection: str) -> int | None:
        chosen = next(each for each in self._context.config.selections if each.name == selection)
        return chosen.most_prompts(self._context.given_pool.frame.height)
