"""Label-efficient data selection for supervised finetuning of LLMs: decide which prompts to pay for.

`select` chooses the prompts, `score` asks a model for its confidence, `embed` makes vectors of prompts,
`read_status` says how far a run is, `train` finetunes the model on the labelled selection, `evaluate` says
what that bought, `coverage` how well synthetic prompts cover real ones, `read_pool` reads prompts in any of
the usual shapes, `export` writes a labelled selection for other trainers. Importing this module registers
the ``.tasksel`` namespace of Polars and imports no model library.
"""

from typing import TYPE_CHECKING, Any

from tasksel import polars_namespace as _polars_namespace  # noqa: F401 -- registers .tasksel on Polars objects
from tasksel.allocation import Allocation
from tasksel.data_coverage import Coverage, coverage
from tasksel.embedding_run import EmbedSummary, embed
from tasksel.evaluation import Evaluation, EvaluationSettings, evaluate
from tasksel.explanation import Explanation, explain
from tasksel.explanation_diff import SelectionDiff, diff
from tasksel.explanation_example import ExampleExplanation, explain_example
from tasksel.pool import Pool, load_pool, read_pool, scan_pool
from tasksel.run_status import read_status
from tasksel.scoring import ScoreSummary, score
from tasksel.selection import Selection, select
from tasksel.strategies import picker_names, strategy_names
from tasksel.trainer_formats import ExportSummary, export
from tasksel.training import TrainingSummary, train
from tasksel_core import __version__, errors

if TYPE_CHECKING:
    from tasksel.annotation import (
        AnnotationExport,
        LabelImport,
        Labels,
        export_annotation,
        import_labels,
        read_labels,
    )
    from tasksel.job import JobResult, run_job
    from tasksel.report import write_report
    from tasksel.rounds import RoundsResult, run_rounds
    from tasksel.study import StudyResult, read_study
    from tasksel.task_discovery import TaskDiscovery, assign_tasks, discover_tasks
    from tasksel.teacher import (
        TeacherEstimate,
        TeacherLimits,
        TeacherSettings,
        TeacherSummary,
        ask_teacher,
        estimate_teacher,
    )

__all__ = [
    "Allocation",
    "AnnotationExport",
    "Coverage",
    "EmbedSummary",
    "Evaluation",
    "EvaluationSettings",
    "ExampleExplanation",
    "Explanation",
    "ExportSummary",
    "JobResult",
    "LabelImport",
    "Labels",
    "Pool",
    "RoundsResult",
    "ScoreSummary",
    "Selection",
    "SelectionDiff",
    "StudyResult",
    "TaskDiscovery",
    "TeacherEstimate",
    "TeacherLimits",
    "TeacherSettings",
    "TeacherSummary",
    "TrainingSummary",
    "__version__",
    "ask_teacher",
    "assign_tasks",
    "coverage",
    "diff",
    "discover_tasks",
    "embed",
    "errors",
    "estimate_teacher",
    "evaluate",
    "explain",
    "explain_example",
    "export",
    "export_annotation",
    "import_labels",
    "load_pool",
    "picker_names",
    "read_labels",
    "read_pool",
    "read_status",
    "read_study",
    "run_job",
    "run_rounds",
    "scan_pool",
    "score",
    "select",
    "strategy_names",
    "train",
    "write_report",
]

_LAZY = {
    "AnnotationExport": "tasksel.annotation",
    "JobResult": "tasksel.job",
    "LabelImport": "tasksel.annotation",
    "Labels": "tasksel.annotation",
    "RoundsResult": "tasksel.rounds",
    "StudyResult": "tasksel.study.results",
    "TaskDiscovery": "tasksel.task_discovery",
    "assign_tasks": "tasksel.task_discovery",
    "discover_tasks": "tasksel.task_discovery",
    "TeacherEstimate": "tasksel.teacher",
    "TeacherLimits": "tasksel.teacher",
    "TeacherSettings": "tasksel.teacher",
    "TeacherSummary": "tasksel.teacher",
    "ask_teacher": "tasksel.teacher",
    "estimate_teacher": "tasksel.teacher",
    "export_annotation": "tasksel.annotation",
    "import_labels": "tasksel.annotation",
    "read_labels": "tasksel.annotation",
    "read_study": "tasksel.study.publication",
    "run_job": "tasksel.job",
    "run_rounds": "tasksel.rounds",
    "write_report": "tasksel.report",
}
"""What few programs ask for, and brings many modules with it: imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
