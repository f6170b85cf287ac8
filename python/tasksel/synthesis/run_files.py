"""Frames in the run folder of a synthesis, and the command that writes each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasksel.json_shapes import TEXT_OR_NULL
from tasksel.run_folder_frames import read_frame
from tasksel.synthesis.config_file import EXAMPLES_NAME, PLAN_FOLDER
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

__all__ = ["read_examples", "read_run_frame"]


def read_run_frame(
    path: Path, *, made_by: str, made_anew_by: str | None = None, columns: Mapping[str, Any]
) -> pl.DataFrame:
    """Read a Parquet file that tasksel wrote.

    Parameters
    ----------
    path : Path
        The file.
    made_by : str
        The command that writes it.
    made_anew_by : str, optional
        The one that does so where it is damaged; by default the same.
    columns : mapping of str to shape
        What it has to have, as for `tasksel.run_folder_frames.read_frame`.

    Raises
    ------
    ResumeError
        It is not there, it cannot be read, or it is another file.
    """
    if not path.is_file():
        raise ResumeError(f"There is no {path}; `{made_by}` writes it.")
    return read_frame(path, columns, remedy=f"`{made_anew_by or made_by}` writes it anew")


def read_examples(run: Path) -> pl.DataFrame:
    """Read the planned examples of a run; errors as in `read_run_frame`."""
    return read_run_frame(
        run / PLAN_FOLDER / EXAMPLES_NAME,
        made_by=f"tasksel synth plan CONFIG.toml --out {run}",
        columns={"plan_id": str, "tier": int, "stratum": str, "edge": TEXT_OR_NULL},
    )
