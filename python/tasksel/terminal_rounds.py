"""What a person sees of rounds: a row a round with what it bought, and why they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, print_paragraph, printable
from tasksel.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tasksel.rounds import RoundRecord, RoundsResult
    from tasksel.rounds.plan import RoundsPlan

__all__ = ["print_rounds", "print_rounds_plan"]

_MILLION: Final = 1e6


def print_rounds_plan(console: Console, plan: RoundsPlan, *, config: str, folder: str) -> None:
    """Print what each round would buy, if no rule stops it, and what that rests on."""
    print_paragraph(console, "Plan  ", f"{printable(config)} in {printable(folder)}")
    rows = counted(plan.pool["rows"], "prompt")
    print_paragraph(console, "Pool  ", f"{printable(plan.pool['name'])}: {rows}")
    print_paragraph(console, "Labels", _WHO[plan.annotator])
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("round", "labels", "tokens", f"money {printable(plan.currency)}".strip()):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in plan.rounds:
        labels = "unknown" if each.new_labels is None else f"{each.new_labels:,}"
        tokens = "unknown" if each.tokens is None else _amount(each.tokens)
        money = "unknown" if each.cost is None else f"{each.cost:,.2f}"
        table.add_row(f"{each.number:,}", labels, tokens, money, "there" if each.is_there else "")
    console.print(table)
    print_paragraph(console, " ", plan.basis, style="")
    if any(each.is_there for each in plan.rounds):
        print_paragraph(
            console, " ", "What is there is done again only where the file asks for another.", style=""
        )
    console.print(Text("Nothing was written.", style="dim"))


_WHO: Final = {
    "pool": "from the responses of the pool",
    "file": "from the file that [labels] names",
    "people": "from people, round by round",
    "teacher": "from the model of [teacher]",
}


def print_rounds(console: Console, result: RoundsResult) -> None:
    """Print a table of what each round bought, the sums, and what is to be done next or why it stopped."""
    if result.rounds:
        console.print(_table(result))
        console.print(Text(result.headline))
    figures = [each.figure for each in result.rounds if each.figure is not None]
    if figures:
        over = "tasks" if figures[0].level == "macro" else "questions"
        what = f"The figure is {figures[0].metric}, mean over {over}, with its 95 % interval"
        print_paragraph(console, " ", f"{what}; a gain is over the row above.", style="")
    print_notes(console, result.notes)
    if result.stopped is not None:
        print_paragraph(console, "Stopped", f"{printable(result.stopped, max_chars=2000)}.")
    if result.waiting is not None:
        print_paragraph(console, "Next", printable(result.waiting, max_chars=2000))
    console.print(Text(f"Files: {printable(str(result.folder))}/rounds.csv, rounds.json, rounds/"))


def _table(result: RoundsResult) -> Table:
    """Leave out a column of which nothing is known."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    shown = []
    for title, cell in _COLUMNS:
        cells = [cell(each) for each in result.rounds]
        if any(cells):
            table.add_column(title, justify="right", no_wrap=True)
            shown.append(cells)
    for row in zip(*shown, strict=True):
        table.add_row(*row)
    return table


def _figure(record: RoundRecord) -> str:
    figure = record.figure
    return "" if figure is None else f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _signed(value: float | None, *, digits: int = 3) -> str:
    return "" if value is None else f"{value:+.{digits}f}"


def _amount(value: float) -> str:
    return f"{value / _MILLION:,.1f}M" if value >= _MILLION else f"{value:,.0f}"


def _money(value: float | None) -> str:
    if not value:
        return ""
    return f"{value / _MILLION:,.1f}M" if value >= _MILLION else f"{value:,.2f}"


def _gain(record: RoundRecord) -> str:
    return _signed(None if record.gain is None else record.gain.mean)


_COLUMNS: Final[tuple[tuple[str, Callable[[RoundRecord], str]], ...]] = (
    ("round", lambda each: f"{each.number:,}"),
    ("new", lambda each: f"{each.new_labels:,}"),
    ("labels", lambda each: f"{each.labels:,}"),
    ("aside", lambda each: f"{each.set_aside:,}" if each.set_aside else ""),
    ("tokens", lambda each: _amount(each.tokens)),
    ("money", lambda each: _money(each.cost)),
    ("figure", _figure),
    ("gain", _gain),
    ("/ 100\nlabels", lambda each: _signed(each.gain_per_100_labels)),
    ("/ unit of\nmoney", lambda each: _signed(each.gain_per_cost, digits=4)),
    ("radius", lambda each: "" if each.radius is None else f"{each.radius:.3g}"),
)
