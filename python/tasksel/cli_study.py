"""The verb ``study``: ways of spending labels in, a comparison out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import print_json, shown_progress

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("study")(study_command)


def study_command(
    study: Annotated[Path, typer.Argument(help="TOML file: worlds, arms, budgets, seeds; see studies/.")],
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for everything; the same command continues an interrupted study.")
    ],
    store: Annotated[
        Path | None,
        typer.Option(help="Folder for draws and trainings that several studies share; default: --out."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Base model for every world instead of its own: try a large study with 'demo'."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Processes side by side; default one a core.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare ways of spending labels: select, train, evaluate, many times over, with random beside them."""
    from tasksel.study import run_study
    from tasksel.terminal_study import print_study

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        shown = not (quiet or as_json)
        with shown_progress("Study", "draws and trainings", shown=shown) as progress:
            result = run_study(
                study,
                out=out,
                store=store,
                model=model,
                jobs=jobs,
                progress=None if progress is None else lambda done, total, _: progress(done, total, 0),
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet:
            print_study(Console(), result)
