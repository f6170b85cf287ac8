"""A validation in the terminal: gates, dimensions, what is short, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.synthesis.gates import Gate
    from tasksel.synthesis.realised import DimensionResult
    from tasksel.synthesis.validation import Validation

__all__ = ["print_validation"]

MAX_NAME_CHARS = 26
MAX_CONFUSION_VALUES = 8
"""Values of a dimension up to which its confusion table is shown; larger ones are in confusion.parquet."""
MAX_SHORT_ROWS = 10
_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not measured": ("·", "dim")}


def print_validation(console: Console, validation: Validation, *, folder: str) -> None:
    """Print what was measured, what failed, what these rows can prove, and what to do.

    Parameters
    ----------
    console : Console
    validation : Validation
    folder : str
        Where the files are.
    """
    console.print(
        Text(
            f"{printable(validation.name)}, tier {validation.tier:,}: {validation.n_records:,} records of "
            f"{validation.n_planned:,} planned examples"
        )
    )
    console.print(_gate_table(validation.gates))
    for result in validation.dimensions:
        if result.is_measured and result.n_agreed < result.n_rows:
            _print_confusion(console, result)
    _print_shortfall(console, validation)
    proofs = [
        f"{printable(gate.name, max_chars=60)}: {printable(gate.proof['sentence'])}"
        for gate in validation.gates
        if gate.proof is not None
    ]
    if proofs:
        console.print(Text("\nWhat these rows can prove", style="bold"))
        for line in proofs:
            console.print(Text(f"  {line}"))
    console.print()
    print_notes(console, [printable(each, max_chars=1000) for each in validation.findings])
    counted = [sum(gate.outcome == outcome for gate in validation.gates) for outcome in _MARKS]
    console.print(
        Text(
            f"{counted[0]} gates passed, {counted[1]} failed, {counted[2]} were not measured. "
            f"Files in {printable(folder)}"
        )
    )


def _gate_table(gates: list[Gate]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("gate", overflow="ellipsis", no_wrap=True, max_width=MAX_NAME_CHARS)
    table.add_column("is", justify="right", no_wrap=True)
    table.add_column("95 %", justify="right", no_wrap=True)
    table.add_column("wanted", justify="right", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for gate in gates:
        mark, style = _MARKS[gate.outcome]
        side = "≥" if gate.at_least else "≤"
        interval = ""
        if gate.interval is not None:
            interval = f"{_figure(gate, gate.interval.low)}–{_figure(gate, gate.interval.high)}"  # noqa: RUF001
        table.add_row(
            Text(mark, style=style),
            Text(printable(gate.name, max_chars=60), style="" if gate.outcome != "not measured" else "dim"),
            Text("-" if gate.value is None else _figure(gate, gate.value)),
            Text(interval),
            Text(f"{side} {_figure(gate, gate.threshold)}"),
            Text(f"{gate.n_rows:,}" if gate.n_rows else ""),
            Text(printable(gate.reason, max_chars=300), style="dim"),
        )
    return table


def _figure(gate: Gate, number: float) -> str:
    """Show shares in percent, p-values and coverage as numbers."""
    base = gate.name.partition(":")[0]
    if base == "distribution":
        return "<.001" if number < 0.001 else f"{number:.3f}".removeprefix("0")
    if base == "coverage":
        return f"{number:.2f}"
    return f"{number * 100:.1f}"


def _print_confusion(console: Console, result: DimensionResult) -> None:
    """Print requested x realised, the agreeing cells plain and the others in yellow."""
    asked = [each.value for each in result.values if each.requested]
    got = [each.value for each in result.values]
    got += sorted({other for _, other in result.confusion} - set(got))
    console.print(
        Text.assemble(
            ("\n" + printable(result.name, max_chars=40), "bold"),
            f" ({result.kind}): {result.n_agreed:,} of {result.n_rows:,} as requested",
        )
    )
    if len(asked) > MAX_CONFUSION_VALUES or len(got) > MAX_CONFUSION_VALUES + 3:
        console.print(Text("  too many values for a table here; see confusion.parquet", style="dim"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("  requested", overflow="ellipsis", no_wrap=True, max_width=20)
    for value in got:
        table.add_column(Text(printable(value, max_chars=12)), justify="right", no_wrap=True)
    for one in asked:
        cells = []
        for other in got:
            count = result.confusion.get((one, other), 0)
            cells.append(Text(f"{count:,}" if count else "·", style=_cell_style(count, same=one == other)))
        table.add_row(Text("  " + printable(one, max_chars=18)), *cells)
    console.print(table)


def _cell_style(count: int, *, same: bool) -> str:
    if not count:
        return "dim"
    return "bold" if same else "yellow"


def _print_shortfall(console: Console, validation: Validation) -> None:
    short = validation.shortfall.sort("missing", descending=True, maintain_order=True)
    if short.is_empty():
        return
    console.print(Text("\nShort, for the next plan (shortfall.parquet)", style="bold"))
    for row in short.head(MAX_SHORT_ROWS).iter_rows(named=True):
        name = f"{printable(row['dimension'], max_chars=30)} {printable(row['value'], max_chars=40)}"
        console.print(Text(f"  {row['missing']:>6,}  {name}"))
    if short.height > MAX_SHORT_ROWS:
        console.print(Text(f"  and {short.height - MAX_SHORT_ROWS:,} more", style="dim"))
