"""Each round as a job: its folder, its selection with all labels so far, its stages."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tasksel.job.config import ONE_SELECTION, JobConfig, SelectionConfig
from tasksel.job.context import JobContext
from tasksel.job.pipeline import list_stages
from tasksel.job.places import TASKED_POOL_NAME
from tasksel.job.stages import SelectStage
from tasksel.job.stages_evaluation import EvaluateStage
from tasksel.job.stages_training import TrainStage
from tasksel.json_shapes import NUMBER
from tasksel.pool import unanswered
from tasksel.rounds.account import AccountStage
from tasksel.rounds.places import BEFORE, RoundPlaces
from tasksel.rounds.sizes import BUDGET_UNITS
from tasksel.rounds.stages import RoundLabelStage, TeacherStage, TrainedScoreStage
from tasksel.run_folder import MANIFEST_NAME, read_versioned
from tasksel.training_output import ADAPTER_FOLDER, MODEL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from tasksel.job.stage import Stage
    from tasksel.pool import Pool
    from tasksel.rounds.config import RoundsConfig
    from tasksel.shard_run import ShardProgress

__all__ = ["RoundJobs"]

_DONE_ONCE = ("pool", "embed", "tasks", "score")


class RoundJobs:
    """Makes the job of each round out of one file.

    Parameters
    ----------
    config : RoundsConfig
        The file.
    begin : callable
        ``(label, unit) -> ShardProgress or None``, called at the beginning of each stage.
    announce : callable, optional
        Called at the first Ctrl-C.
    """

    def __init__(
        self,
        config: RoundsConfig,
        begin: Callable[[str, str], ShardProgress | None],
        announce: Callable[[], object] | None,
    ) -> None:
        self.config = config
        self.places = RoundPlaces(config.out)
        self.begin = begin
        self.announce = announce
        self.whole = self._context(BEFORE, config.job)
        """The job as the file has it: its pool and held-out prompts are read once, for all rounds."""

    @cached_property
    def pool(self) -> Pool:
        """The pool with its tasks; those that are looked for must have been found."""
        if "tasks" not in self.config.job:
            return self.whole.given_pool
        return self.context(BEFORE).pool

    @property
    def annotator(self) -> str:
        """Who labels; where the file does not say it, the pool if it has every answer."""
        return self.annotator_of(self.pool.frame)

    def annotator_of(self, frame: pl.DataFrame) -> str:
        """Return who labels the prompts of a frame."""
        if self.config.annotator is not None:
            return self.config.annotator
        return "people" if unanswered(frame).height else "pool"

    @property
    def embeddings(self) -> str | None:
        """Where the vectors of the pool are, if there are any."""
        named = self.config.selection.settings.get("embeddings")
        job, places = self.config.job, self.places.job(BEFORE)
        if named is not None or "embed" in job:
            return named or str(places.embeddings)
        return str(places.scores) if "embed_from" in job["score"] else None

    def context(self, number: int) -> JobContext:
        """Return the context of a round; of 0, that of what is done once before the first."""
        if number == BEFORE:
            context = self._context(BEFORE, self._config_before())
            context.given_pool = self.whole.given_pool
        else:
            context = self._context(number, self._config_of(number))
            context.given_pool = self.pool
        context.holdout = self.whole.holdout
        return context

    def stages(self, number: int, context: JobContext) -> list[Stage]:
        """Return the stages of a round, its account at the end."""
        stages = list_stages(context.config) if number == BEFORE else self._stages_of(number, context.config)
        is_evaluated = any(stage.section == "evaluate" for stage in stages)
        needs = tuple(stage.name for stage in stages)
        account = AccountStage(
            number, self.places, self.config.metric, is_evaluated, self.embeddings, needs=needs
        )
        return [*stages, account]

    def budget_of(self, number: int) -> dict[str, Any]:
        """Return the budget of a round: what the rounds before have left over is added."""
        figure = BUDGET_UNITS[self.config.sizes.budget]
        spent = 0.0
        for each in range(1, number):
            path = self.places.job(each).selection("") / MANIFEST_NAME
            selection = read_versioned(path, {"figures": {f"{figure}?": NUMBER}})
            spent += selection["figures"].get(figure, 0.0)
        return self.config.sizes.settings(number, spent)

    def _context(self, number: int, config: JobConfig) -> JobContext:
        def begin(label: str, unit: str) -> ShardProgress | None:
            return self.begin(label if number == BEFORE else f"Round {number}: {label}", unit)

        return JobContext(config.with_out(self.places.folder(number)), begin, self.announce)

    def _config_before(self) -> JobConfig:
        """Return the job that is done once: tasks, vectors, scores, the base model's figures."""
        job = self.config.job
        wanted = {*_DONE_ONCE, "evaluate"} if job["evaluate"].get("base", True) else {*_DONE_ONCE}
        sections = {name: keys for name, keys in job.sections.items() if name in wanted}
        return replace(job, sections=sections, selections=())

    def _config_of(self, number: int) -> JobConfig:
        """Return the job of a round: its selection counts and leaves out what the rounds before labelled."""
        job = self.config.job
        sections = {name: job[name] for name in ("pool", "labels", "train") if name in job}
        if "tasks" in job:
            sections["pool"] = {"path": str(self.places.job(BEFORE).tasks / TASKED_POOL_NAME)}
        if self.config.is_evaluated:
            sections["evaluate"] = {**job["evaluate"], "base": False}
        if self._scores_anew(number):
            sections["score"] = {**job["score"], **self._trained_model(number - 1)}
        return replace(job, sections=sections, selections=(self._selection_of(number),))

    def _selection_of(self, number: int) -> SelectionConfig:
        settings = {**self.config.selection.settings, **self.budget_of(number)}
        if "score" in self.config.job and not self._scores_anew(number):
            settings.setdefault("scores", str(self.places.job(BEFORE).scores))
        if self.embeddings is not None and SelectStage(self.config.selection).needs_embeddings:
            settings.setdefault("embeddings", self.embeddings)
        labelled = self.places.labelled(number - 1)
        if labelled is not None:
            settings["labelled"] = str(labelled)
        return SelectionConfig(ONE_SELECTION, settings)

    def _scores_anew(self, number: int) -> bool:
        return self.config.scores == "trained" and number > 1

    def _trained_model(self, number: int) -> dict[str, str]:
        folder = self.places.job(number).training("")
        if (folder / ADAPTER_FOLDER).is_dir():
            return {"adapter": str(folder / ADAPTER_FOLDER)}
        return {"model": str(folder / MODEL_FOLDER)}

    def _stages_of(self, number: int, config: JobConfig) -> list[Stage]:
        stages: list[Stage] = []
        if self._scores_anew(number):
            stages.append(TrainedScoreStage(training=self.places.job(number - 1).training("")))
        stages.append(SelectStage(config.selections[0], needs=tuple(each.name for each in stages)))
        if self.annotator == "teacher":
            assert self.config.teacher is not None  # noqa: S101 - checked with the file; for the type checker
            assert self.config.limits is not None  # noqa: S101 - likewise
            stages.append(TeacherStage(self.config.teacher, self.config.limits))
        stages.append(RoundLabelStage(number, self.places, self.annotator, needs=(stages[-1].name,)))
        if "train" in config:
            stages.append(TrainStage(ONE_SELECTION, needs=("labels",)))
        if "evaluate" in config:
            stages.append(EvaluateStage(ONE_SELECTION, needs=("train",)))
        return stages
