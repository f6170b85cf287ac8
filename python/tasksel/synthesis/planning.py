"""A plan: what a synthetic set is to hold, as one row an example, in a run folder."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    make_folder,
    read_versioned,
    text_sha256,
    write_json,
)
from tasksel.run_folder_frames import write_frame
from tasksel.synthesis.config import SynthesisConfig
from tasksel.synthesis.config_file import CONFIG_NAME, EXAMPLES_NAME, PLAN_FOLDER, config_content, read_config
from tasksel.synthesis.config_values import stratum_name
from tasksel.synthesis.controlled_rounding import largest_remainder
from tasksel.synthesis.held_counts import count_held
from tasksel.synthesis.plan_examples import DimensionPlan, cut_tiers, deal_examples, plan_dimension
from tasksel.synthesis.plan_findings import advise, find_uneven_tiers
from tasksel.synthesis.records import GENERATION_FOLDER
from tasksel.synthesis.shortfall import EDGE, read_shortfall
from tasksel.synthesis.targets import StratumCounts, count_missing, count_strata
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tasksel.pool import PoolSource
    from tasksel.synthesis.config import EdgeConfig
    from tasksel.synthesis.held_counts import HeldCounts
    from tasksel.synthesis.shortfall import ShortfallSource

__all__ = ["CELLS_NAME", "EXAMPLES_NAME", "MARGINS_NAME", "SynthesisPlan", "plan"]

CELLS_NAME: Final = "cells.parquet"
MARGINS_NAME: Final = "margins.parquet"


@dataclasses.dataclass(frozen=True, eq=False)
class SynthesisPlan:
    """What is to be written.

    Attributes
    ----------
    config : SynthesisConfig
        What it was made from.
    cells : DataFrame
        A row a stratum: ``stratum``, the levels, ``target`` (Float64), ``held``, ``planned``, and ``tier_N``
        (Int64) for each tier.
    examples : DataFrame
        A row an example, in the order in which they are written: ``plan_id``, ``tier``, ``stratum``, the
        levels, the dimensions, ``edge`` (null for an ordinary one).
    margins : DataFrame
        A row a value of a level, a dimension or the edge cases: ``dimension``, ``value``, ``asked``
        (Float64), ``held``, ``planned``, ``tier_N``.
    tiers : tuple of int
        Sizes of the prefixes, rising.
    findings : tuple of str
        What a person should know.
    manifest : dict
        Inputs, settings and figures, as ``manifest.json`` has them.
    """

    config: SynthesisConfig
    cells: pl.DataFrame
    examples: pl.DataFrame
    margins: pl.DataFrame
    tiers: tuple[int, ...]
    findings: tuple[str, ...]
    manifest: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account: the manifest, and a dict a stratum and a margin."""
        return {
            **self.manifest,
            "findings": list(self.findings),
            "cells": self.cells.to_dicts(),
            "margins": self.margins.to_dicts(),
        }

    def write(self, out: str | os.PathLike[str]) -> Path:
        """Write the plan into a run folder, the manifest last.

        Parameters
        ----------
        out : path
            The run folder; what stands in its ``plan`` is replaced.

        Returns
        -------
        Path
            Its folder ``plan``.

        Raises
        ------
        ResumeError
            The folder is in use, or holds what was written by another plan.
        OSError
            The folder cannot be written to.
        """
        run = Path(out)
        with folder_lock(run):
            folder = run / PLAN_FOLDER
            self._refuse_orphans(run, folder)
            make_folder(folder)
            (folder / MANIFEST_NAME).unlink(missing_ok=True)
            write_json(folder / CONFIG_NAME, config_content(self.config))
            frames = {CELLS_NAME: self.cells, MARGINS_NAME: self.margins, EXAMPLES_NAME: self.examples}
            for name, frame in frames.items():
                write_frame(folder / name, frame)
            files = {name: file_sha256(folder / name) for name in (CONFIG_NAME, *frames)}
            write_json(folder / MANIFEST_NAME, {**self.manifest, "files": files})
        return folder

    def _refuse_orphans(self, run: Path, folder: Path) -> None:
        """Refuse to take the plan away from replies that were paid for."""
        generation = run / GENERATION_FOLDER
        if not generation.is_dir() or not any(generation.iterdir()):
            return
        path = folder / MANIFEST_NAME
        stored = read_versioned(path) if path.exists() else {}
        if stored.get("plan_sha256") != self.manifest["plan_sha256"]:
            raise ResumeError(
                f"{run} holds replies to another plan, which would be lost to a new one; choose another "
                "folder with --out."
            )


def plan(
    config: SynthesisConfig | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    pool: PoolSource | None = None,
    selection: PoolSource | None = None,
    shortfall: ShortfallSource | None = None,
) -> SynthesisPlan:
    """Plan a synthetic set: whole numbers a stratum, exact counts a dimension, nested tiers.

    Parameters
    ----------
    config : path or SynthesisConfig
        The TOML file, or what `tasksel.synthesis.config_file.read_config` made of it.
    out : path, optional
        Run folder to write to; without one the plan is only returned.
    pool, selection : path, DataFrame, LazyFrame or Pool, optional
        What ``deficit`` subtracts (the selection, where both are given) and what ``sqrt`` and
        ``proportional`` follow (the pool). Rows name their stratum in a column for each level, or in
        ``task``.
    shortfall : path or DataFrame, optional
        Columns ``dimension``, ``value``, ``missing``: plans only that, instead of the targets.

    Returns
    -------
    SynthesisPlan

    Raises
    ------
    ConfigError
        The configuration is wrong, or its margins contradict each other.
    SchemaError
        The pool, selection or shortfall cannot be read, or has no columns that fit.
    ResumeError
        `out` holds what was written by another plan.

    Examples
    --------
    >>> from tasksel.synthesis.config_file import parse_config
    >>> strata = {"allocate": "equal", "levels": {"product": ["phone", "laptop"], "rating": [1, 5]}}
    >>> config = parse_config({"total": 12, "strata": strata}, name="reviews", folder=Path())
    >>> plan(config).cells.select("stratum", "planned").rows()
    [('phone/1', 3), ('phone/5', 3), ('laptop/1', 3), ('laptop/5', 3)]
    """
    settings = _read(config)
    missing = None if shortfall is None else read_shortfall(shortfall, settings)
    held: dict[str, HeldCounts] = {}
    noun, source = _followed(settings.strata.allocate, pool, selection)
    if source is not None and missing is None:
        held[noun] = count_held(source, settings.strata, noun=noun)
    try:
        counted = held.get(noun)
        strata = count_strata(settings, counted) if missing is None else count_missing(settings, missing)
    except ConfigError as error:
        raise ConfigError(f"{settings.name}: {error}") from error
    unused = [
        f"The {each} is not used: "
        + (f"allocate = {settings.strata.allocate!r}." if missing is None else "the shortfall says it all.")
        for each, given in (("pool", pool), ("selection", selection))
        if given is not None and each not in held
    ]
    strata = dataclasses.replace(strata, findings=(*unused, *strata.findings))
    made = _make_plan(settings, strata, held, missing)
    if out is not None:
        made.write(out)
    return made


def _read(config: object) -> SynthesisConfig:
    if isinstance(config, SynthesisConfig):
        return config
    if isinstance(config, (str, os.PathLike)):
        return read_config(config)
    raise ConfigError(f"config is {type(config).__name__}; a path or a SynthesisConfig is wanted.")


def _followed(
    allocate: str, pool: PoolSource | None, selection: PoolSource | None
) -> tuple[str, PoolSource | None]:
    """Return what an allocation counts: what was selected for a deficit, what is there for a proportion."""
    if allocate in ("sqrt", "proportional"):
        return ("selection", selection) if pool is None else ("pool", pool)
    if allocate == "deficit":
        return ("pool", pool) if selection is None else ("selection", selection)
    return "pool", None


def _make_plan(
    config: SynthesisConfig,
    strata: StratumCounts,
    held: Mapping[str, HeldCounts],
    missing: Mapping[str, Mapping[str, int]] | None,
) -> SynthesisPlan:
    total = int(strata.planned.sum())
    sizes = [*(tier for tier in config.tiers if tier < total), total]
    tiers = cut_tiers(strata.planned, sizes)
    dimensions = _plan_dimensions(config, tiers, missing)
    examples = deal_examples(config.strata, tiers, dimensions, seed=config.seed)
    if config.edge is None:
        examples = examples.with_columns(edge=pl.lit(None, pl.String))
    own = [each for each in dimensions if each.name != EDGE]
    n_edge = examples[EDGE].len() - examples[EDGE].null_count()
    findings = [
        *_outside_findings(held),
        *strata.findings,
        *find_uneven_tiers(config, tiers, dimensions),
        *([] if missing is not None else advise(config, strata.planned, own, n_edge)),
    ]
    content = config_content(config)
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": config.name,
        "config_sha256": text_sha256(json.dumps(content, sort_keys=True)),
        "plan_sha256": _frame_sha256(examples),
        **{noun: each.source for noun, each in held.items()},
        "shortfall": None if missing is None else {key: dict(values) for key, values in missing.items()},
        "settings": {"allocate": config.strata.allocate, "seed": config.seed, "total": config.total},
        "figures": {
            "planned": total,
            "strata": int(strata.planned.size),
            "strata_planned": int((strata.planned > 0).sum()),
            "held": int(strata.held.sum()),
            "edge": n_edge,
            "tiers": sizes,
        },
        "findings": findings,
    }
    return SynthesisPlan(
        config,
        _cells_frame(config, strata, tiers),
        examples,
        _margins_frame(config, strata, tiers, dimensions, missing),
        tuple(sizes),
        tuple(findings),
        manifest,
    )


def _plan_dimensions(
    config: SynthesisConfig,
    tiers: Sequence[NDArray[np.int64]],
    missing: Mapping[str, Mapping[str, int]] | None,
) -> list[DimensionPlan]:
    total = int(tiers[-1].sum())
    planned = []
    for each in config.dimensions:
        lacking = (missing or {}).get(each.name, {})
        counts = np.array([lacking.get(value, 0) for value in each.values], dtype=np.int64)
        counts += largest_remainder(list(each.values.values()), total - int(counts.sum()))
        planned.append(plan_dimension(each.name, each.shares, tiers, counts=counts, seed=config.seed))
    if config.edge is not None:
        weights, counts = _edge_counts(config.edge, total, missing)
        planned.append(plan_dimension(EDGE, weights, tiers, counts=counts, seed=config.seed))
    return planned


def _edge_counts(
    edge: EdgeConfig, total: int, missing: Mapping[str, Mapping[str, int]] | None
) -> tuple[dict[str | None, float], NDArray[np.int64]]:
    """Return the categories, None for ordinary examples first, and how many examples each gets."""
    weights = edge.weights
    if missing is not None:
        counts = np.array([missing.get(EDGE, {}).get(name, 0) for name in weights], dtype=np.int64)
    elif edge.share == 0:
        counts = np.zeros(len(weights), dtype=np.int64)
    else:
        # Half up: Python's own rounding would give a share of 0.1 of 5 no edge case, and of 15 two.
        counts = largest_remainder(list(weights.values()), int(edge.share * total + 0.5))
    named: dict[str | None, float] = {None: 1.0}
    named.update(weights)
    return named, np.array([total - counts.sum(), *counts], dtype=np.int64)


def _cells_frame(
    config: SynthesisConfig, strata: StratumCounts, tiers: Sequence[NDArray[np.int64]]
) -> pl.DataFrame:
    combinations = list(config.strata.combinations())
    columns: dict[str, Any] = {"stratum": [stratum_name(values) for values in combinations]}
    for axis, level in enumerate(config.strata.levels):
        columns[level] = [values[axis] for values in combinations]
    columns |= {name: getattr(strata, name).ravel() for name in ("target", "held", "planned")}
    columns |= {f"tier_{int(tier.sum())}": tier.ravel() for tier in tiers}
    return pl.DataFrame(columns)


def _margins_frame(
    config: SynthesisConfig,
    strata: StratumCounts,
    tiers: Sequence[NDArray[np.int64]],
    dimensions: Sequence[DimensionPlan],
    missing: Mapping[str, Mapping[str, int]] | None,
) -> pl.DataFrame:
    parts = []
    for axis, (level, values) in enumerate(config.strata.levels.items()):
        others = tuple(other for other in range(strata.planned.ndim) if other != axis)
        asked, held = strata.target.sum(axis=others), strata.held.sum(axis=others)
        parts.append(_margin(level, values, asked, held, [tier.sum(axis=others) for tier in tiers]))
    total = int(strata.planned.sum())
    for each in dimensions:
        asked = each.counts.astype(np.float64) if missing is not None else _asked(config, each.name, total)
        held = np.zeros(len(asked), dtype=np.int64)
        parts.append(_margin(each.name, each.values, asked, held, [tier.sum(axis=0) for tier in each.tiers]))
    return pl.concat(parts)


def _asked(config: SynthesisConfig, name: str, total: int) -> NDArray[np.float64]:
    """Return how many examples of each value are asked for, before rounding."""
    if name != EDGE:
        return np.array(list(config.dimension(name).shares.values())) * total
    share, weights = (0.0, {}) if config.edge is None else (config.edge.share, config.edge.weights)
    every = sum(weights.values()) or 1.0  # a share of 0 may have no weights
    return np.array([total * (1 - share), *(total * share * weight / every for weight in weights.values())])


def _margin(
    name: str,
    values: Sequence[str | None],
    asked: NDArray[np.float64],
    held: NDArray[np.int64],
    tiers: Sequence[NDArray[np.int64]],
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "dimension": pl.Series([name] * len(values), dtype=pl.String),
            "value": pl.Series(values, dtype=pl.String),
            "asked": asked,
            "held": held,
            "planned": tiers[-1],
            **{f"tier_{int(tier.sum())}": tier for tier in tiers},
        }
    )


def _outside_findings(held: Mapping[str, HeldCounts]) -> list[str]:
    return [
        (
            f"{each.n_outside:,} of {each.n_rows:,} rows of the {noun} {each.source['name']} are of no "
            "stratum and do not count."
        )
        for noun, each in held.items()
        if each.n_outside
    ]


def _frame_sha256(frame: pl.DataFrame) -> str:
    """Return a hash of what the frame says, which no version of Parquet changes."""
    return text_sha256(json.dumps(frame.rows(), ensure_ascii=True, separators=(",", ":")))
