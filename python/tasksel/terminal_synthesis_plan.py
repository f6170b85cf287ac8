"""A plan and label weights in the terminal: tables that fit, then what to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.synthesis import BothWays, LabelWeights, SynthesisPlan
    from tasksel.synthesis.label_evaluation import Figure

__all__ = ["print_plan", "print_weights"]

MAX_STRATA = 25
"""Strata shown in a table; the rest is named by count and stands in cells.parquet."""
MAX_VALUES = 8
"""Values of a dimension that are shown."""
MAX_LABELS = 14
MIN_NAME_CHARS = 8
MAX_NAME_CHARS = 40
_FIGURE_CHARS = 11
_WORTH_SHOWING = 0.05
_FILES = ("config.json", "cells.parquet", "margins.parquet", "examples.parquet", "manifest.json")


def print_plan(console: Console, plan: SynthesisPlan, *, folder: str | None) -> None:
    """Print what is planned of each stratum and dimension, and what to know about it."""
    figures = plan.manifest["figures"]
    edge = f", {figures['edge']:,} of them edge cases" if figures["edge"] else ""
    within = f"{figures['strata_planned']:,} of {figures['strata']:,} strata"
    console.print(
        Text.assemble(
            (printable(plan.config.name), "bold"),
            f": {_counted(figures['planned'], 'example')} in {within}{edge}.",
        )
    )
    if figures["planned"]:
        strata = _shown_strata(plan)
        console.print(_strata_table(plan, strata, console.width))
        _print_hidden(console, plan.cells.height - strata.height, "strata with fewer or no examples")
        console.print()
        console.print(_margins_table(plan, console.width))
    print_notes(console, plan.findings)
    if folder is None:
        console.print(Text("Nothing was written; --out RUN writes the plan.", style="dim"))
    else:
        console.print(Text(f"Wrote {printable(folder)}/plan: {', '.join(_FILES)}"))


def print_weights(
    console: Console, weights: LabelWeights, both: BothWays | None, *, file: str | None
) -> None:
    """Print the weight of each label, the figures both ways, and what to know about them."""
    rows = weights.frame.height
    console.print(
        Text(
            f"{_counted(rows, 'training row')}; weights leave {weights.n_effective:,.0f} effective "
            f"({weights.n_effective / rows:.1%})."
        )
    )
    table = _table(console.width, ["label"], 4)
    for header in ("rows", "train", "real", "weight"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in weights.labels.head(MAX_LABELS).iter_rows(named=True):
        weight = "-" if row["weight"] is None else f"{row['weight']:.3f}"
        shares = (f"{row['train_share']:.1%}", f"{row['real_share']:.1%}")
        table.add_row(_name(row["label"]), f"{row['train_rows']:,}", *shares, weight)
    console.print(table)
    _print_hidden(console, weights.labels.height - MAX_LABELS, "labels")
    if both is not None:
        console.print(_both_ways_table(both))
    print_notes(console, [*weights.findings, *(both.findings if both is not None else ())])
    if file is None:
        console.print(Text("Nothing was written; --out FILE writes the weighted rows.", style="dim"))
    else:
        console.print(Text(f"Wrote {printable(file)}"))


def _both_ways_table(both: BothWays) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("evaluation", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    figures: dict[str, Figure] = {
        "balanced: every label alike": both.balanced,
        "weighted: labels as they really come": both.weighted,
        "plain: examples as they are here": both.plain,
    }
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.4f}", f"{figure.low:.4f} to {figure.high:.4f}")
    return table


def _shown_strata(plan: SynthesisPlan) -> pl.DataFrame:
    shown = _worth_showing(plan, plan.cells)
    if shown.height <= MAX_STRATA:
        return shown
    return shown.sort("planned", descending=True, maintain_order=True).head(MAX_STRATA)


def _strata_table(plan: SynthesisPlan, shown: pl.DataFrame, width: int) -> Table:
    levels = list(plan.config.strata.levels)
    figures = ["target", *_held_column(plan.cells), "planned", *_tier_columns(plan.tiers)]
    table = _table(width, levels, len(figures))
    _add_figures(table, figures)
    for row in shown.iter_rows(named=True):
        table.add_row(*(_name(row[level]) for level in levels), *(_figure(row[name]) for name in figures))
    return table


def _margins_table(plan: SynthesisPlan, width: int) -> Table:
    figures = ["asked", *_held_column(plan.margins), "planned", *_tier_columns(plan.tiers)]
    table = _table(width, ["dimension", "value"], len(figures))
    _add_figures(table, figures)
    shown = _worth_showing(plan, plan.margins)
    for name, margin in shown.group_by("dimension", maintain_order=True):
        ordinary = margin.filter(pl.col("value").is_not_null())
        for number, row in enumerate(ordinary.head(MAX_VALUES).iter_rows(named=True)):
            first = _name(str(name[0])) if number == 0 else Text("")
            table.add_row(first, _name(row["value"]), *(_figure(row[each]) for each in figures))
        hidden = ordinary.height - MAX_VALUES
        if hidden > 0:
            table.add_row("", Text(f"… {hidden:,} more", style="dim"), *[""] * len(figures))
    return table


def _worth_showing(plan: SynthesisPlan, frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out what a shortfall does not miss: of many strata it names a few."""
    return frame if plan.manifest["shortfall"] is None else frame.filter(pl.col("planned") > 0)


def _table(width: int, names: list[str], n_figures: int) -> Table:
    chars = (width - n_figures * _FIGURE_CHARS) // len(names) - 2
    chars = min(max(chars, MIN_NAME_CHARS), MAX_NAME_CHARS)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(_name(name), overflow="ellipsis", no_wrap=True, max_width=chars)
    return table


def _add_figures(table: Table, names: list[str]) -> None:
    for name in names:
        header = f"first {int(name.removeprefix('tier_')):,}" if name.startswith("tier_") else name
        table.add_column(header, justify="right", no_wrap=True)


def _tier_columns(tiers: tuple[int, ...]) -> list[str]:
    """Return the columns of the smaller tiers; the last one is the plan."""
    return [f"tier_{tier}" for tier in tiers[:-1]]


def _held_column(frame: pl.DataFrame) -> list[str]:
    return ["held"] if frame["held"].sum() else []


def _print_hidden(console: Console, hidden: int, noun: str) -> None:
    if hidden > 0:
        console.print(Text(f"{hidden:,} more {noun} are not shown", style="dim"))


def _figure(number: Any) -> str:
    """Show a count, or a real number where it is not nearly one."""
    near = round(number)
    return f"{near:,}" if abs(number - near) < _WORTH_SHOWING else f"{number:,.1f}"


def _name(text: str) -> Text:
    return Text(printable(text, max_chars=MAX_NAME_CHARS))


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
