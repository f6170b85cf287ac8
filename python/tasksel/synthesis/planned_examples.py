"""The examples that a run folder's plan asks for, as the run reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.run_folder import MANIFEST_NAME, file_sha256, text_sha256
from tasksel.synthesis.config_file import EXAMPLES_NAME, PLAN_FOLDER, read_planned_config
from tasksel.synthesis.edge_cases import is_mutable
from tasksel.synthesis.run_files import read_examples
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import polars as pl

    from tasksel.synthesis.config import SynthesisConfig

__all__ = ["EXAMPLES_NAME", "FULL_TIER", "PlannedExample", "PlannedRun", "find_tier", "read_planned_run"]

FULL_TIER: Final = "full"
_OWN_COLUMNS: Final = ("plan_id", "tier", "stratum", "edge")
_KEY_DIGITS: Final = 16


@dataclass(frozen=True)
class PlannedExample:
    """One example that is to be written.

    Parameters
    ----------
    plan_id : str
        Its name.
    tier : int
        The smallest tier that contains it.
    stratum : str
        Level values joined with ``/``.
    values : mapping of str to str
        Level or dimension -> what is wanted; levels first.
    edge : str, optional
        Its category, for an edge case.
    """

    plan_id: str
    tier: int
    stratum: str
    values: Mapping[str, str]
    edge: str | None = None

    def key(self, settings_key: str) -> str:
        """Name what is asked here and under which settings: a reply is of use wherever this is equal."""
        wanted = [self.plan_id, self.stratum, dict(self.values), self.edge, settings_key]
        return text_sha256(json.dumps(wanted))[:_KEY_DIGITS]


@dataclass(frozen=True)
class PlannedRun:
    """A planned run folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    config : SynthesisConfig
        What it was planned with.
    examples : tuple of PlannedExample
        Those that a model is asked for, in the plan's order. Edge cases that a program makes are not among
        them, unless the configuration says so.
    value_columns : tuple of str
        Names of levels and dimensions.
    plan_sha256 : str
        Of the planned examples.
    tiers : tuple of int
        The tiers that there are, rising.
    """

    folder: Path
    config: SynthesisConfig
    examples: tuple[PlannedExample, ...]
    value_columns: tuple[str, ...]
    plan_sha256: str
    tiers: tuple[int, ...]


def read_planned_run(run: str | os.PathLike[str]) -> PlannedRun:
    """Read configuration and examples of a run folder.

    Parameters
    ----------
    run : path
        Folder with a finished plan.

    Returns
    -------
    PlannedRun

    Raises
    ------
    ResumeError
        There is no plan, it is unfinished, or it cannot be read.
    """
    folder = Path(run)
    config = read_planned_config(folder)
    path = folder / PLAN_FOLDER / EXAMPLES_NAME
    if not (path.exists() and path.with_name(MANIFEST_NAME).exists()):
        raise ResumeError(f"The plan in {run} is not finished; run `tasksel synth plan` again.")
    frame = read_examples(folder)
    columns = _value_columns(frame, config, path)
    examples = [_read_example(row, columns) for row in frame.iter_rows(named=True)]
    asked = tuple(each for each in examples if _wants_model(each, config))
    tiers = tuple(sorted({each.tier for each in examples}))
    return PlannedRun(folder, config, asked, columns, file_sha256(path), tiers)


def find_tier(tiers: Sequence[int], tier: str | int) -> int:
    """Return the tier that is meant.

    Parameters
    ----------
    tiers : sequence of int
        Those that there are, rising.
    tier : str or int
        One of them, or ``full`` for the last.

    Raises
    ------
    ConfigError
        There is no such tier.

    Examples
    --------
    >>> find_tier((100, 1000, 4000), "full")
    4000
    """
    text = str(tier).replace(",", "").replace("_", "")
    if not tiers:
        raise ConfigError("The plan holds no examples; there is nothing to run.")
    if text == FULL_TIER:
        return tiers[-1]
    if text.isdecimal() and int(text) in tiers:
        return int(text)
    raise ConfigError(f"The tier is {tier!r}; allowed are {', '.join(map(str, tiers))} and {FULL_TIER}.")


def _value_columns(frame: pl.DataFrame, config: SynthesisConfig, path: Path) -> tuple[str, ...]:
    columns = (*config.strata.levels, *(each.name for each in config.dimensions))
    missing = [name for name in (*_OWN_COLUMNS, *columns) if name not in frame.columns]
    if missing:
        raise ResumeError(
            f"{path} lacks {', '.join(missing)}, so it is not of this configuration; plan again."
        )
    return (*columns, *(name for name in frame.columns if name not in {*_OWN_COLUMNS, *columns}))


def _wants_model(example: PlannedExample, config: SynthesisConfig) -> bool:
    """Whether no program can make an example: it is ordinary, or of a category that takes a model."""
    if example.edge is None or config.edge is None or config.edge.ask_model:
        return True
    return not is_mutable(example.edge, config.edge)


def _read_example(row: Mapping[str, Any], columns: Sequence[str]) -> PlannedExample:
    values = {name: str(row[name]) for name in columns if row[name] is not None}
    return PlannedExample(row["plan_id"], int(row["tier"]), row["stratum"], values, row["edge"] or None)
