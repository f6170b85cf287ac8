"""The verb ``export``: a labelled selection in, files of other trainers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import complete_export_formats
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, IdColumnOption, JsonOption, QuietOption, TaskColumnOption
from tasksel.cli_output import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("export")(export_command)


def export_command(
    selected: Annotated[Path, typer.Argument(help="A selection, or any pool, with a response in every row.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the examples and what tells trainers about them.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="trl, messages, alpaca or sharegpt: the shape of an example.",
            autocompletion=complete_export_formats,
        ),
    ] = "trl",
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a labelled selection for another trainer: TRL, LLaMA-Factory, axolotl."""
    from tasksel.trainer_formats import export

    with reported_errors(debug=debug, stopped="The export is not complete; run the same command again."):
        summary = export(selected, out=out, format=format_, task_column=task_column, id_column=id_column)
        if as_json:
            print_json(summary.to_dict())
        elif not quiet:
            terminal.print_export(Console(), summary)
