"""The state of a run folder in the terminal: a paragraph a stage, what is wrong, what to do."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.run_status import RunStatus, StageStatus

__all__ = ["print_status"]

MAX_NAMES = 8
"""Damaged or foreign files that are named one by one; --json has all."""
STYLES = {
    "finished": "bold green",
    "running": "bold cyan",
    "interrupted": "bold yellow",
    "damaged": "bold red",
}
_MINUTE_S = 60
_HOUR_S = 3600


def print_status(console: Console, status: RunStatus) -> None:
    """Print every stage with its shards, rows, rate and time to go, then the other folders."""
    for stage in status.stages:
        _print_stage(console, stage, is_hashed=status.is_hashed)
    for other in status.others:
        name = status.folder if other.name == "." else other.name
        kind = "" if other.kind in (other.name, "other") else f" ({other.kind})"
        console.print(
            Text.assemble(
                (printable(name), "bold"), f"{printable(kind)}: ", (other.state, STYLES[other.state])
            )
        )


def _print_stage(console: Console, stage: StageStatus, *, is_hashed: bool) -> None:
    console.print(Text.assemble((printable(stage.name), "bold"), ": ", (stage.state, STYLES[stage.state])))
    lines = [_shards_line(stage, is_hashed=is_hashed)] if stage.n_shards else []
    if stage.rows:
        lines.append(_rows_line(stage))
    if stage.rows_per_s is not None and stage.eta_s is not None:
        lines.append(_rate_line(stage))
    for line in lines:
        console.print(Text(f"  {line}"))
    print_notes(console, _complaints(stage))
    if stage.state == "interrupted":
        console.print(Text("  The same command continues it.", style="dim"))


def _shards_line(stage: StageStatus, *, is_hashed: bool) -> str:
    shards = f"{stage.shards_done:,} of {_counted(stage.n_shards, 'shard')}"
    wrong = [
        f"{count:,} {what}"
        for count, what in ((stage.shards_missing, "not made yet"), (len(stage.damaged), "damaged"))
        if count
    ]
    done = "done" if is_hashed else "there (not checked)"
    return "; ".join([f"{shards} {done}", *wrong])


def _rows_line(stage: StageStatus) -> str:
    share = f" ({stage.rows_done / stage.rows:.0%})" if stage.rows_done < stage.rows else ""
    tokens = f"; {_counted(stage.tokens_done, 'token')}" if stage.tokens_done else ""
    partial = f", {stage.rows_partial:,} of them in shards that are not whole" if stage.rows_partial else ""
    return f"{stage.rows_done:,} of {_counted(stage.rows, 'row')}{share}{partial}{tokens}"


def _rate_line(stage: StageStatus) -> str:
    tokens = f", {stage.tokens_per_s:,.1f} tokens/s" if stage.tokens_per_s else ""
    togo = "to go" if stage.state == "running" else "more at that rate"
    return f"{stage.rows_per_s:,.1f} rows/s{tokens}; about {_duration(stage.eta_s or 0.0)} {togo}"


def _complaints(stage: StageStatus) -> list[str]:
    files = [(name, f"{name}: {reason}.") for name, reason in stage.damaged.items()]
    files += [(name, f"{name} does not belong to this run; remove it.") for name in stage.foreign]
    complaints = [printable(sentence) for _, sentence in itertools.islice(files, MAX_NAMES)]
    if len(files) > MAX_NAMES:
        complaints.append(f"And {len(files) - MAX_NAMES:,} more; --json names all.")
    if stage.damaged and stage.n_shards and stage.state != "running":
        complaints.append(
            "The command that made this folder makes what is damaged again, and keeps the rest."
        )
    return complaints


def _duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
