"""Label-efficient data selection for supervised finetuning of LLMs: decide which prompts to pay for.

`select` chooses the prompts, `score` asks a model for its confidence, `embed` makes vectors of prompts,
`read_status` says how far a run is, `train` finetunes the model on the labelled selection, `evaluate` says
what that bought, `coverage` how well synthetic prompts cover real ones, `read_pool` reads prompts in any of
the usual shapes, `export` writes a labelled selection for other trainers. Importing this module registers
the ``.tasksel`` namespace of Polars and imports no model library.
"""

from tasksel import polars_namespace as _polars_namespace  # noqa: F401 -- registers .tasksel on Polars objects
from tasksel.data_coverage import Coverage, coverage
from tasksel.embedding_run import EmbedSummary, embed
from tasksel.evaluation import Evaluation, EvaluationSettings, evaluate
from tasksel.pool import Pool, load_pool, read_pool, scan_pool
from tasksel.run_status import read_status
from tasksel.scoring import ScoreSummary, score
from tasksel.selection import Selection, select
from tasksel.strategies import picker_names, strategy_names
from tasksel.trainer_formats import ExportSummary, export
from tasksel.training import TrainingSummary, train
from tasksel_core import __version__, errors

__all__ = [
    "Coverage",
    "EmbedSummary",
    "Evaluation",
    "EvaluationSettings",
    "ExportSummary",
    "Pool",
    "ScoreSummary",
    "Selection",
    "TrainingSummary",
    "__version__",
    "coverage",
    "embed",
    "errors",
    "evaluate",
    "export",
    "load_pool",
    "picker_names",
    "read_pool",
    "read_status",
    "scan_pool",
    "score",
    "select",
    "strategy_names",
    "train",
]
