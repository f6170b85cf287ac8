"""An evaluation in the terminal: macro and micro of each suite, its best and worst tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tasksel.evaluation_figures import LOWER_IS_BETTER
from tasksel.run_folder import MANIFEST_NAME
from tasksel.terminal import MAX_TABLE_ROWS, print_notes, printable, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from rich.console import Console

    from tasksel.evaluation import Evaluation, SuiteResult

__all__ = ["print_evaluation"]

MAX_NAME_CHARS = 34
_WIN_RATE_COLUMNS = {
    "win_rate": "win rate",
    "standard_error": "±",
    "length_controlled_winrate": "controlled",
    "n_wins": "wins",
    "n_draws": "draws",
    "n_total": "of",
}


_HEADERS = {"examples": "n", "rouge_l": "ROUGE-L"}


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print every suite, and where the files are."""
    for suite in evaluation.suites:
        console.print(Text(_headline(suite), style="bold"))
        for metric, figures in suite.figures.items():
            console.print(Text(f"  {metric}: {_figures(figures)}"))
        if suite.win_rates is not None:
            console.print(_rows_table(suite.win_rates, _WIN_RATE_COLUMNS))
        console.print(_table(suite))
        print_notes(console, suite.notes)
    if evaluation.folder is None:
        console.print(Text("Nothing was written; --out DIR writes the evaluation.", style="dim"))
    else:
        console.print(
            Text(f"Wrote {shown_path(evaluation.folder)}: report.json, {MANIFEST_NAME}, SUITE/tasks.csv")
        )


def _headline(suite: SuiteResult) -> str:
    if suite.examples is None:
        return f"{suite.name}: {suite.tasks.height:,} rows"
    tasks = f"{suite.tasks.height:,} task" + ("" if suite.tasks.height == 1 else "s")
    directions = [f"; a lower {metric} is better" for metric in suite.figures if metric in LOWER_IS_BETTER]
    return f"{suite.name}: {suite.examples.height:,} examples, {tasks}{''.join(directions)}"


def _figures(figures: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(
        f"{kind} {each['mean']:.4f} ({each['low']:.4f} to {each['high']:.4f})"
        for kind, each in figures.items()
    )


def _table(suite: SuiteResult) -> Table:
    has_generators = suite.name == "winrate" and not suite.figures
    return _rows_table(suite.tasks, _WIN_RATE_COLUMNS if has_generators else _plain_columns(suite))


def _rows_table(rows: pl.DataFrame, columns: Mapping[str, str]) -> Table:
    name = rows.columns[0]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=MAX_NAME_CHARS)
    for header in columns.values():
        table.add_column(header, justify="right", no_wrap=True)
    for row in _shown_rows(rows):
        if row is None:
            table.add_row("…", *[""] * len(columns))
            continue
        label = Text(printable(str(row[name]), max_chars=MAX_NAME_CHARS))
        table.add_row(label, *(_cell(row[column]) for column in columns))
    hidden = rows.height - MAX_TABLE_ROWS
    if hidden > 0:
        table.caption = f"{hidden:,} more rows between the best and the worst; all are in tasks.csv"
        table.caption_justify = "left"
    return table


def _plain_columns(suite: SuiteResult) -> dict[str, str]:
    """Show the first metric's interval alone: the others' stand in tasks.csv."""
    metrics = list(suite.figures)
    kept = ["examples"]
    for metric in metrics:
        kept.append(metric)
        if metric == metrics[0]:
            kept += [f"{metric}_low", f"{metric}_high"]
    shown = [column for column in kept if column in suite.tasks.columns] or suite.tasks.columns[1:]
    ends = ("_low", "_high")
    return {
        column: next(
            (end[1:] for end in ends if column.endswith(end)), _HEADERS.get(column, column.replace("_", "\n"))
        )
        for column in shown
        if metrics or column in suite.tasks.columns[1:]
    }


def _shown_rows(frame: pl.DataFrame) -> list[dict[str, Any] | None]:
    """Return the best and the worst rows; None stands for those left out between."""
    rows = list(frame.iter_rows(named=True))
    if len(rows) <= MAX_TABLE_ROWS:
        return [*rows]
    half = MAX_TABLE_ROWS // 2
    return [*rows[:half], None, *rows[-half:]]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"
    return printable(f"{value:,}" if isinstance(value, int) else str(value), max_chars=MAX_NAME_CHARS)
