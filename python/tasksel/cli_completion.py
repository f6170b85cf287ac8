"""What the shell offers for the values of flags; nothing heavier than names is imported for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "complete_apis",
    "complete_backends",
    "complete_devices",
    "complete_dtypes",
    "complete_embed_from",
    "complete_engines",
    "complete_export_formats",
    "complete_metrics",
    "complete_models",
    "complete_pickers",
    "complete_roundings",
    "complete_sections",
    "complete_sentence_models",
    "complete_strategies",
    "complete_suites",
    "complete_task_means",
    "complete_trainers",
]

Offer = list[tuple[str, str]]
"""Values with what each means; the shells that show texts show them."""


def _begins(names: Iterable[str | tuple[str, str]], incomplete: str) -> Offer:
    pairs = ((each, "") if isinstance(each, str) else each for each in names)
    return [(name, text) for name, text in pairs if name.startswith(incomplete)]


def _offering(names: Callable[[], Iterable[str | tuple[str, str]]]) -> Callable[[str], Offer]:
    """Make the function that typer calls with what stands on the line so far."""

    def complete(incomplete: str) -> Offer:
        return _begins(names(), incomplete)

    return complete


def _strategies() -> Iterable[tuple[str, str]]:
    from tasksel.strategies import find_strategy, strategy_names

    return [(name, find_strategy(name).summary) for name in strategy_names()]


def _pickers() -> Iterable[tuple[str, str]]:
    from tasksel.strategies import find_picker, picker_names

    return [(name, find_picker(name).summary) for name in picker_names()]


def _metrics() -> Iterable[str]:
    from tasksel.score_files import METRIC_COLUMNS

    return METRIC_COLUMNS


def _task_means() -> Iterable[str]:
    from tasksel.strategies import TASK_MEANS

    return TASK_MEANS


def _roundings() -> Iterable[str]:
    from tasksel.strategies import ROUNDINGS

    return ROUNDINGS


def _engines() -> Iterable[str]:
    from tasksel.engines import ENGINES

    return ENGINES


def _backends() -> Iterable[str]:
    from tasksel.backends import BACKENDS

    return BACKENDS


def _dtypes() -> Iterable[str]:
    from tasksel.causal_model import DTYPES

    return DTYPES


def _trainers() -> Iterable[str]:
    from tasksel.training_settings import TRAINERS

    return TRAINERS


def _export_formats() -> Iterable[str]:
    from tasksel.trainer_formats import EXPORT_FORMATS

    return EXPORT_FORMATS


def _sections() -> Iterable[str]:
    from tasksel.job.pipeline import STAGE_SECTIONS

    return STAGE_SECTIONS


_CACHED_PREFIX: Final = "models--"
"""Of the folders in the hub's cache: ``models--OWNER--NAME``."""


def _models() -> Iterable[tuple[str, str]]:
    from tasksel.causal_model_folder import EMBEDDED_MODEL

    return [(EMBEDDED_MODEL, "the embedded model"), *_cached_models()]


def _sentence_models() -> Iterable[tuple[str, str]]:
    from tasksel.sentence_embedding_folder import MINILM

    return [(MINILM, "sentence embeddings of 384 numbers"), *_models()]


def _cached_models() -> list[tuple[str, str]]:
    """Name the models in the hub's cache; nobody is asked."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    try:
        folders = sorted(each.name for each in cache.iterdir() if each.name.startswith(_CACHED_PREFIX))
    except OSError:
        return []
    return [(name.removeprefix(_CACHED_PREFIX).replace("--", "/"), "in the hub's cache") for name in folders]


complete_strategies = _offering(_strategies)
complete_pickers = _offering(_pickers)
complete_metrics = _offering(_metrics)
complete_task_means = _offering(_task_means)
complete_roundings = _offering(_roundings)
complete_engines = _offering(_engines)
complete_apis = _offering(lambda: ("completions", "chat"))
complete_backends = _offering(_backends)
complete_devices = _offering(lambda: ("auto", "cpu", "cuda", "mps"))
complete_dtypes = _offering(_dtypes)
complete_embed_from = _offering(lambda: ("sentence", "hidden", "column:"))
complete_trainers = _offering(_trainers)
complete_export_formats = _offering(_export_formats)
complete_models = _offering(_models)
complete_sentence_models = _offering(_sentence_models)
complete_sections = _offering(_sections)


def complete_suites(incomplete: str) -> Offer:
    """Complete the last of several names with commas between them.

    Examples
    --------
    >>> complete_suites("exact,mm")
    [('exact,mmlu', '')]
    """
    from tasksel.evaluation import SUITES

    before, comma, last = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", text) for name, text in _begins(SUITES, last)]
