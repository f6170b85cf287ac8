"""Discovered tasks in the terminal: the table, why so many, other granularities, what to do next."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from tasksel.run_folder import MANIFEST_NAME
from tasksel.task_discovery.result import default_model_folder
from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from rich.console import Console

    from tasksel.task_discovery import TaskDiscovery

__all__ = ["print_discovery"]

MAX_ROWS: Final = 20
"""Tasks that are shown; the rest is named by count and stands in the manifest."""
NAME_CHARS: Final = 30
FIGURES_CHARS: Final = 20
MIN_EXAMPLE_CHARS: Final = 12


def print_discovery(
    console: Console, found: TaskDiscovery, *, out: Path | None, model_out: Path | None
) -> None:
    """Print the tasks, why there are so many, and where they are.

    Parameters
    ----------
    console : Console
        Where to.
    found : TaskDiscovery
        What was found.
    out, model_out : Path, optional
        Where it was written.
    """
    figures, pool = found.manifest["figures"], found.manifest["pool"]
    _print_line(
        console,
        f"{printable(pool['name'])}: {figures['prompts']:,} prompts, {figures['tasks']:,} tasks "
        f"({figures['template_tasks']:,} with a template), effective number "
        f"{figures['effective_tasks']:.1f}; {figures['other_prompts']:,} prompts are other.",
    )
    console.print(_task_table(found.tasks, console.width))
    if found.tasks.height > MAX_ROWS:
        console.print(Text(f"{found.tasks.height - MAX_ROWS:,} smaller tasks are not shown.", style="dim"))
    _print_line(console, f"Why so many: {printable(found.reason, max_chars=1_000)}")
    if found.curve is not None:
        console.print(_curve_table(found.curve))
    budget = found.manifest["settings"]["budget"]
    _print_line(console, f"{budget:,} labels, spread evenly over fewer or more tasks:")
    console.print(_granularity_table(found.granularity))
    print_notes(console, found.notes)
    for line in _written(out, model_out):
        _print_line(console, line)


def _task_table(tasks: pl.DataFrame, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    shown = tasks.head(MAX_ROWS)
    longest = max([4, *(len(printable(name, max_chars=NAME_CHARS)) for name in shown["task"])])
    table.add_column("task", no_wrap=True, overflow="ellipsis", width=longest)
    table.add_column("prompts", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    example_chars = max(width - longest - FIGURES_CHARS, MIN_EXAMPLE_CHARS)
    table.add_column("template or example", no_wrap=True, overflow="ellipsis", width=example_chars)
    for row in shown.iter_rows(named=True):
        table.add_row(
            Text(printable(row["task"], max_chars=NAME_CHARS)),
            f"{row['prompts']:,}",
            f"{row['share']:.1%}",
            Text(_shown_example(row), style="" if row["template"] is None else "italic"),
        )
    return table


def _shown_example(row: dict[str, Any]) -> str:
    text = row["template"] if row["template"] is not None else next(iter(row["examples"]), "")
    return printable(" ".join(text.split()), max_chars=200)


def _curve_table(curve: pl.DataFrame) -> Table:
    table = _figure_table("clusters", "stability", "±", "silhouette", "")
    for row in curve.iter_rows(named=True):
        mark = "chosen" if row["is_chosen"] else "stable" if row["is_stable"] else ""
        table.add_row(
            f"{row['clusters']:,}",
            f"{row['stability']:.3f}",
            f"{row['stability_sd']:.3f}",
            f"{row['silhouette']:.3f}",
            mark,
        )
    return table


def _granularity_table(granularity: pl.DataFrame) -> Table:
    is_weighted = granularity["effective_tasks_weight"].null_count() < granularity.height
    headers = ["tasks", "smallest", "median", "largest", "effective", "labels\na task", "used\nup"]
    headers += ["effective\nby weight", "largest\nweight"] if is_weighted else []
    table = _figure_table(*headers, "")
    for row in granularity.iter_rows(named=True):
        cells = [
            f"{row['tasks']:,}",
            f"{row['smallest']:,}",
            f"{row['median']:,.0f}",
            f"{row['largest']:,}",
            f"{row['effective_tasks']:,.1f}",
            f"{row['labels_per_task']:,.0f}",
            f"{row['capped']:,}",
        ]
        if is_weighted:
            cells += [f"{row['effective_tasks_weight']:,.1f}", f"{row['largest_weight_share']:.1%}"]
        table.add_row(*cells, "found" if row["is_found"] else "")
    return table


def _figure_table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    return table


def _written(out: Path | None, model_out: Path | None) -> list[str]:
    model = model_out if model_out is not None or out is None else default_model_folder(out)
    kept = (
        []
        if model is None
        else [f"Task model: {model}. New prompts: tasksel tasks NEW --using {_typed(model)}"]
    )
    if out is None:
        return [*kept, "No pool was written; --out POOL2.parquet writes it with its tasks."]
    return [
        f"Wrote {out} and {out.stem}.{MANIFEST_NAME}.",
        *kept,
        f"Next: tasksel select {_typed(out)} --budget N",
    ]


def _typed(path: Path) -> str:
    return shlex.quote(str(path))


def _print_line(console: Console, text: str) -> None:
    console.print(Text(textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)))
