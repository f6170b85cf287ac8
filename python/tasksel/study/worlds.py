"""Worlds: a pool and a holdout that follow from a seed, beside the base model that they are made for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.causal_model_folder import EMBEDDED_MODEL, find_model_folder, model_sha256
from tasksel.file_places import expanded_home
from tasksel.pool import load_pool
from tasksel.toy_world import (
    make_long_answer_holdout,
    make_long_answer_pool,
    make_toy_holdout,
    make_toy_pool,
)
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasksel.study.config import WorldConfig

__all__ = ["SOURCE_ROW", "World", "open_world"]

SOURCE_ROW: Final = "source_row"
"""Of a pool that was drawn from a file: which row of it."""

_FILE_SIZES: Final = {"largest": 94, "smallest": 3}
"""Pool sizes of a world made from a file, unless it states its own."""


@dataclass(frozen=True)
class World:
    """A world that can be drawn from.

    Parameters
    ----------
    config : WorldConfig
        What it was opened with.
    model : str
        The base model as `tasksel.score` takes it.
    draw_pool : callable
        ``(seed, sizes) -> DataFrame`` with ``id``, ``task``, ``prompt``, ``response``; `sizes` replace those
        of the world, as ``largest``, ``smallest`` and ``exponent``.
    draw_holdout : callable
        ``seed -> DataFrame``, equally many prompts a task, none of which is in a pool of any seed of a
        procedural world, or of the same seed of a file.
    embeddings : Path, optional
        Vectors of the rows of a file.
    """

    config: WorldConfig
    model: str
    draw_pool: Callable[[int, dict[str, Any]], pl.DataFrame]
    draw_holdout: Callable[[int], pl.DataFrame]
    embeddings: Path | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.config.name

    @cached_property
    def model_sha256(self) -> str:
        """Hash of the base model's files; see `tasksel.causal_model_folder.model_sha256`."""
        return model_sha256(find_model_folder(self.model))

    def make_pool(self, seed: int) -> pl.DataFrame:
        """Draw the pool of a seed."""
        return self.draw_pool(seed, _stated_sizes(self.config))

    def make_dose_pool(self, seed: int, per_task: int) -> pl.DataFrame:
        """Draw a pool in which every task has `per_task` prompts, or all that it has."""
        sizes = {"largest": per_task, "smallest": per_task, "exponent": 0.0}
        return self.draw_pool(seed, sizes)

    def make_holdout(self, seed: int) -> pl.DataFrame:
        """Draw the holdout of a seed."""
        return self.draw_holdout(seed)


def open_world(config: WorldConfig, folder: Path) -> World:
    """Find the files of a world and make it ready to be drawn from.

    Parameters
    ----------
    config : WorldConfig
        From the study's file.
    folder : Path
        What its paths are relative to.

    Raises
    ------
    ConfigError
        The model or the file is not there, or a setting does not fit.
    SchemaError
        The file has no tasks or no responses.
    """
    model = _find_model(config, folder)
    if config.kind == "file":
        return _open_file(config, folder, model)
    if config.kind == "long-answers":
        draw_pool, draw_holdout = make_long_answer_pool, make_long_answer_holdout
    else:
        draw_pool, draw_holdout = make_toy_pool, make_toy_holdout
    n_tasks: dict[str, Any] = {} if config.n_tasks is None else {"n_tasks": config.n_tasks}

    def make_pool(seed: int, sizes: dict[str, Any]) -> pl.DataFrame:
        return draw_pool(seed, **n_tasks, **sizes)

    def make_holdout(seed: int) -> pl.DataFrame:
        holdout = draw_holdout(seed, n_per_task=config.holdout_per_task)
        if not n_tasks:
            return holdout
        return holdout.filter(pl.col("task").is_in(make_pool(seed, {})["task"].unique().implode()))

    return World(config, model, make_pool, make_holdout)


def _find_model(config: WorldConfig, folder: Path) -> str:
    """Resolve a folder against the study's file; what is no folder is a name on the hub."""
    if config.model == EMBEDDED_MODEL:
        return config.model
    beside = folder / expanded_home(config.model)
    if beside.is_dir():
        return str(beside)
    if config.model.startswith((".", "/", "~", "models/")) or config.model.count("/") != 1:
        made = " studies/README.md says how to make it." if config.model.startswith("models/") else ""
        raise ConfigError(f"World {config.name!r}: there is no model in {beside}.{made}")
    return config.model


def _stated_sizes(config: WorldConfig) -> dict[str, Any]:
    sizes = {"largest": config.largest, "smallest": config.smallest, "exponent": config.exponent}
    return {name: size for name, size in sizes.items() if size is not None}


def _open_file(config: WorldConfig, folder: Path, model: str) -> World:
    path = folder / expanded_home(config.path or "")
    frame = _read_labelled(config, path)
    n_tasks = frame["task"].n_unique()
    if config.n_tasks is not None and not 1 <= config.n_tasks <= n_tasks:
        raise ConfigError(
            f"World {config.name!r}: n_tasks is {config.n_tasks}; {path.name} has {n_tasks} tasks."
        )
    embeddings = None if config.embeddings is None else folder / expanded_home(config.embeddings)
    if embeddings is not None and not embeddings.is_file():
        raise ConfigError(f"World {config.name!r}: there are no embeddings in {embeddings}.")

    def make_pool(seed: int, sizes: dict[str, Any]) -> pl.DataFrame:
        return _draw_rows(frame, config, seed, {**_FILE_SIZES, **sizes})[0]

    def make_holdout(seed: int) -> pl.DataFrame:
        return _draw_rows(frame, config, seed, dict(_FILE_SIZES))[1]

    return World(config, model, make_pool, make_holdout, embeddings)


def _read_labelled(config: WorldConfig, path: Path) -> pl.DataFrame:
    frame = load_pool(path).frame
    missing = [name for name in ("task", "response") if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"World {config.name!r}: {path.name} has no column {missing[0]}, which a study needs."
        )
    frame = frame.select("id", "task", "prompt", "response").with_row_index(SOURCE_ROW)
    frame = frame.filter(pl.col("response").is_not_null()).unique("prompt", keep="first", maintain_order=True)
    counts = frame.group_by("task").len()
    least = config.holdout_per_task + 1
    small = counts.filter(pl.col("len") < least)["task"].sort()
    if len(small):
        raise SchemaError(
            f"World {config.name!r}: task {small[0]!r} has fewer than {least} different answered prompts, "
            f"which a holdout of {config.holdout_per_task} and a pool need; leave it out of {path.name}, or "
            "lower holdout_per_task."
        )
    return frame


def _size_of_rank(
    rank: int, n_tasks: int, *, largest: int, smallest: int, exponent: float | None = None
) -> int:
    """Return how many prompts the task of a rank has: by a power of the rank, or falling by equal factors."""
    if exponent is None:
        steps = (rank - 1) / max(n_tasks - 1, 1)
        return round(float(largest * (smallest / largest) ** steps))
    return max(smallest, round(float(largest / rank**exponent)))


def _draw_rows(
    frame: pl.DataFrame, config: WorldConfig, seed: int, sizes: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Deal each task's rows, in an order of the seed, to the holdout and then to the pool."""
    rng = np.random.default_rng([seed, 0])
    names = frame["task"].unique().sort().to_list()
    ranked = [names[place] for place in rng.permutation(len(names))[: config.n_tasks]]
    groups = frame.with_row_index("row").group_by("task").agg("row")
    rows_of = dict(zip(groups["task"], groups["row"].to_list(), strict=True))
    pool: list[int] = []
    holdout: list[int] = []
    for rank, task in enumerate(ranked, start=1):
        # A stream a task, so that the holdout does not depend on the sizes.
        order = np.random.default_rng([seed, 1, names.index(task)]).permutation(sorted(rows_of[task]))
        size = _size_of_rank(rank, len(ranked), **sizes)
        holdout.extend(order[: config.holdout_per_task].tolist())
        pool.extend(order[config.holdout_per_task :][:size].tolist())
    return frame[rng.permutation(pool)], frame[sorted(holdout)]
