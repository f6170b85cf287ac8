"""Coverage in the terminal: the headline, what is wrong, the gaps with examples of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tasksel.data_coverage import LEGACY_WARNING
from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from tasksel.data_coverage import Coverage

__all__ = ["print_coverage"]

MAX_GAPS = 8
MAX_LEVELS = 10
EXEMPLAR_CHARS = 44
STYLES = {"good": "bold green", "fair": "bold yellow", "gaps": "bold red", "unknown": "bold"}
FIGURE_NAMES = {
    "total_variation": "total variation",
    "near_duplicates": "near-duplicates",
    "near_copies": "near-copies of real",
    "copies": "copies of real",
    "vendi_ratio": "Vendi ratio",
    "sliced_wasserstein": "sliced Wasserstein",
}


def print_coverage(
    console: Console,
    found: Coverage,
    real: pl.DataFrame,
    *,
    gate: float | None = None,
    legacy: float | None = None,
) -> None:
    """Print the headline with its meaning, the figures beside real ones, the gaps, and the flags.

    Parameters
    ----------
    console : Console
    found : Coverage
    real : pl.DataFrame
        The real pool with ``prompt``, whose rows the exemplars are.
    gate : float, optional
        What the headline was to reach.
    legacy : float, optional
        The popular number.
    """
    console.print(_headline(found))
    console.print(Text(f"{found.n_synthetic:,} synthetic rows against {found.n_real:,} real ones."))
    if found.figures.height:
        console.print(_figures_table(found))
    if found.gaps.height:
        console.print(_gaps_table(found, real))
    if found.levels.height:
        console.print(_levels_table(found))
    print_notes(console, [f"{flag.name}: {flag.message}" for flag in found.flags])
    for note in found.notes:
        console.print(Text(note, style="dim"))
    if legacy is not None:
        console.print(Text(f"Legacy score: {legacy:.2f}"))
        print_notes(console, [LEGACY_WARNING])
    if gate is not None:
        passed = found.passes(gate)
        said = "passed" if passed else "failed"
        console.print(Text(f"Gate {gate:.2f}: {said}", style="green" if passed else "bold red"))


def _headline(found: Coverage) -> Text:
    if found.coverage_equivalent is None or found.interval is None or found.null is None:
        return Text("Coverage cannot be told.", style=STYLES["unknown"])
    value = found.coverage_equivalent
    low, high = found.interval
    return Text.assemble(
        "Coverage-equivalent ",
        (f"{value:.2f} ({found.verdict})", STYLES[found.verdict]),
        f", interval {low:.2f} to {high:.2f}; as if {1 - value:.0%} of the real mass were missing, by "
        f"{found.regions}.",
    )


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(headers[0], overflow="ellipsis", no_wrap=True, max_width=30)
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _figures_table(found: Coverage) -> Table:
    table = _table("at equal size", "synthetic", "real", "band of real", "")
    for row in found.figures.iter_rows(named=True):
        table.add_row(
            FIGURE_NAMES.get(row["figure"], row["figure"]),
            f"{row['synthetic']:.3f}",
            f"{row['real']:.3f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            Text("out", style="bold red") if row["is_out"] else "",
        )
    return table


def _gaps_table(found: Coverage, real: pl.DataFrame) -> Table:
    table = _table("gap: a real prompt of it", "real", "synthetic", "at most")
    table.columns[0].max_width = EXEMPLAR_CHARS
    for row in found.gaps.head(MAX_GAPS).iter_rows(named=True):
        exemplar = real["prompt"][row["exemplars"][0]] if row["exemplars"] else f"cluster {row['cluster']}"
        table.add_row(Text(printable(exemplar, max_chars=EXEMPLAR_CHARS)), *_share_cells(row))
    if found.gaps.height > MAX_GAPS:
        table.add_row(Text(f"and {found.gaps.height - MAX_GAPS} more", style="dim"))
    return table


def _levels_table(found: Coverage) -> Table:
    table = _table("level", "real", "synthetic", "at most", "covered")
    for row in found.levels.head(MAX_LEVELS).iter_rows(named=True):
        name = printable(f"{row['dimension']} {row['level']}", max_chars=30)
        covered = "-" if row["covered"] is None else f"{row['covered']:.0%}"
        table.add_row(Text(name), *_share_cells(row), covered)
    if found.levels.height > MAX_LEVELS:
        table.add_row(Text(f"and {found.levels.height - MAX_LEVELS} more", style="dim"))
    return table


def _share_cells(row: dict[str, Any]) -> list[str]:
    shares = (row["real_share"], row["synthetic_share"], row["high"])
    return ["-" if share is None else f"{share:.1%}" for share in shares]
