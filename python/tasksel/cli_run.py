"""The verb ``run``: one file in, the whole loop in a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import complete_sections
from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import announced_stop, print_json
from tasksel.terminal_job import print_job, print_plan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("run")(run_command)


def run_command(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="The job; `tasksel init` writes one.")
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Run folder, instead of the file's.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan: rows, tokens, time, label cost. Writes nothing."),
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure", help="--dry-run: try the models on a few rows to tell the time."
        ),
    ] = True,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="SECTION", autocompletion=complete_sections, help="Run this section alone, such as train."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="SECTION",
            autocompletion=complete_sections,
            help="Run nothing after this section, such as select.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole loop from one file: tasks, scores, selection, labels, training, evaluation, report.

    The same command continues: what is finished is not repeated, after a change of the file only what
    depends on it is. Without answers to the selected prompts it ends after the selection, says what to do
    and exits with 3.
    """
    from tasksel.job import run_job

    is_shown = not (quiet or as_json)
    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with terminal.StageProgress(shown=is_shown and not dry_run) as progress:
            result = run_job(
                config,
                out,
                dry_run=dry_run,
                only=only,
                until=until,
                measure=measure,
                progress=progress,
                announce=announced_stop if is_shown else None,
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet and result.plan is not None:
            print_plan(Console(), result.plan, config=str(config), folder=str(result.folder))
        elif not quiet:
            print_job(Console(), result)
    if result.waiting is not None:
        raise typer.Exit(NOT_GOOD_ENOUGH)
