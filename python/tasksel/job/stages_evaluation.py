"""The stages that say what the labels bought: the base model, and each trained one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasksel.endpoint import DEFAULT_KEY_VARIABLE, Endpoint
from tasksel.evaluation import BENCHMARK_FILES, REPORT_NAME, EvaluationSettings, evaluate
from tasksel.evaluation_results import REPORT_SHAPE
from tasksel.job.keys import call_settings
from tasksel.job.ledger import manifest_sha256
from tasksel.job.sections import SECTIONS
from tasksel.job.sources import source_sha256
from tasksel.job.stage import Outcome, Stage, section_record, stage_name
from tasksel.judge import JudgeSettings
from tasksel.run_folder import MANIFEST_NAME, file_sha256, read_json, read_versioned
from tasksel.training_output import ADAPTER_FOLDER, MODEL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.evaluation import Evaluation
    from tasksel.job.context import JobContext
    from tasksel.job.ledger import StageRecord

__all__ = ["BASE_EVALUATION", "EvaluateStage", "evaluation_arguments"]

BASE_EVALUATION = "evaluate_base"
"""Name of the stage that evaluates the base model."""


@dataclass(frozen=True)
class EvaluateStage(Stage):
    """A model on the suites of ``[evaluate]``.

    Parameters
    ----------
    selection : str or None
        Whose training is evaluated; None is the base model.
    needs : tuple of str
        The training.
    """

    selection: str | None
    needs: tuple[str, ...] = ()
    section: ClassVar[str] = "evaluate"

    @property
    def name(self) -> str:
        """Return ``evaluate_base``, or ``evaluate`` with the selection's name where there are several."""
        return BASE_EVALUATION if self.selection is None else stage_name("evaluate", self.selection)

    def folder(self, context: JobContext) -> Path:
        """Return the folder of the evaluation."""
        if self.selection is None:
            return context.places.base_evaluation
        return context.places.evaluation(self.selection)

    def describe(self, context: JobContext) -> StageRecord:
        """Say which model answers which questions."""
        keys = dict(context.config["evaluate"])
        if self.selection is None:
            inputs = {"model": context.model_sha256(keys["model"])}
        else:
            inputs = {"training": str(manifest_sha256(context.places.training(self.selection)))}
        if context.holdout is not None:
            inputs["held-out pool"] = context.holdout.sha256
        for path in _read_files(keys):
            inputs[path.name] = str(source_sha256(path))
        for name in ("base", "pool", "benchmarks", "verdicts"):  # what the files hold stands in the inputs
            keys.pop(name, None)
        return section_record(context, "evaluate", keys, inputs)

    def run(self, context: JobContext) -> Outcome:
        """Evaluate, or go on with it."""
        arguments = evaluation_arguments(context.config["evaluate"])
        if self.selection is not None:
            arguments |= self._trained(context)
        label = "Base model" if self.selection is None else "Trained model"
        found = evaluate(
            context.holdout,
            out=self.folder(context),
            progress=context.begin(f"{label}, {self.selection}" if self.selection else label, "prompts"),
            **arguments,
        )
        return Outcome(_figures(found), tuple(note for suite in found.suites for note in suite.notes))

    def _trained(self, context: JobContext) -> dict[str, str]:
        """Name the model that was trained whole, or the adapter."""
        folder = context.places.training(self.selection or "")
        if not (folder / ADAPTER_FOLDER).is_dir():
            return {"model": str(folder / MODEL_FOLDER)}
        return {"adapter": str(folder / ADAPTER_FOLDER)}

    def recall(self, context: JobContext) -> Outcome | None:
        """Read the figures, if they are as they were written."""
        folder = self.folder(context)
        report = folder / REPORT_NAME
        manifest = read_versioned(folder / MANIFEST_NAME)
        if not report.is_file() or file_sha256(report) != manifest.get("report_sha256"):
            return None
        suites = read_json(report, REPORT_SHAPE)["suites"]
        notes = tuple(note for suite in suites for note in suite["notes"])
        return Outcome({suite["suite"]: suite["figures"] for suite in suites}, notes, is_reused=True)


def evaluation_arguments(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of ``[evaluate]`` as `tasksel.evaluate` takes them."""
    given = call_settings(SECTIONS["evaluate"].keys, keys)
    for name in ("base", "pool", "task_column", "id_column"):  # the pool is loaded already
        given.pop(name, None)
    judge = {name: given.pop(name) for name in tuple(given) if name.startswith("judge_")}
    in_settings = {each.name for each in fields(EvaluationSettings)}
    settings = {name: given.pop(name) for name in tuple(given) if name in in_settings}
    return {**given, **_judge_arguments(judge), "settings": EvaluationSettings(**settings)}


def _judge_arguments(judge: Mapping[str, Any]) -> dict[str, Any]:
    if "judge_url" not in judge:
        return {}
    key_variable = judge.get("judge_key_env", DEFAULT_KEY_VARIABLE)
    return {
        "endpoint": Endpoint(judge["judge_url"], key_variable=key_variable),
        "judge": JudgeSettings(
            judge["judge_model"],
            logprobs=judge.get("judge_logprobs", True),
            concurrency=judge.get("judge_concurrency", 4),
        ),
    }


def _read_files(keys: Mapping[str, Any]) -> list[Path]:
    """Name the files whose content decides the figures, beside pool and model."""
    found = [Path(keys["verdicts"])] if "verdicts" in keys else []
    if "benchmarks" in keys:
        suites = keys.get("suite", [])
        found += [
            Path(keys["benchmarks"]) / name for suite in suites for name in BENCHMARK_FILES.get(suite, ())
        ]
    return found


def _figures(found: Evaluation) -> dict[str, Any]:
    return {suite.name: suite.figures for suite in found.suites}
