"""Explanations in the terminal: tasks, signatures, one prompt, two selections side by side."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from tasksel.explanation_signature import BELOW
from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from rich.console import Console

    from tasksel.explanation import Explanation, Signature
    from tasksel.explanation_diff import SelectionDiff
    from tasksel.explanation_example import ExampleExplanation

__all__ = ["print_diff", "print_example", "print_explanation"]

MAX_TASKS: Final = 14
"""Tasks shown; the rest is named by count and stands in the account of ``--json``."""
MAX_PROMPTS: Final = 5
TASK_CHARS: Final = 60
MIN_TASK_CHARS: Final = 8
PROMPT_CHARS: Final = 400
MAX_CHARS: Final = 1_000
_LABEL_STEPS: Final = (0.1, 0.5, 1.0)


def print_explanation(console: Console, found: Explanation) -> None:
    """Print the headline, one line a task, every signature, and what more labels would buy."""
    console.print(Text(_filled(printable(found.headline, max_chars=MAX_CHARS), console.width), style="bold"))
    console.print(_tasks_table(found.tasks, console.width))
    console.print()
    for signature in found.signatures:
        _print_signature(console, signature)
    if found.covering is not None:
        console.print(Text(_filled(_covering_line(found.covering, found.figures), console.width)))
    print_notes(console, found.notes)


def _print_signature(console: Console, signature: Signature) -> None:
    mark, style = ("raised", "bold red") if signature.is_raised else ("not raised", "green")
    if signature.value is None:
        mark, style = "not measured", "yellow"
    measured = "" if signature.value is None else f"  {signature.value:.2f}"
    limit = f"{signature.threshold:.2f}"
    limit = f"  (raised below {limit})" if signature.name in BELOW else f"  (raised from {limit} on)"
    console.print(Text.assemble((f"{signature.name}: {mark}", style), measured, (limit, "dim")))
    _print_indented(console, signature.sentence)
    if signature.is_raised:
        _print_indented(console, signature.advice, mark="→ ")


def _print_indented(console: Console, text: str, *, mark: str = "") -> None:
    lead = "  " + mark
    whole = printable(text, max_chars=MAX_CHARS)
    console.print(Text(_filled(whole, console.width, lead)))


def _tasks_table(tasks: pl.DataFrame, width: int) -> Table:
    """Lay out what is known of each task; columns of which nothing is known are left out."""
    known = [name for name in _COLUMNS if tasks[name].null_count() < tasks.height]
    used = sum(_COLUMNS[name][1] + 2 for name in known)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    task_chars = min(max(width - used - 2, MIN_TASK_CHARS), TASK_CHARS)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=task_chars)
    for name in known:
        table.add_column(_COLUMNS[name][0], justify="right", no_wrap=True)
    for row in _shown(tasks):
        if row is None:
            table.add_row("…", *[""] * len(known))
        else:
            cells = [_cell(name, row) for name in known]
            table.add_row(Text(printable(row["task"], max_chars=TASK_CHARS)), *cells)
    if tasks.height > MAX_TASKS:
        table.caption = f"{tasks.height - MAX_TASKS:,} more tasks between those shown; --json has all"
        table.caption_justify = "left"
    return table


_COLUMNS: Final = {
    "available": ("prompts", 7),
    "picked": ("picked", 6),
    "weight": ("weight", 6),
    "confidence": ("confi-\ndence", 6),
    "answer_tokens": ("answer\ntokens", 6),
    "near_duplicates": ("near-\ndupl.", 5),
    "redundancy": ("redun-\ndancy", 6),
    "covering_radius": ("radius", 6),
}
"""Header and width of the figures of a task."""


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if value is None:
        return "-"
    if name in ("available", "picked"):
        return f"{value:,}" + (" all" if name == "picked" and row["capped"] else "")
    if name == "weight":
        return f"{value:.1%}" if value >= 0.0005 or value == 0 else "<0.1%"
    if name == "near_duplicates":
        return f"{value:.0%}"
    if name == "answer_tokens":
        return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    if name == "confidence" and row["log_confidence"] is not None and value < 0.001:
        return f"1e{row['log_confidence'] / 2.302585092994046:.0f}"
    return f"{value:.3g}" if name == "covering_radius" else f"{value:.3f}"


def _shown(tasks: pl.DataFrame) -> Iterator[dict[str, Any] | None]:
    """Yield the heaviest tasks and the lightest ones; None stands for those left out between."""
    ordered = tasks.sort(
        ["weight", "picked", "available", "task"], descending=[True, True, True, False], nulls_last=True
    )
    if ordered.height <= MAX_TASKS:
        yield from ordered.iter_rows(named=True)
        return
    tail = MAX_TASKS // 3
    yield from ordered.head(MAX_TASKS - tail).iter_rows(named=True)
    yield None
    yield from ordered.tail(tail).iter_rows(named=True)


def _covering_line(covering: pl.DataFrame, figures: dict[str, Any]) -> str:
    """Say how far the labels reach, and what the next ones would buy."""
    radii = covering["radius"]
    budget = int(figures["selected"])
    more = covering.height - budget
    now = f"Covering radius {radii[budget - 1]:.4g} after {budget:,} labels"
    if more < 1:
        return f"{now}."
    steps = dict.fromkeys(max(1, round(share * more)) for share in _LABEL_STEPS)
    bought = ", ".join(f"{radii[budget + step - 1]:.4g} after {step:,} more" for step in steps)
    return f"{now}; going on in the same order {bought}."


def print_example(console: Console, found: ExampleExplanation) -> None:
    """Print why one prompt is in a selection or not."""
    console.print(
        Text.assemble((printable(found.id), "bold"), f"  {printable(found.prompt, max_chars=PROMPT_CHARS)}")
    )
    for number, sentence in enumerate(found.sentences):
        style = "" if number else ("bold green" if found.is_in else "bold yellow")
        whole = printable(sentence, max_chars=MAX_CHARS)
        console.print(Text(_filled(whole, console.width), style=style))


def print_diff(console: Console, found: SelectionDiff) -> None:
    """Print what two selections share, what makes the difference, and prompts that came in and went out."""
    console.print(Text(_filled(found.headline, console.width), style="bold"))
    console.print(Text(_filled(_overlap_line(found), console.width)))
    if found.settings.height:
        console.print(_settings_table(found.settings))
    changed = found.tasks.filter(_differs(found.tasks))
    if changed.height:
        console.print(_changes_table(changed, console.width))
    for title, frame in (("Only in A", found.went_out), ("Only in B", found.came_in)):
        _print_prompts(console, title, frame)
    print_notes(console, found.notes)


def _overlap_line(found: SelectionDiff) -> str:
    parts = [f"Jaccard {found.jaccard:.2f}."]
    if found.by_quotas is not None:
        expected, deviation = found.by_quotas
        parts.append(f"Drawn at random inside each task they would share {expected:.0f} ± {deviation:.0f}.")
    if found.moved_by_quotas or found.moved_inside_tasks:
        parts.append(
            f"Of A's labels {found.moved_by_quotas:,} went out as their task gives fewer, and "
            f"{found.moved_inside_tasks:,} as it gives others."
        )
    if found.rank_correlation is not None:
        parts.append(f"Rank correlation of the shared ones: {found.rank_correlation:.2f}.")
    return " ".join(parts)


def _settings_table(settings: pl.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in ("setting", "A", "B"):
        table.add_column(header, overflow="fold")
    for row in settings.iter_rows():
        table.add_row(*(Text("-" if cell is None else printable(cell)) for cell in row))
    return table


def _differs(tasks: pl.DataFrame) -> pl.Series:
    moved = tasks["log_confidence_change"].fill_null(0.0).fill_nan(0.0) != 0.0
    return (tasks["change"] != 0) | moved


def _changes_table(tasks: pl.DataFrame, width: int) -> Table:
    with_confidence = tasks["log_confidence_change"].null_count() < tasks.height
    headers = ["prompts", "A", "B", "change", "shared"] + ["conf. A", "conf. B"] * with_confidence
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    task_chars = min(max(width - 9 * len(headers) - 2, MIN_TASK_CHARS), TASK_CHARS)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=task_chars)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in tasks.head(MAX_TASKS).iter_rows(named=True):
        cells = [f"{row[name]:,}" for name in ("available", "quota_a", "quota_b")]
        cells += [f"{row['change']:+,}", f"{row['shared']:,}"]
        cells += [_confidence(row[name]) for name in ("confidence_a", "confidence_b")] * with_confidence
        table.add_row(Text(printable(row["task"], max_chars=TASK_CHARS)), *cells)
    if tasks.height > MAX_TASKS:
        table.caption = f"{tasks.height - MAX_TASKS:,} more tasks that change; --json has all"
        table.caption_justify = "left"
    return table


def _confidence(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _print_prompts(console: Console, title: str, frame: pl.DataFrame) -> None:
    if not frame.height:
        return
    more = "" if frame.height <= MAX_PROMPTS else f", the first {MAX_PROMPTS} of {frame.height:,}"
    console.print(Text(f"{title}{more}:", style="bold"))
    for row in frame.head(MAX_PROMPTS).iter_rows(named=True):
        line = f"  {row['rank']:>6,}  {printable(row['id'], max_chars=16)}  {printable(row['prompt'])}"
        console.print(Text(_cut(line, console.width)), no_wrap=True, overflow="ellipsis")


def _filled(text: str, width: int, lead: str = "") -> str:
    """Break a paragraph into lines, but no option at its hyphens."""
    return textwrap.fill(
        text, width, initial_indent=lead, subsequent_indent=" " * len(lead), break_on_hyphens=False
    )


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
