"""Tasks of lm-evaluation-harness, run offline through its Python interface."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.causal_model import find_adapter_folder, find_model_folder
from tasksel.causal_model_trust import refuse_foreign_files
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HARNESS_PREFIX", "run_harness_task"]

HARNESS_PREFIX: Final = "lm-eval:"


def run_harness_task(
    task: str,
    *,
    model: str,
    adapter: str | None = None,
    include_path: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> pl.DataFrame:
    """Run a task or group of lm-evaluation-harness and return its figures.

    Parameters
    ----------
    task : str
        Name of a task or group, its own or of a file in `include_path`.
    model, adapter : str
        As in `tasksel.score`.
    include_path : Path, optional
        Folder with task files (YAML); with local data files nothing needs the network.
    device, dtype : str
        As in `tasksel.score`; ``auto`` is float32 on the CPU, and else what the model was saved in.

    Returns
    -------
    pl.DataFrame
        ``task``, ``metric``, ``filter``, ``value`` and ``standard_error`` (null where it has none).

    Raises
    ------
    MissingExtraError
        lm-eval is not installed.
    ConfigError
        There is no such task.
    """
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The suite {HARNESS_PREFIX}{task}", "eval") from error
    manager = TaskManager(include_path=None if include_path is None else str(include_path))
    if task not in manager.all_tasks:
        raise ConfigError(
            f"lm-evaluation-harness knows no task {task!r}; name a folder of task files for it."
        )
    folder = find_model_folder(model)
    refuse_foreign_files(model, folder)
    arguments: dict[str, Any] = {"pretrained": str(folder), "trust_remote_code": False}
    chosen = _find_device(device)
    arguments["dtype"] = "float32" if dtype == "auto" and chosen == "cpu" else dtype
    if adapter is not None:
        arguments["peft"] = str(find_adapter_folder(adapter))
    found = lm_eval.simple_evaluate(
        model="hf", model_args=arguments, tasks=[task], task_manager=manager, device=chosen, bootstrap_iters=0
    )
    return _to_frame(found["results"])


def _find_device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _to_frame(results: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """Take apart keys such as ``acc,none`` and ``acc_stderr,none``."""
    rows = []
    for task, figures in results.items():
        for key, value in figures.items():
            metric, comma, chosen_filter = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, (int, float)):
                continue
            error = figures.get(f"{metric}_stderr,{chosen_filter}")
            known = float(error) if isinstance(error, (int, float)) and math.isfinite(error) else None
            rows.append((task, metric, chosen_filter, float(value), known))
    schema = {"task": pl.String, "metric": pl.String, "filter": pl.String}
    return pl.DataFrame(
        rows, schema=schema | {"value": pl.Float64, "standard_error": pl.Float64}, orient="row"
    )
