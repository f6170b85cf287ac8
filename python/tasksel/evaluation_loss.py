"""The cross-entropy of reference responses under a model: how likely it finds what it should answer.

A loss moves long before answers become right or wrong, so that it tells small models and small selections
apart. Its tokens are those of `tasksel.train`, the end token included, and they are encoded, cut and batched
by the same code: on the selection itself it is the loss that training had left to take away.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.causal_model import suitable_threads
from tasksel.evaluation_exact import ALL_TASKS
from tasksel.evaluation_parts import answer_in_parts
from tasksel.pool import unanswered
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import text_sha256
from tasksel.training_batches import collate, plan_device_batches
from tasksel.training_examples import encode_examples
from tasksel.training_loss import response_loss
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel
    from tasksel.evaluation_results import EvaluationSettings
    from tasksel.pool import Pool
    from tasksel.scoring import ScoreProgress
    from tasksel.training_examples import TrainingExample

__all__ = ["LOSS_METRICS", "measure_losses", "measure_losses_in_parts"]

LOSS_METRICS: Final = ("loss", "likelihood")
_PART_ROWS: Final = 1024
_CUT_PROMPTS: Final = "cut_prompts"
_CUT_RESPONSES: Final = "cut_responses"


def measure_losses(
    causal_model: CausalModel,
    pool: Pool,
    *,
    prompt_template: str | None = None,
    max_tokens: int = 2048,
    batch_tokens: int = 8192,
) -> pl.DataFrame:
    """Measure the cross-entropy of every response of a pool, given its prompt.

    Parameters
    ----------
    causal_model : CausalModel
        From `tasksel.causal_model.load_model`, with an adapter or without one.
    pool : Pool
        With ``response``; rows whose response is missing or blank are left out, as no training takes them.
    prompt_template : str, optional
        As for `tasksel.train`.
    max_tokens : int
        Longest example, end token included. Of longer ones the prompt is cut from the left, as in training.
    batch_tokens : int
        Padded tokens of one batch. The logits of its response tokens are in memory at once.

    Returns
    -------
    pl.DataFrame
        In pool order ``id``, ``task`` (String; "(all)" without one), ``response_tokens`` (Int64, end token
        included), ``loss`` (Float64: the mean over these tokens, in nats) and ``likelihood`` (Float64:
        exp(-loss), the geometric mean of the tokens' probabilities).

    Raises
    ------
    ConfigError
        The model has no end token, `max_tokens` leaves no room, or a loss is not finite.
    SchemaError
        The pool has no responses.
    """
    measured, _ = _measure_rows(
        causal_model,
        _answered_rows(pool),
        prompt_template=prompt_template,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
    )
    return measured


def measure_losses_in_parts(
    pool: Pool,
    load: Callable[[], CausalModel],
    *,
    folder: Path,
    model_sha256: str,
    settings: EvaluationSettings,
    progress: ScoreProgress | None = None,
) -> tuple[pl.DataFrame, list[str]]:
    """Do what `measure_losses` does, in parts that survive a kill, and say what was left out or cut.

    Parameters
    ----------
    pool : Pool
        As in `measure_losses`.
    load : callable
        Gives the model; called only where something is left to do.
    folder : Path
        Where the parts are kept; it must exist.
    model_sha256 : str
        Of the model with its adapter.
    settings : EvaluationSettings
        Its `prompt_template`, `max_tokens` and `batch_tokens`; the `dtype` tells runs apart.
    progress : ScoreProgress, optional
        Called after each part.

    Returns
    -------
    examples : pl.DataFrame
        As from `measure_losses`.
    notes : list of str
        What a person should know.

    Raises
    ------
    ConfigError, SchemaError
        As in `measure_losses`.
    ResumeError
        A part was made with another model, setting or pool.
    """
    rows = _answered_rows(pool)
    encoding: dict[str, Any] = {
        "prompt_template": settings.prompt_template,
        "max_tokens": settings.max_tokens,
    }
    depends_on = {
        "model": model_sha256,
        "dtype": settings.dtype,
        "rows": columns_sha256(rows, ["id", "task", "prompt", "response"]),
        **encoding,
    }
    load_once = functools.cache(load)
    examples, counts = answer_in_parts(
        rows,
        lambda part: _measure_rows(load_once(), part, **encoding, batch_tokens=settings.batch_tokens),
        folder=folder,
        run_sha256=text_sha256(json.dumps(depends_on, sort_keys=True)),
        part_rows=_PART_ROWS,
        progress=progress,
    )
    return examples, _notes(pool.frame.height, rows.height, counts, settings.max_tokens)


def _answered_rows(pool: Pool) -> pl.DataFrame:
    frame = pool.frame
    if "response" not in frame.columns:
        raise SchemaError(f"{pool.name} has no responses to measure; it has {', '.join(frame.columns)}.")
    answered = frame.join(unanswered(frame).select("id"), on="id", how="anti", maintain_order="left")
    if answered.is_empty():
        raise SchemaError(f"No prompt of {pool.name} has a response to measure.")
    task = pl.col("task") if "task" in frame.columns else pl.lit(ALL_TASKS)
    return answered.select("id", task.alias("task"), "prompt", "response")


def _measure_rows(
    causal_model: CausalModel,
    rows: pl.DataFrame,
    *,
    prompt_template: str | None,
    max_tokens: int,
    batch_tokens: int,
) -> tuple[pl.DataFrame, dict[str, int]]:
    encoded = encode_examples(
        causal_model,
        rows["prompt"].to_list(),
        rows["response"].to_list(),
        prompt_template=prompt_template,
        max_tokens=max_tokens,
    )
    with suitable_threads(causal_model):
        losses = _mean_losses(causal_model, encoded.examples, batch_tokens)
    _refuse_infinite(losses, rows["id"], causal_model.dtype)
    measured = rows.select("id", "task").with_columns(
        pl.Series("response_tokens", [each.response_tokens for each in encoded.examples], pl.Int64),
        pl.Series("loss", losses),
        pl.Series("likelihood", np.exp(-losses)),
    )
    return measured, {_CUT_PROMPTS: encoded.truncated_prompts, _CUT_RESPONSES: encoded.truncated_responses}


def _mean_losses(
    causal_model: CausalModel, examples: Sequence[TrainingExample], batch_tokens: int
) -> npt.NDArray[np.float64]:
    # Batches are made from the content alone, so that the order of the rows moves no digit.
    order = sorted(range(len(examples)), key=lambda row: examples[row].token_ids.tobytes())
    lengths = np.array([len(examples[row].token_ids) for row in order], dtype=np.int64)
    losses = np.empty(len(examples))
    for batch in plan_device_batches(lengths, device_batch_tokens=batch_tokens, row_tokens=None):
        rows = [order[position] for (position,) in batch]
        losses[rows] = _batch_losses(causal_model, [examples[row] for row in rows])
    return losses


def _batch_losses(causal_model: CausalModel, batch: list[TrainingExample]) -> list[float]:
    import torch

    tensors: dict[str, Any] = collate([[example] for example in batch], pad_id=causal_model.pad_id)
    with torch.inference_mode():
        moved = {name: tensor.to(causal_model.device) for name, tensor in tensors.items()}
        by_token = response_loss(causal_model.model, moved, reduction="none").cpu().double()
    by_example = by_token.split([example.response_tokens for example in batch])
    return [float(losses.mean()) for losses in by_example]


def _refuse_infinite(losses: npt.NDArray[np.float64], ids: pl.Series, dtype: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(losses))
    if len(wrong):
        raise ConfigError(
            f"The model gives {len(wrong)} of {len(losses)} responses no finite loss, the first is that of "
            f"{ids[int(wrong[0])]!r}: it overflows in {dtype}, or its weights are broken."
        )


def _notes(pool_rows: int, rows: int, counts: Counter[str], max_tokens: int) -> list[str]:
    notes = []
    if rows < pool_rows:
        notes.append(f"{pool_rows - rows:,} of {pool_rows:,} prompts have no response and are left out.")
    if counts[_CUT_PROMPTS]:
        notes.append(
            f"{counts[_CUT_PROMPTS]:,} of {rows:,} prompts were cut from the left to fit into max_tokens "
            f"({max_tokens:,}) or the model's context."
        )
    if counts[_CUT_RESPONSES]:
        notes.append(
            f"{counts[_CUT_RESPONSES]:,} of {rows:,} responses were cut at their end, and only what is left "
            "of them was measured."
        )
    return notes
