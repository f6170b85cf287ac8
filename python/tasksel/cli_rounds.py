"""The verb ``rounds``: one file in, labels bought round by round in a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import announced_stop, print_json
from tasksel.terminal_rounds import print_rounds, print_rounds_plan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("rounds")(rounds_command)


def rounds_command(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.toml", help="A job, as for `tasksel run`, with a section [rounds]."),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Run folder, instead of the file's.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print labels, tokens and money of each round. Writes nothing."),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Label in rounds: each selects with all labels so far, gets labels, trains, evaluates, and may stop.

    The same command continues: what is finished is not repeated, after a change of the file only what
    depends on it is. Where people label it ends after each selection, says what to do and exits with 3.
    """
    from tasksel.rounds import run_rounds

    is_shown = not (quiet or as_json)
    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with terminal.StageProgress(shown=is_shown and not dry_run) as progress:
            result = run_rounds(
                config, out, dry_run=dry_run, progress=progress, announce=announced_stop if is_shown else None
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet and result.plan is not None:
            print_rounds_plan(Console(), result.plan, config=str(config), folder=str(result.folder))
        elif not quiet:
            print_rounds(Console(), result)
    if result.waiting is not None:
        raise typer.Exit(NOT_GOOD_ENOUGH)
