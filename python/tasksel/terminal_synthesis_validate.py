"""A validation in the terminal: gates, dimensions, what is short, what to do."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tasksel.synthesis.power import WANTED_POWER
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
    console.print(_gate_table([gate for gate in validation.gates if gate.outcome != "not measured"]))
    _print_reasons(console, validation.gates)
    for result in validation.dimensions:
        if result.is_measured and result.n_agreed < result.n_rows:
            _print_confusion(console, result)
    _print_shortfall(console, validation)
    _print_proofs(console, validation.gates)
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
    for gate in gates:
        mark, style = _MARKS[gate.outcome]
        side = "≥" if gate.at_least else "≤"
        interval = ""
        if gate.interval is not None:
            interval = f"{_figure(gate, gate.interval.low)}–{_figure(gate, gate.interval.high)}"  # noqa: RUF001
        table.add_row(
            Text(mark, style=style),
            Text(printable(gate.name, max_chars=60)),
            Text("-" if gate.value is None else _figure(gate, gate.value)),
            Text(interval),
            Text(f"{side} {_figure(gate, gate.threshold)}"),
            Text(f"{gate.n_rows:,}" if gate.n_rows else ""),
        )
    return table


def _print_reasons(console: Console, gates: list[Gate]) -> None:
    """Print what was not measured, one paragraph a reason, and what to know about what was."""
    names: dict[tuple[bool, str], list[str]] = {}
    for gate in gates:
        if gate.reason:
            names.setdefault((gate.outcome != "not measured", gate.reason), []).append(gate.name)
    for (is_measured, reason), found in sorted(names.items(), key=lambda each: each[0][0]):
        mark = "" if is_measured else "not measured: "
        line = f"{_listed(found)}: {mark}{printable(reason, max_chars=300)}"
        wrapped = textwrap.fill(line, console.width - 1, initial_indent="· ", subsequent_indent="  ")
        console.print(Text(wrapped, style="dim"))


def _listed(names: list[str]) -> str:
    """Join names; those with one beginning share it: ``edge: boundary, extreme``."""
    groups: dict[str, list[str]] = {}
    for name in names:
        base, _, subject = printable(name, max_chars=60).partition(":")
        groups.setdefault(base, []).append(subject)
    parts = [f"{base} ({', '.join(each)})" if any(each) else base for base, each in groups.items()]
    return ", ".join(parts)


def _print_proofs(console: Console, gates: list[Gate]) -> None:
    """Print what these rows see too seldom; of the other gates the number alone."""
    proven = [(gate, gate.proof) for gate in gates if gate.proof is not None]
    weak = [(gate, proof) for gate, proof in proven if proof["power"] < WANTED_POWER]
    if not proven:
        return
    console.print(Text("\nWhat these rows can prove", style="bold"))
    for gate, proof in weak:
        line = f"{printable(gate.name, max_chars=60)}: {printable(proof['sentence'])}"
        console.print(
            Text(textwrap.fill(line, console.width - 1, initial_indent="  ", subsequent_indent="    "))
        )
    others = len(proven) - len(weak)
    if others:
        verb = "gate sees" if others == 1 else "gates see"
        console.print(
            Text(f"  {others} {'other ' if weak else ''}{verb} twice what is allowed with power .80 or more.")
        )


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
