"""The files of a probe: results, failures with their items, the next batch as a table and as TOML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.run_folder import file_sha256, write_text
from tasksel.run_folder_frames import write_frame
from tasksel.synthesis.edge_cases import instruction_for
from tasksel.synthesis.probe_results import RESULT_SCHEMA
from tasksel.synthesis.probe_signatures import plain_line
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasksel.synthesis.config import EdgeConfig
    from tasksel.synthesis.probe_batch import ProbeExample

__all__ = ["write_results"]

RESULTS_NAME: Final = "results.parquet"
FAILURES_NAME: Final = "failures.jsonl"
PLAN_NAME: Final = "next_plan.parquet"
PLAN_TOML_NAME: Final = "next_plan.toml"


def write_results(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    examples: Sequence[ProbeExample],
    plan: pl.DataFrame,
    config: EdgeConfig | None,
) -> dict[str, str]:
    """Write all but the manifest.

    Parameters
    ----------
    folder : Path
        Of the probe.
    rows : sequence of mapping
        Columns of `RESULT_SCHEMA`, one row an example.
    examples : sequence of ProbeExample
        What was run, in the same order.
    plan : pl.DataFrame
        Of `next_batch`.
    config : EdgeConfig, optional
        Knows the custom categories.

    Returns
    -------
    dict of str to str
        Name and SHA-256 of each file.
    """
    write_frame(folder / RESULTS_NAME, pl.DataFrame(rows, schema=dict(RESULT_SCHEMA)))
    write_frame(folder / PLAN_NAME, plan)
    write_text(folder / PLAN_TOML_NAME, _plan_toml(plan, config))
    # All but ASCII is escaped, so that a person can look at the file in a terminal.
    pairs = zip(rows, examples, strict=True)
    told = [{**row, "item": each.item} for row, each in pairs if row["signature"] is not None]
    write_text(folder / FAILURES_NAME, "".join(json.dumps(each) + "\n" for each in told))
    names = (RESULTS_NAME, FAILURES_NAME, PLAN_NAME, PLAN_TOML_NAME)
    return {name: file_sha256(folder / name) for name in names}


def _plan_toml(plan: pl.DataFrame, config: EdgeConfig | None) -> str:
    """Return the next batch as a section of a configuration; what a model has to write is explained."""
    sums = (pl.col("planned").sum(), pl.col("failed").sum())
    lines = ["# The next batch of edge cases, most where the program failed.", "[edge.categories]"]
    for category, planned, failed in plan.group_by("category", maintain_order=True).agg(sums).iter_rows():
        lines.append(f"{_quoted(category)} = {planned}  # {failed} went wrong so far")
    lines += [
        f"# {_quoted(category)} is written by a model: {plain_line(_instruction(category, config))}"
        for category in plan.filter(pl.col("needs_model"))["category"].unique(maintain_order=True)
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a printable text for TOML, which has no halves of surrogate pairs to escape by."""
    return json.dumps(text, ensure_ascii=False)


def _instruction(category: str, config: EdgeConfig | None) -> str:
    try:
        return instruction_for(category, config)
    except ConfigError:
        return "a category that only the batch names"
