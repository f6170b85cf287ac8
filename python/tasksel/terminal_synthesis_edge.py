"""Edge cases and probes in the terminal: what was made, what failed, where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tasksel.synthesis.edge_run import EdgeSummary
    from tasksel.synthesis.probe import ProbeSummary

__all__ = ["print_edge_summary", "print_probe", "printable_content"]

MAX_SIGNATURES = 8
MAX_VARIANTS = 3
CATEGORY_CHARS = 22
JSON_TEXT_CHARS = 4000


def printable_content(content: Any) -> Any:
    r"""Return a JSON-compatible value whose texts, keys included, hold no control characters.

    Examples
    --------
    >>> printable_content({"line": ["a\x1b[31m", 1]})
    {'line': ['a\\x1b[31m', 1]}
    """
    if isinstance(content, str):
        return printable(content, max_chars=JSON_TEXT_CHARS)
    if isinstance(content, dict):
        return {printable_content(key): printable_content(each) for key, each in content.items()}
    return [printable_content(each) for each in content] if isinstance(content, (list, tuple)) else content


def print_edge_summary(console: Console, summary: EdgeSummary) -> None:
    """Print a row a category: planned, made, left, and what the proofs say."""
    table = _table("edge case")
    for header in (
        "planned",
        "made",
        "not\npossible",
        "for a\nmodel",
        "proved",
        "dis-\nproved",
        "un-\nproved",
    ):
        table.add_column(header, justify="right", no_wrap=True)
    keys = ("planned", "made", "unfulfilled", "left_to_model", "proved", "disproved", "unproved")
    for each in summary.categories:
        table.add_row(_name(each["edge"]), *(f"{each[key]:,}" for key in keys))
    console.print(table)
    print_notes(console, summary.notes)
    console.print(Text(f"Wrote {printable(summary.folder)}"))


def print_probe(console: Console, summary: ProbeSummary) -> None:
    """Print a row a category, the kinds of failures, and where the next batch looks."""
    batches = "one batch" if summary.iterations == 1 else f"{summary.iterations} batches"
    console.print(Text(f"{printable(summary.command)}: {batches}"))
    console.print(_category_table(summary.categories))
    _print_signatures(console, summary.signatures)
    _print_plan(console, summary.plan)
    print_notes(console, summary.notes)
    console.print(Text(f"Wrote {printable(summary.folder)}: results.parquet, failures.jsonl, next_plan.toml"))


def _category_table(categories: Sequence[dict[str, Any]]) -> Table:
    table = _table("examples")
    for header in ("run", "failed", "rate in\nbatch 1", "95 %", "p", "errors\nat exit 0", "kinds"):
        table.add_column(header, justify="right", no_wrap=True)
    for each in categories:
        rate = "-" if each["rate"] is None else f"{each['rate']:.0%}"
        interval = "-" if each["low"] is None else f"{100 * each['low']:.0f}-{100 * each['high']:.0f}"
        counts = [f"{each[key]:,}" for key in ("complained", "signatures")]
        run, failed = f"{each['run']:,}", f"{each['failed']:,}"
        table.add_row(
            _name(each["category"]), run, failed, rate, interval, _p_value(each["p_value"]), *counts
        )
    return table


def _p_value(value: float | None) -> str:
    if value is None:
        return "-"
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _print_signatures(console: Console, signatures: Sequence[dict[str, Any]]) -> None:
    if not signatures:
        console.print(Text("\nNothing failed, and nothing was said of an error."))
        return
    console.print(Text("\nWhat went wrong:", style="bold"))
    for each in signatures[:MAX_SIGNATURES]:
        where = ", ".join(f"{name} {count}" for name, count in each["categories"].items())
        what = printable(each["signature"], max_chars=160)
        console.print(Text.assemble((f"{each['count']:,} × ", "bold"), f"{what} ({printable(where)})"))
        if each["change"]:
            console.print(Text(f"    {printable(each['change'], max_chars=150)}", style="dim"))
        if each["input"]:
            console.print(Text(f"    {printable(each['input'])}", style="dim"))
    if len(signatures) > MAX_SIGNATURES:
        console.print(Text(f"{len(signatures) - MAX_SIGNATURES:,} more kinds are in failures.jsonl"))


def _print_plan(console: Console, plan: Sequence[dict[str, Any]]) -> None:
    planned: dict[str, list[tuple[int, str]]] = {}
    for each in plan:
        planned.setdefault(each["category"], []).append((each["planned"], each["variant"]))
    totals = sorted(((sum(count for count, _ in each), name) for name, each in planned.items()), reverse=True)
    if not totals:
        return
    console.print(Text("\nThe next batch:", style="bold"))
    for total, name in totals:
        most = sorted(planned[name], key=lambda each: (-each[0], each[1]))[:MAX_VARIANTS]
        ways = ", ".join(f"{variant} {count}" for count, variant in most if count)
        console.print(Text(f"{total:>5,}  {printable(name, max_chars=CATEGORY_CHARS)}: {printable(ways)}"))


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, overflow="ellipsis", no_wrap=True, max_width=CATEGORY_CHARS)
    return table


def _name(text: str) -> Text:
    return Text(printable(text, max_chars=CATEGORY_CHARS))
