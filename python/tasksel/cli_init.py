"""The verb ``init``: a pool in, a job's file with every key in it out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tasksel.cli_completion import complete_models, complete_strategies
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, IdColumnOption, JsonOption, QuietOption, TaskColumnOption
from tasksel.cli_output import print_json
from tasksel.strategies import DEFAULT_STRATEGY
from tasksel.terminal import shown_path

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("init")(init_command)


def init_command(
    context: typer.Context,
    pool: Annotated[
        str | None, typer.Argument(metavar="POOL", help="Prompts, to be looked at; without, a blank file.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("job.toml"),
    model: Annotated[
        str | None,
        typer.Option(
            help="Base model: folder, hub name, or demo. A terminal is asked.", autocompletion=complete_models
        ),
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", "-b", min=1, help="Default: a tenth of the pool.")
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="Which prompts; what it needs is switched on.",
            autocompletion=complete_strategies,
        ),
    ] = DEFAULT_STRATEGY,
    holdout: Annotated[
        Path | None, typer.Option(help="Held-out prompts with responses: switches on the evaluation.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Look at a pool and this machine, and write the file that `tasksel run` takes, every key explained."""
    from tasksel.job.template import write_job_file

    with reported_errors(debug=debug, stopped="Nothing was written."):
        if model is None and sys.stdin.isatty() and not (as_json or quiet):
            model = typer.prompt("Base model (a folder, a name on the hub, or demo)", default="demo")
        template = write_job_file(
            out,
            pool,
            flags=_flag_texts(context.find_root().command),
            model=model,
            budget=budget,
            strategy=strategy,
            holdout=holdout,
            task_column=task_column,
            id_column=id_column,
            force=force,
        )
        if as_json:
            print_json({"file": str(out), "found": template.found, "set": template.values})
        elif not quiet:
            for sentence in template.found:
                typer.echo(f"Found {shown_path(sentence)}")
            typer.echo(f"Wrote {shown_path(out)}. Next: tasksel run {shown_path(out)} --dry-run")


def _flag_texts(root: Any) -> dict[str, dict[str, Any]]:
    """Return what the command line says of each flag that is a key, by section."""
    from tasksel.job.sections import SECTIONS
    from tasksel.job.template import FlagText

    texts: dict[str, dict[str, Any]] = {}
    for section, declared in SECTIONS.items():
        if declared.verb:
            parameters = root.commands[declared.verb].params
            named = {_key_name(each): each for each in parameters}
            texts[section] = {
                name: FlagText(named[name].help or "", _plain_default(named[name]))
                for name in declared.keys
                if name in named
            }
    return texts


def _key_name(parameter: Any) -> str:
    """Return the key that a flag is: its long name."""
    long = [each for each in parameter.opts if each.startswith("--")]
    return long[0].removeprefix("--").replace("-", "_") if long else str(parameter.name)


def _plain_default(parameter: Any) -> Any:
    default = parameter.default
    return default if isinstance(default, (bool, int, float, str)) else None
