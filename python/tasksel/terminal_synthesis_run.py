"""A run of a plan in the terminal: how far it is, what was mended and rejected, tokens and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from tasksel.synthesis.generation_rehearsal import DryRun
    from tasksel.synthesis.generation_summary import GenerationSummary

__all__ = ["print_dry_run", "print_generation"]

MAX_STRATA = 14
MAX_MESSAGE_CHARS = 4_000


def print_generation(console: Console, summary: GenerationSummary) -> None:
    """Print counts, and a row a stratum that lacks items."""
    name = printable(summary.run, max_chars=40)
    console.print(
        Text(f"{name}: {summary.accepted:,} of {summary.planned:,} examples of tier {summary.tier:,}")
    )
    for label, counts in (
        ("steps", summary.steps),
        ("repairs", summary.repairs),
        ("rejected", summary.rejects),
    ):
        if counts:
            console.print(Text(f"{label}: {_listed(counts)}"))
    console.print(Text(_spent_line(summary)))
    if summary.short:
        console.print(_short_table(summary))
    print_notes(console, _notes(summary))


def print_dry_run(console: Console, plan: DryRun) -> None:
    """Print what would be sent, and the first request in full."""
    console.print(
        Text(
            f"tier {plan.tier:,}: {plan.accepted:,} of {plan.planned:,} examples are there; "
            f"{plan.requests:,} requests for the rest"
        )
    )
    expected = "unknown before the first reply" if plan.output_tokens is None else f"{plan.output_tokens:,}"
    console.print(Text(f"tokens to read, estimated: {plan.input_tokens:,}"))
    console.print(
        Text(f"tokens to write, estimated: {expected}; at most {plan.most_output_tokens:,} in these requests")
    )
    if plan.most_cost is None:
        console.print(Text("cost: unknown, since the configuration has no [price]"))
    else:
        cost = "unknown" if plan.cost is None else f"{plan.cost:.4f}"
        console.print(
            Text(f"cost, estimated: {cost}; at most {plan.most_cost:.4f} {plan.currency} in these requests")
        )
    console.print(Text("Corrections, fresh tries and top-ups come on top. Nothing was sent."))
    for role, text in plan.first_request:
        console.print(Text(f"\n[{role}]", style="bold"))
        for line in text.splitlines():
            console.print(Text(printable(line, max_chars=MAX_MESSAGE_CHARS)))


def _spent_line(summary: GenerationSummary) -> str:
    about = "about " if summary.is_estimate else ""
    cost = "unknown" if summary.cost is None else f"{about}{summary.cost:.4f} {summary.currency}"
    return (
        f"{summary.replies:,} replies; tokens {about}{summary.input_tokens:,} read, "
        f"{about}{summary.output_tokens:,} written; cost {cost}"
    )


def _short_table(summary: GenerationSummary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("short of items", overflow="ellipsis", no_wrap=True, max_width=40)
    for header in ("planned", "there", "asked for"):
        table.add_column(header, justify="right", no_wrap=True)
    for each in summary.short[:MAX_STRATA]:
        figures = (each.planned, each.accepted, each.asked)
        table.add_row(Text(printable(each.stratum, max_chars=40)), *(f"{count:,}" for count in figures))
    return table


def _notes(summary: GenerationSummary) -> list[str]:
    notes = []
    if len(summary.short) > MAX_STRATA:
        notes.append(f"{len(summary.short) - MAX_STRATA:,} more strata are short.")
    if summary.ended is not None:
        notes.append(
            f"Ended before everything was asked: {summary.ended}. What was answered is kept; the same "
            "command continues."
        )
    elif summary.short and summary.is_finished:
        notes.append(
            "These strata were asked for twice the plan and stay short; rejects.jsonl has each reason."
        )
    elif not summary.is_finished:
        notes.append("Not finished; `tasksel synth run` continues.")
    if summary.steps.get("cut prompts"):
        notes.append(
            f"{summary.steps['cut prompts']:,} requests did not fit the model's context and lost their "
            "beginning; ask for fewer items a request, lower max_tokens, or use a model that reads more."
        )
    if summary.is_estimate:
        notes.append("The provider did not report all tokens; those are estimated at four bytes a token.")
    return notes


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
