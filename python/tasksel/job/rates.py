"""How long a stage takes: measured on a few rows with this model on this machine, never guessed."""

from __future__ import annotations

import contextlib
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.causal_model_folder import EMBEDDED_MODEL, find_local_model
from tasksel.embedding_run import embed
from tasksel.embedding_run_models import HIDDEN, SENTENCE
from tasksel.engines import DEFAULT_ENGINE
from tasksel.job.keys import call_settings
from tasksel.job.sections import SECTIONS
from tasksel.pool import unanswered
from tasksel.scoring import score
from tasksel.sentence_embedding_folder import MINILM, find_sentence_model
from tasksel.training import train
from tasksel_core.errors import ConfigError, MissingExtraError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

__all__ = ["MEASURED", "MEASURED_ROWS", "measure_embedding", "measure_scoring", "measure_training"]

MEASURED_ROWS: Final = 32
"""Prompts that a measurement takes, from the shortest to the longest; a training takes three such steps."""
MEASURED: Final = "measured on a few rows with this model on this machine"
_MEASURED_STEPS: Final = 3
_MAX_COPIED_BYTES: Final = 1 << 30
"""A full finetuning writes the model; a larger one is not written for a measurement."""

Rate = tuple[float | None, str]
"""Seconds a row, and what that is from; None with the reason where it is not known."""


def measure_scoring(frame: pl.DataFrame, keys: Mapping[str, Any]) -> Rate:
    """Let the model answer a few prompts.

    Parameters
    ----------
    frame : DataFrame
        The prompts.
    keys : mapping
        Of ``[score]``, or those of ``[evaluate]`` that have the same names.
    """
    engine = keys.get("engine", DEFAULT_ENGINE)
    if engine != DEFAULT_ENGINE or keys.get("backend", "local") != "local":
        return None, f"not measured: a dry run asks no server and starts no cluster (engine {engine})"
    if not _is_here(keys["model"]):
        return None, "unknown: the model is not on this machine"
    settings = call_settings(SECTIONS["score"].keys, keys)
    sample = _sample(frame)

    def run(folder: str) -> float | None:
        summary = score(sample, out=folder, **settings)
        if not summary.tokens_per_s:
            return None
        return summary.tokens / summary.tokens_per_s / sample.height

    return _measured(run)


def measure_embedding(frame: pl.DataFrame, keys: Mapping[str, Any]) -> Rate:
    """Embed a few prompts; `keys` are those of ``[embed]``."""
    if keys.get("backend", "local") != "local":
        return None, "not measured: a dry run starts no cluster"
    source, model = keys.get("embed_from", SENTENCE), keys.get("model")
    if source not in (HIDDEN, SENTENCE):
        return None, "not measured: the vectors are there already"
    if not (_is_sentence_model_here(model) if source == SENTENCE else _is_here(model or EMBEDDED_MODEL)):
        return None, "unknown: the model is not on this machine"
    settings = call_settings(SECTIONS["embed"].keys, keys)
    sample = _sample(frame)

    def run(folder: str) -> float | None:
        rows_per_s = embed(sample, out=folder, **settings).rows_per_s
        return None if not rows_per_s else 1 / rows_per_s

    return _measured(run)


def measure_training(frame: pl.DataFrame, keys: Mapping[str, Any]) -> Rate:
    """Train for a few steps on rows that have a response; `keys` are those of ``[train]``.

    The first step sets up what the others use, and is not counted.
    """
    model = keys["model"]
    if not _is_here(model):
        return None, "unknown: the model is not on this machine"
    answered = frame.filter(~frame["id"].is_in(unanswered(frame)["id"].implode()))
    if answered.height < _MEASURED_STEPS:
        return None, "unknown: there are no answers to train on yet"
    if keys.get("full") and _size_bytes(model) > _MAX_COPIED_BYTES:
        return None, "not measured: full finetuning would write a copy of the model"
    settings = call_settings(SECTIONS["train"].keys, keys)
    wanted = min(settings.get("batch_size", MEASURED_ROWS), MEASURED_ROWS)
    batch = min(wanted, answered.height // _MEASURED_STEPS)
    sample = _sample(answered, batch * _MEASURED_STEPS)
    settings |= {"batch_size": batch, "epochs": 1, "merge": False, "checkpoint_every_s": 1e9}

    def run(folder: str) -> float | None:
        ended_s: list[float] = []
        train(sample, out=folder, progress=lambda *_: ended_s.append(time.perf_counter()), **settings)
        counted = ended_s[1:]  # it is called once before the first step
        return (counted[-1] - counted[0]) / (batch * (len(counted) - 1)) if len(counted) > 1 else None

    return _measured(run)


def _measured(run: Callable[[str], float | None]) -> Rate:
    """Run it in a folder that is removed afterwards; what cannot be run is not measured, with the reason."""
    try:
        with tempfile.TemporaryDirectory(prefix="tasksel-") as folder:
            seconds = run(folder)
    except MissingExtraError as error:
        return None, f"unknown: {error}"
    except (TaskselError, OSError) as error:
        return None, f"unknown: a trial failed ({error})"
    if seconds is None:
        return None, "unknown: the trial was too short to be measured"
    return seconds, MEASURED


def _is_here(model: str) -> bool:
    with contextlib.suppress(ConfigError):
        return model == EMBEDDED_MODEL or find_local_model(model) is not None
    return False


def _is_sentence_model_here(model: str | None) -> bool:
    if model not in (None, MINILM):
        return _is_here(str(model))
    with contextlib.suppress(ConfigError):
        return find_sentence_model().is_dir()
    return False


def _size_bytes(model: str) -> int:
    folder = find_local_model(model)
    return 0 if folder is None else sum(each.stat().st_size for each in folder.glob("*.safetensors"))


def _sample(frame: pl.DataFrame, n_rows: int = MEASURED_ROWS) -> pl.DataFrame:
    """Take rows evenly from the shortest prompt to the longest."""
    if frame.height <= n_rows:
        return frame
    order = np.argsort(frame["prompt"].str.len_bytes().to_numpy(), kind="stable")
    places = np.linspace(0, frame.height - 1, n_rows).round().astype(np.int64)
    return frame[np.sort(order[places])]
