"""The verb ``demo``: the whole loop on what the package holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import complete_models
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    DebugOption,
    IdColumnOption,
    JsonOption,
    QuietOption,
    SeedOption,
    TaskColumnOption,
)
from tasksel.cli_output import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("demo")(demo_command)


def demo_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")] = Path(
        "tasksel-demo"
    ),
    pool: Annotated[Path | None, typer.Option(help="Your own pool; default: the embedded toy world.")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Model folder or hub name.",
            autocompletion=complete_models,
        ),
    ] = "demo",
    budget: Annotated[
        int | None, typer.Option("--budget", "-b", min=1, help="Default: a fifth of the pool.")
    ] = None,
    seed: SeedOption = 0,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole loop on the embedded model: score, select in four ways, train on each, evaluate."""
    from tasksel.demo import run_demo

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with terminal.StageProgress(shown=not (quiet or as_json)) as progress:
            result = run_demo(
                out,
                pool=pool,
                model=model,
                budget=budget,
                seed=seed,
                task_column=task_column,
                id_column=id_column,
                progress=progress,
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet:
            terminal.print_demo(Console(), result)
