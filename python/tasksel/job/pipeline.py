"""The stages of a job in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasksel.job.sections import SECTIONS
from tasksel.job.stage import stage_name
from tasksel.job.stages import EmbedStage, ScoreStage, SelectStage
from tasksel.job.stages_evaluation import EvaluateStage
from tasksel.job.stages_report import ReportStage
from tasksel.job.stages_tasks import TasksStage
from tasksel.job.stages_training import LabelStage, TrainStage
from tasksel.toml_file import check_choice
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from tasksel.job.config import JobConfig
    from tasksel.job.stage import Stage

__all__ = ["STAGE_SECTIONS", "chosen_sections", "list_stages"]

STAGE_SECTIONS: Final = tuple(name for name in SECTIONS if name != "pool")
"""Sections that do something, in their order: what ``--only`` and ``--until`` take."""


def list_stages(config: JobConfig) -> list[Stage]:
    """Return every stage of a job, in an order in which each finds what it needs.

    Parameters
    ----------
    config : JobConfig
        Sections that it has not are not run.
    """
    before: list[Stage] = []
    if "embed" in config:
        before.append(EmbedStage())
    if "tasks" in config:
        vectors = "embed" in config and "embeddings" not in config["tasks"]
        before.append(TasksStage(needs=("embed",) if vectors else ()))
    if "score" in config:
        before.append(ScoreStage(needs=("tasks",) if "tasks" in config else ()))
    made = tuple(stage.name for stage in before)
    names = [each.name for each in config.selections]
    stages: list[Stage] = [*before, *(SelectStage(each, needs=made) for each in config.selections)]
    if "labels" in config or "train" in config:
        stages += [LabelStage(name, needs=(stage_name("select", name),)) for name in names]
    if "train" in config:
        stages += [TrainStage(name, needs=(stage_name("labels", name),)) for name in names]
    if "evaluate" in config:
        if config["evaluate"].get("base", True) or "train" not in config:
            stages.append(EvaluateStage(None))
        if "train" in config:
            stages += [EvaluateStage(name, needs=(stage_name("train", name),)) for name in names]
    if "report" in config:
        stages.append(ReportStage(tuple(stages), needs=tuple(stage_name("select", name) for name in names)))
    return stages


def chosen_sections(config: JobConfig, only: str | None, until: str | None) -> tuple[str, ...]:
    """Return the sections that are to run.

    Raises
    ------
    ConfigError
        `only` and `until` are both given, name no section, or one that the file has not.
    """
    for flag, value in (("only", only), ("until", until)):
        if value is not None:
            check_choice(f"--{flag}", value, STAGE_SECTIONS)
    if only is not None and until is not None:
        raise ConfigError("--only and --until exclude each other; leave one out.")
    named = only or until
    there = {stage.section for stage in list_stages(config)}
    if named is not None and named not in there:
        raise ConfigError(
            f"--{'only' if only else 'until'} names {named}, and the file has no section [{named}]."
        )
    if only is not None:
        return (only,)
    if until is not None:
        return STAGE_SECTIONS[: STAGE_SECTIONS.index(until) + 1]
    return STAGE_SECTIONS
