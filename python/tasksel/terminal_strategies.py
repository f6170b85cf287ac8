"""What a person sees of strategies and pickers: what each does, needs and takes."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tasksel.terminal import print_paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tasksel.strategies import Picker, Strategy

__all__ = ["print_strategies", "strategies_account"]


def print_strategies(console: Console, strategies: Sequence[Strategy], pickers: Sequence[Picker]) -> None:
    """Print what each strategy does, needs and takes, and the names that --within takes."""
    console.print(Text("--strategy: which prompts of the pool", style="bold"))
    for strategy in strategies:
        _print_entry(console, strategy, takes_within=_allocates(strategy))
    over_the_pool = {strategy.name for strategy in strategies if not _allocates(strategy)}
    console.print(Text("\n--within: which prompts of a task, each taken on its own", style="bold"))
    for picker in pickers:
        if picker.name not in over_the_pool:
            _print_entry(console, picker, takes_within=False)
    both = [picker.name for picker in pickers if picker.name in over_the_pool]
    print_paragraph(console, " ", f"As the strategies of the same name: {', '.join(both)}.")


def _allocates(strategy: Strategy) -> bool:
    return strategy.base is not None


def _print_entry(console: Console, entry: Strategy | Picker, *, takes_within: bool) -> None:
    """Print a name and what it does, then indented what it needs and takes, and where it is from."""
    wrapped = textwrap.fill(f"{entry.name}: {entry.summary}", console.width - 2, subsequent_indent=" " * 4)
    name, rest = wrapped[: len(entry.name)], wrapped[len(entry.name) :]
    console.print(Text.assemble("  ", (name, "bold"), rest.replace("\n", "\n  ")))
    needs = [f"needs {' and '.join(sorted(entry.needs, reverse=True))}"] if entry.needs else []
    metric = [f"metric {entry.metric}"] if entry.metric else []
    within = ["takes --within"] if takes_within else []
    options = [
        f"--option {option.name}={option.default:g} by default: {option.summary}; {option.allowed()}"
        for option in entry.options
    ]
    for line in ("; ".join([*needs, *metric, *within]), *options, entry.reference):
        if line:
            print_paragraph(console, "     ", line, style="")


def strategies_account(strategies: Sequence[Strategy], pickers: Sequence[Picker]) -> dict[str, Any]:
    """Return a JSON-compatible account of strategies and pickers."""
    return {
        "strategies": [{**_account(each), "allocates": _allocates(each)} for each in strategies],
        "pickers": [_account(each) for each in pickers],
    }


def _account(entry: Strategy | Picker) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "needs": sorted(entry.needs),
        "metric": entry.metric,
        "options": [asdict(option) for option in entry.options],
        "reference": entry.reference,
    }
