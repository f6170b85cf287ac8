"""What a person sees in a terminal: tables that fit 80 columns, paragraphs, progress."""

from __future__ import annotations

import contextlib
import itertools
import sys
import textwrap
import time
import traceback
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tasksel.run_folder import MANIFEST_NAME
from tasksel.selection import SELECTION_FILES
from tasksel.wording import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from tasksel.demo import DemoResult
    from tasksel.scoring import ScoreSummary
    from tasksel.selection import Selection
    from tasksel.trainer_formats import ExportSummary

__all__ = [
    "ScoreProgress",
    "comparison_table",
    "print_demo",
    "print_error",
    "print_export",
    "print_notes",
    "print_paragraph",
    "print_score_summary",
    "print_selection",
    "print_traceback",
    "printable",
    "shown_path",
]

MAX_TABLE_ROWS = 14
"""Tasks shown in a table; the rest is named by count and stands in allocation.csv."""
MAX_TASK_CHARS = 60
"""Longest task name shown where the terminal has room for it."""
MIN_TASK_CHARS = 8
ALLOCATION_FIGURES_CHARS = 44
"""What the figures of a row need; the task's name gets the rest of the line."""
LABELLED_CHARS = 10
"""What the labels of earlier rounds need besides."""
FEW_STRATEGIES = 2
"""More than that stand closer together."""
PIPE_INTERVAL_S = 10.0
"""Seconds between two progress lines where nobody watches a bar."""
_PATH_CHARS = 4096
_WHOLE_RATE = 10.0
"""Below it a rate is shown with two figures."""


def print_error(message: str) -> None:
    """Print one paragraph to standard error: ``Error:`` and the sentence."""
    console = Console(stderr=True)
    console.print(Text.assemble(("Error: ", "bold red"), _lines(message)), soft_wrap=not console.is_terminal)


def shown_path(path: object) -> str:
    """Return the name of a file or folder as a terminal may show it: whole, and nothing but text."""
    return printable(str(path), max_chars=_PATH_CHARS)


def print_traceback() -> None:
    """Print the traceback of the error that is handled; texts of others in it cannot steer the terminal."""
    sys.stderr.write(_lines(traceback.format_exc()) + "\n")


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """Print each note as a paragraph with a hanging mark."""
    for note in notes:
        print_paragraph(console, "!", _lines(note), style="yellow")


def print_selection(console: Console, selection: Selection, *, folder: str | None) -> None:
    """Print what was selected, from which tasks, and what to know about it."""
    pool, settings, figures = (selection.manifest[key] for key in ("pool", "settings", "figures"))
    what = (
        f"{printable(pool['name'])}: {_counted(pool['rows'], 'prompt')}, {_counted(figures['tasks'], 'task')}"
    )
    print_paragraph(console, "Pool    ", what)
    print_paragraph(console, "Strategy", _settings_line(settings))
    if "labelled" in selection.manifest:
        print_paragraph(console, "Labelled", _labelled_line(selection.manifest))
    console.print(_allocation_table(selection.allocation, console.width))
    console.print(Text(_figures_line(figures)))
    print_notes(console, selection.notes)
    if folder is None:
        console.print(Text("Nothing was written; --out DIR writes the selection.", style="dim"))
    else:
        files = ", ".join((*SELECTION_FILES, MANIFEST_NAME))
        console.print(Text(f"Wrote {shown_path(folder)}: {files}"))


def print_score_summary(console: Console, summary: ScoreSummary) -> None:
    """Print what was scored, how fast, where the files are, and what to know about it."""
    console.print(Text(_score_line(summary)))
    print_notes(console, summary.notes)


def _score_line(summary: ScoreSummary) -> str:
    figures = summary.to_dict()
    reused = f" ({figures['rows_reused']:,} from before)" if figures["rows_reused"] else ""
    return (
        f"Scored {_counted(figures['rows'], 'prompt')}{reused}: "
        f"{_counted(figures['tokens'], 'token')} generated"
        f"{_rate(figures)}. Files in {shown_path(figures['folder'])}"
    )


def print_export(console: Console, summary: ExportSummary) -> None:
    """Print what was written for other trainers, and how they are told of it."""
    console.print(
        Text(
            f"Wrote {_counted(summary.rows, 'example')} ({summary.format}) to "
            f"{printable(summary.folder)}: {', '.join(summary.files)}, manifest.json."
        )
    )
    console.print(
        Text(
            "LLaMA-Factory: dataset_dir is the folder, dataset: tasksel. axolotl: copy what axolotl.yml says."
        )
    )


def print_demo(console: Console, result: DemoResult) -> None:
    """Print what the demo scored and what each strategy picked."""
    console.print(Text(f"Pool: {printable(result.pool)}, {_counted(result.rows, 'prompt')}"))
    console.print(Text(_score_line(result.scores)))
    console.print(Text(f"\nWhat {result.budget:,} labels buy:"))
    allocations = {name: chosen.allocation for name, chosen in result.selections.items()}
    console.print(comparison_table(allocations, width=console.width))
    for name, chosen in result.selections.items():
        console.print(Text(f"{name}: {_figures_line(chosen.manifest['figures'])}"))
    # Each stage tells what it found in the pool; a person needs to be told once.
    found = [chosen.notes for chosen in result.selections.values()]
    print_notes(console, list(dict.fromkeys(itertools.chain(result.scores.notes, *found))))
    if result.base is not None:
        console.print(Text("\nWhat a model trained on them answers right, of held-out prompts:"))
        console.print(_outcome_table(result))
        console.print(Text("One pool says little: `tasksel study` repeats this over pools, with intervals."))
    console.print(Text(f"Files: {shown_path(result.folder)}/{{run,{','.join(result.selections)}}}"))


def _outcome_table(result: DemoResult) -> Table:
    """Lay the trained models side by side, the base model first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trained on", no_wrap=True)
    for column in ("labels", "macro", "micro"):
        table.add_column(column, justify="right", no_wrap=True)
    trained = ((name, result.budget, each) for name, each in result.trained.items())
    outcomes = [("nothing", 0, result.base), *trained]
    for name, labels, figures in outcomes:
        if figures is not None:
            shares = (_percent(figures.macro_exact_match), _percent(figures.micro_exact_match))
            table.add_row(name, f"{labels:,}", *shares)
    return table


def comparison_table(allocations: Mapping[str, pl.DataFrame], *, width: int = 80) -> Table:
    """Lay the picks of several strategies side by side, one row a task, heaviest weight first.

    Parameters
    ----------
    allocations : mapping of strategy name to DataFrame
        `Selection.allocation` of each; the last one with weights gives order, confidence and weight.
    width : int
        Characters of a line.
    """
    weighted = [table for table in allocations.values() if table["weight"].null_count() == 0]
    reference = (weighted or list(allocations.values()))[-1]
    gap = 2 if len(allocations) <= FEW_STRATEGIES else 1
    headers = ["prompts", "confidence", "weight", *(name.replace("-", "-\n") for name in allocations)]
    figures_chars = sum(gap + max(map(len, header.split("\n"))) for header in headers)
    table = _task_table(width, figures_chars, gap=gap)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    picked = {name: dict(frame.select("task", "picked").iter_rows()) for name, frame in allocations.items()}
    for row in _shown_rows(reference):
        if row is None:
            table.add_row("…", *[""] * (3 + len(picked)))
            continue
        cells = [_count(row["available"]), _confidence(row), _percent(row["weight"])]
        picks = [f"{by_task[row['task']]:,}" for by_task in picked.values()]
        table.add_row(Text(printable(row["task"], max_chars=MAX_TASK_CHARS)), *cells, *picks)
    return table


def _allocation_table(allocation: pl.DataFrame, width: int) -> Table:
    before = ["labelled"] if "labelled" in allocation.columns else []
    table = _task_table(width, ALLOCATION_FIGURES_CHARS + len(before) * LABELLED_CHARS)
    for column in ("prompts", "confidence", "weight", *before, "picked", ""):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for row in _shown_rows(allocation):
        if row is None:
            table.add_row("…", *[""] * (5 + len(before)))
            continue
        table.add_row(
            Text(printable(row["task"], max_chars=MAX_TASK_CHARS)),
            _count(row["available"]),
            _confidence(row),
            _percent(row["weight"]),
            *(_count(row[name]) for name in before),
            _count(row["picked"]),
            "all" if row["capped"] else "",
        )
    hidden = allocation.height - MAX_TABLE_ROWS
    if hidden > 0:
        table.caption = f"{hidden:,} more tasks between those shown; all are in allocation.csv"
        table.caption_justify = "left"
    return table


def print_paragraph(console: Console, mark: str, text: str, *, style: str = "bold") -> None:
    """Print a mark and a paragraph whose further lines stand under its first.

    Parameters
    ----------
    console : Console
        Where to.
    mark : str
        At the beginning of the first line.
    text : str
        The paragraph.
    style : str
        Of the mark.
    """
    indent = " " * (len(mark) + 1)
    wrapped = textwrap.fill(text, console.width, initial_indent=indent, subsequent_indent=indent)
    console.print(Text.assemble((mark, style), " ", wrapped[len(indent) :]))


def _task_table(width: int, figures_chars: int, *, gap: int = 2) -> Table:
    task_chars = min(max(width - figures_chars, MIN_TASK_CHARS), MAX_TASK_CHARS)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=task_chars)
    return table


def _shown_rows(allocation: pl.DataFrame) -> list[dict[str, Any] | None]:
    """Return the heaviest tasks and the lightest ones; None stands for those left out between."""
    keys = ["weight", "picked", "available"]
    ordered = allocation.sort([*keys, "task"], descending=[True, True, True, False], nulls_last=True)
    if ordered.height <= MAX_TABLE_ROWS:
        return list(ordered.iter_rows(named=True))
    tail = MAX_TABLE_ROWS // 3
    head = ordered.head(MAX_TABLE_ROWS - tail).iter_rows(named=True)
    return [*head, None, *ordered.tail(tail).iter_rows(named=True)]


def _settings_line(settings: Mapping[str, Any]) -> str:
    shown = [str(settings["strategy"]), f"budget {_budget_text(settings)}"]
    if settings.get("within", "random") != "random":
        shown.append(f"within tasks {settings['within']}")
    if "base" in settings:
        shown.append(f"base {settings['base']}")
    if settings["strategy"] == "weighted-task-diversity":
        shown += [f"metric {settings['metric']}", f"alpha {settings['alpha']:g}"]
        if settings["max_ratio"] is not None:
            shown.append(f"max weight ratio {settings['max_ratio']:g}")
    shown += [f"{name} {value:g}" for name, value in settings.get("options", {}).items()]
    shown += ["per cost"] if settings.get("per_cost") else []
    return ", ".join([*shown, f"seed {settings['seed']}"])


def _budget_text(settings: Mapping[str, Any]) -> str:
    bought = f"{settings['budget']:,}"
    if "budget_tokens" in settings:
        return f"{settings['budget_tokens']:,g} tokens ({bought} labels)"
    if "budget_cost" in settings:
        return f"{settings['budget_cost']:,g} in money ({bought} labels)"
    return bought


def _figures_line(figures: Mapping[str, Any]) -> str:
    selected = (
        f"Selected {figures['selected']:,} of {_counted(figures['pool_rows'], 'prompt')} "
        f"from {figures['tasks_picked']:,} of {_counted(figures['tasks'], 'task')}; "
        f"{_counted(figures['tasks_capped'], 'task is', 'tasks are')} used up."
    )
    effective = f"Effective number of tasks: {figures['effective_tasks_picked']:.1f} by pick"
    if "effective_tasks_weight" in figures:
        effective += f", {figures['effective_tasks_weight']:.1f} by weight"
    parts = [selected, effective + "."]
    if "covering_radius" in figures:
        parts.append(f"Covering radius: {figures['covering_radius']:.4g}.")
    if "label_tokens" in figures or "label_cost" in figures:
        parts.append(f"These labels are {_cost_line(figures)}.")
    return " ".join(parts)


def _cost_line(figures: Mapping[str, Any]) -> str:
    """Say what labels come to in tokens and money, as far as that is known."""
    parts = []
    if "label_tokens" in figures:
        parts.append(f"{figures['label_tokens']:,.0f} tokens")
    if "label_cost" in figures:
        parts.append(f"{figures['label_cost']:,.2f} in money")
    return " and ".join(parts)


def _labelled_line(manifest: Mapping[str, Any]) -> str:
    labelled = manifest["labelled"]
    aside = f", {labelled['set_aside']:,} set aside" if labelled["set_aside"] else ""
    return f"{_counted(labelled['rows'], 'prompt')} before{aside} ({printable(labelled['name'])})"


def _counted(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _count(number: int) -> str:
    return f"{number:,}"


def _confidence(row: Mapping[str, Any]) -> str:
    """Show a probability, or its power of ten where it is too small to read."""
    log_confidence = row["log_confidence"]
    if log_confidence is None:
        return "-"
    if log_confidence < -7:
        return f"1e{log_confidence / 2.302585092994046:.0f}"
    return f"{row['confidence']:.4f}"


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.2%}" if share >= 0.00005 or share == 0 else "<0.01%"


def _rate(figures: Mapping[str, Any]) -> str:
    seconds, per_s = figures.get("seconds") or 0.0, figures.get("tokens_per_s")
    if seconds < 1 or per_s is None:  # a finished run may take long to be looked at
        return ""
    return f" in {seconds:.0f} s, {per_s:,.0f} tokens/s"


def _lines(message: str) -> str:
    return "\n".join(printable(line, max_chars=4000) for line in message.splitlines())


class StageProgress:
    """Progress of several stages, one after the other; a context manager.

    Parameters
    ----------
    shown : bool
        Whether there is anything to see.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._stages = contextlib.ExitStack()

    def __enter__(self) -> StageProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._stages.close()

    def __call__(self, label: str, unit: str) -> ScoreProgress | None:
        """End the stage before and begin one."""
        self._stages.close()
        return self._stages.enter_context(ScoreProgress(label, unit)) if self._shown else None


class ScoreProgress:
    """Progress of a stage: a bar with rate and time left on a terminal, a line now and then in a pipe.

    Called with ``(rows_done, rows_total, tokens_done)``, and a note if there is one; a context manager.
    """

    def __init__(self, label: str = "Scoring", unit: str = "prompts") -> None:
        self._label = label
        self._unit = unit
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._started_s = time.monotonic()
        self._printed_s = self._started_s
        self._first_rows: int | None = None

    def __enter__(self) -> ScoreProgress:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                transient=True,
            )
            self._bar.add_task(self._label, total=None, rate="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, rows_done: int, rows_total: int, tokens_done: int, note: str = "") -> None:
        """Show the state; cheap enough to be called after every batch."""
        now_s = time.monotonic()
        if self._first_rows is None:
            self._first_rows, self._started_s, self._printed_s = rows_done, now_s, now_s
        rate = (rows_done - self._first_rows) / max(now_s - self._started_s, 1e-9)
        rate_text = f"{rate:,.0f}/s" if rate >= _WHOLE_RATE else f"{rate:.2g}/s" if rate > 0 else ""
        if self._bar is not None:
            shown = f"{rate_text} {note}".strip()
            self._bar.update(self._bar.task_ids[0], completed=rows_done, total=rows_total, rate=shown)
        elif rate > 0 and now_s - self._printed_s >= PIPE_INTERVAL_S:
            self._printed_s = now_s
            left_s = (rows_total - rows_done) / rate
            tokens = f"{tokens_done:,} tokens, " if tokens_done else ""
            print(
                f"{self._label}: {rows_done:,} of {rows_total:,} {self._unit}, {tokens}"
                f"{f'{note}, ' if note else ''}"
                f"{rate_text}, {left_s:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
