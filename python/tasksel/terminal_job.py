"""What a person sees of a job: its plan, and what became of its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, print_paragraph, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.job.plan import JobPlan, PlannedStage
    from tasksel.job.result import JobResult, StageResult

__all__ = ["print_job", "print_plan"]

_STYLES: Final = {
    "done": "bold green",
    "unchanged": "green",
    "finished": "green",
    "waiting": "bold yellow",
    "again": "bold yellow",
    "to do": "bold",
    "goes on": "bold",
    "left out": "dim",
}
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_NAME_CHARS: Final = 26


def print_plan(console: Console, plan: JobPlan, *, config: str, folder: str) -> None:
    """Print what a job would do: a row a stage, then time, tokens and cost with what they rest on."""
    pool = plan.pool
    tasks = "no tasks" if pool["tasks"] is None else _counted(pool["tasks"], "task")
    print_paragraph(console, "Plan  ", f"{printable(config)} in {printable(folder)}")
    print_paragraph(
        console, "Pool  ", f"{printable(pool['name'])}: {_counted(pool['rows'], 'prompt')}, {tasks}"
    )
    console.print(_plan_table(plan.stages))
    for stage in plan.stages:
        if stage.reasons:
            print_paragraph(console, " ", f"{stage.name}: {printable('; '.join(stage.reasons))}", style="")
    print_paragraph(console, "Time  ", _time_sentence(plan))
    for basis in dict.fromkeys(stage.work.tokens_basis for stage in plan.stages if stage.work.tokens_basis):
        print_paragraph(console, "Tokens", f"of prompts, {basis}; of answers, at most so many.")
    print_paragraph(console, "Labels", _labels_sentence(plan))
    console.print(Text("Nothing was written.", style="dim"))


def _plan_table(stages: tuple[PlannedStage, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True, overflow="ellipsis", max_width=_NAME_CHARS)
    table.add_column("state", no_wrap=True)
    for column in ("rows", "tokens in", "tokens out", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in stages:
        work = stage.work
        table.add_row(
            Text(printable(stage.name)),
            Text(stage.state, style=_STYLES.get(stage.state, "")),
            _number(work.rows),
            _number(work.prompt_tokens),
            "" if work.new_tokens is None else f"≤ {work.new_tokens:,}",
            _duration(work.seconds) if work.seconds is not None else "unknown" if work.time_basis else "",
        )
    return table


def _time_sentence(plan: JobPlan) -> str:
    if not any(stage.is_open for stage in plan.stages):
        return "nothing is left to do."
    known = "unknown" if plan.seconds is None else f"about {_duration(plan.seconds)}, without loading models"
    bases: dict[str, list[str]] = {}
    for stage in plan.stages:
        if stage.is_open and stage.work.time_basis:
            bases.setdefault(stage.work.time_basis, []).append(stage.name)
    said = "; ".join(f"{printable(basis)} ({', '.join(names)})" for basis, names in bases.items())
    return f"{known}: {said.removeprefix('unknown: ')}." if said else f"{known}."


def _labels_sentence(plan: JobPlan) -> str:
    labels = plan.labels
    if labels.labels is None:
        amounts = [f"{labels.tokens:,} tokens"] if labels.tokens else []
        amounts += [f"{labels.cost:,.2f} {printable(labels.currency)}".strip()] if labels.cost else []
        return f"{' and '.join(amounts)}: {labels.basis}."
    number = f"{'at most ' if labels.is_upper_bound else ''}{_counted(labels.labels, 'label')}"
    if labels.answered:
        return f"{number}; {labels.basis}."
    if labels.cost is None:
        return f"{number}, cost {printable(labels.basis)}."
    cost = f"{labels.cost:,.2f} {printable(labels.currency)}".strip()
    return f"{number}, {cost} ({labels.basis})."


def print_job(console: Console, result: JobResult) -> None:
    """Print what became of each stage, what the training bought, and what is to be done next."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True, overflow="ellipsis", max_width=_NAME_CHARS)
    table.add_column("state", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True, overflow="ellipsis")
    for stage in result.stages:
        table.add_row(
            Text(printable(stage.name)),
            Text(stage.state, style=_STYLES.get(stage.state, "")),
            _duration(stage.seconds) if stage.state == "done" else "",
            Text(_account(stage)),
        )
    console.print(table)
    notes = [note for stage in result.stages for note in stage.notes]
    print_notes(console, list(dict.fromkeys(notes)))
    if result.waiting is not None:
        print_paragraph(console, "Next", printable(result.waiting, max_chars=2000))
    else:
        console.print(Text(f"Files: {printable(str(result.folder))}"))


def _account(stage: StageResult) -> str:
    """Say what a stage came to, in half a line."""
    figures = stage.figures
    accounts = {
        "embed": lambda: f"{figures['rows']:,} vectors of {figures['n_dimensions']:,} numbers",
        "tasks": lambda: f"{_counted(figures['tasks'], 'task')} of {figures['prompts']:,} prompts",
        "score": lambda: f"{figures['rows']:,} prompts, {figures['tokens']:,} tokens",
        "select": lambda: f"{figures['selected']:,} of {figures['pool_rows']:,} prompts",
        "labels": lambda: f"{figures['rows']:,} labelled" + _missing(figures["missing"]),
        "train": lambda: f"{_counted(figures['steps'], 'step')}, loss {figures['loss_by_epoch'][-1]:.3f}",
        "evaluate": lambda: _headline(figures),
        "report": lambda: f"report.html, {figures['bytes'] / 1000:,.0f} kB",
    }
    return accounts[stage.section]() if figures and stage.section in accounts else ""


def _missing(count: int) -> str:
    return f", {count:,} missing" if count else ""


def _headline(figures: dict[str, Any]) -> str:
    """Give the first metric of each suite, macro over tasks."""
    said = []
    for suite, metrics in figures.items():
        for metric, values in list(metrics.items())[:1]:
            mean = values.get("macro", {}).get("mean")
            name = metric if suite in ("exact", "loss") else suite
            if isinstance(mean, float):
                said.append(f"{name} {mean:.3f}")
    return ", ".join(said)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "< 1 s"
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
