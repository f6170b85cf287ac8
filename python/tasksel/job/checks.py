"""What can be known to be wrong with a job before its first stage runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasksel.evaluation import SUITES
from tasksel.evaluation_harness import HARNESS_PREFIX
from tasksel.job.keys import call_settings
from tasksel.job.pipeline import list_stages
from tasksel.job.prices import label_prices
from tasksel.job.sections import SECTIONS
from tasksel.job.stages import SelectStage
from tasksel.job.stages_evaluation import evaluation_arguments
from tasksel.job.stages_tasks import search_arguments
from tasksel.pool import unanswered
from tasksel.pool_urls import is_url
from tasksel.selection_inputs import CONFIDENCE_COLUMNS
from tasksel.task_discovery import DiscoverySettings
from tasksel.toml_file import check_choice
from tasksel.training_settings import TrainingSettings
from tasksel_core.errors import AnnotationError, ConfigError

if TYPE_CHECKING:
    from tasksel.job.config import JobConfig
    from tasksel.job.context import JobContext

__all__ = ["check_data", "check_job"]

_POOL_SUITES = ("exact", "loss")
_BUDGETS = ("budget", "budget_tokens", "budget_cost")


def check_job(config: JobConfig) -> None:
    """Check what needs no data: settings, and that each stage is given what it needs.

    Raises
    ------
    ConfigError, BudgetError
        The message names section and key.
    UnknownStrategyError
        There is no strategy or picker of a name.
    """
    for stage in list_stages(config):
        if isinstance(stage, SelectStage):
            _check_selection(config, stage)
    label_prices(config)
    for section in ("score", "train", "evaluate"):
        if section in config and "model" not in config[section]:
            raise ConfigError(
                f"[{section}] has no model; write model = at the top of the file, or in the section."
            )
    if is_url(config["labels"].get("path")):
        raise ConfigError("path of [labels] is a URL; a file on this machine is wanted.")
    if "tasks" in config:
        arguments = search_arguments(config["tasks"])
        arguments.pop("tagging", None)
        arguments.pop("embedding_model", None)
        DiscoverySettings(**arguments)
    if "train" in config:
        settings = call_settings(SECTIONS["train"].keys, config["train"])
        settings.pop("model")
        TrainingSettings(**settings)
    if "evaluate" in config:
        _check_evaluation(config)


def _check_selection(config: JobConfig, stage: SelectStage) -> None:
    keys = stage.selection.settings
    where = f"[[select]] {stage.selection.name}" if stage.selection.name else "[select]"
    given = [name for name in _BUDGETS if name in keys]
    if not given:
        raise ConfigError(f"{where} has no budget; how many prompts to select, as budget = 100, is wanted.")
    if len(given) > 1:
        raise ConfigError(f"{where} has {' and '.join(given)}; one budget is wanted.")
    if "budget" in keys and keys["budget"] < 1:
        raise ConfigError(f"budget of {where} is {keys['budget']}; at least 1 prompt is wanted.")
    if keys[given[0]] <= 0:
        raise ConfigError(f"{given[0]} of {where} is {keys[given[0]]:g}; a number above 0 is wanted.")
    makes_vectors = "embed" in config or "embed_from" in config["score"]
    if stage.needs_embeddings and not makes_vectors and "embeddings" not in keys:
        raise ConfigError(
            f"{where} needs embeddings: add a section [embed], or name some with embeddings = in {where}."
        )


def _check_evaluation(config: JobConfig) -> None:
    keys = config["evaluate"]
    suites = keys.get("suite", ["exact"])
    for suite in suites:
        if not suite.startswith(HARNESS_PREFIX):
            check_choice("suite of [evaluate]", suite, (*SUITES, f"{HARNESS_PREFIX}TASK"))
    needing = [suite for suite in suites if suite in _POOL_SUITES]
    if needing and "pool" not in keys:
        raise ConfigError(
            f"[evaluate] has no pool, which the suite {needing[0]} needs: held-out prompts with responses."
        )
    if ("judge_url" in keys) != ("judge_model" in keys):
        raise ConfigError("judge_url and judge_model of [evaluate] belong together; one of them is missing.")
    evaluation_arguments(keys)


def check_data(context: JobContext) -> None:
    """Check the pool and the held-out prompts against what is asked of them.

    Raises
    ------
    ConfigError
        There are no tasks, or no confidence, where a strategy goes by them.
    AnnotationError
        Held-out prompts have no responses.
    SchemaError
        A file cannot be read.
    """
    config, pool = context.config, context.given_pool
    for stage in list_stages(config):
        if not isinstance(stage, SelectStage):
            continue
        given = "score" in config or "scores" in stage.selection.settings
        if stage.needs_confidence and not given and not set(CONFIDENCE_COLUMNS) & set(pool.frame.columns):
            raise ConfigError(
                f"{stage.selection.strategy} needs the model's confidence, and {pool.name} carries none: add "
                "a section [score], or name scores = in [select]."
            )
        if stage.needs_tasks and "task" not in pool.frame.columns and "tasks" not in config:
            raise ConfigError(
                f"{stage.selection.strategy} needs tasks, and {pool.name} has no task column; it has "
                f"{', '.join(pool.frame.columns)}. Name one with task_column in [pool], or add a section "
                "[tasks], which finds some."
            )
    holdout = context.holdout
    if holdout is not None and unanswered(holdout.frame).height:
        raise AnnotationError(
            f"{holdout.name}, the held-out pool of [evaluate], has "
            f"{unanswered(holdout.frame).height:,} of {holdout.frame.height:,} rows without a response."
        )
