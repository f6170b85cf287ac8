"""What a person sees of a study: a table of the arms, what the pairs say, where the files are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich import box
from rich.table import Table
from rich.text import Text

from tasksel.study.page import budget_of_arm, order_of_arm, state_findings
from tasksel.terminal import printable, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.study import StudyResult

__all__ = ["print_study"]


def print_study(console: Console, result: StudyResult) -> None:
    """Print figures and findings of the primary metric; everything else stands in ``report.md``."""
    study = result.study
    if study.title:
        console.print(Text(printable(study.title)), style="bold")
    arms = result.arms.filter(pl.col("metric") == study.primary)
    for (world,), group in arms.group_by("world", maintain_order=True):
        console.print(_arms_table(str(world), group, study.primary))
    if result.chosen is not None:
        console.print(Text(f"Chosen on the tuning seeds: {result.chosen}"))
    for sentence in state_findings(result):
        console.print(Text("· " + sentence.replace("**", "")))
    console.print(Text(f"Report: {shown_path(result.folder)}/report.md"))


def _arms_table(world: str, arms: pl.DataFrame, metric: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"{printable(world)}: {metric}", title_justify="left")
    for name in ("budget", "arm"):
        table.add_column(name)
    for name in ("labels", "macro", "95 %", "micro"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(arms.iter_rows(named=True), key=order_of_arm):
        table.add_row(
            budget_of_arm(row),
            row["arm"],
            f"{row['labels']:,.0f}",
            f"{row['macro']:.3f}",
            _interval(row),
            f"{row['micro']:.3f}",
        )
    return table


def _interval(row: dict[str, Any]) -> str:
    return "" if row["macro_low"] is None else f"{row['macro_low']:.3f}-{row['macro_high']:.3f}"
