"""The command line: verbs in their panels, and how it starts; each verb stands in a module of its own."""

from __future__ import annotations

import inspect
from typing import Annotated, Final

import typer

from tasksel import (
    cli_annotate,
    cli_contamination,
    cli_coverage,
    cli_demo,
    cli_embed,
    cli_evaluate,
    cli_explain,
    cli_export,
    cli_init,
    cli_report,
    cli_rounds,
    cli_run,
    cli_score,
    cli_select,
    cli_status,
    cli_study,
    cli_synth,
    cli_tasks,
    cli_train,
)
from tasksel.cli_errors import EXIT_CODES
from tasksel_core import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="tasksel",
    help="Decide which prompts to pay for: label-efficient data selection for supervised finetuning of LLMs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes:\n\n" + "\n\n".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Decide which prompts to pay for."""
    if version:
        typer.echo(f"tasksel {__version__}")
        raise typer.Exit


_PANELS: Final = {
    "Start here": (cli_init, cli_run, cli_rounds, cli_demo),
    "The loop": (
        cli_score,
        cli_embed,
        cli_tasks,
        cli_select,
        cli_annotate,
        cli_export,
        cli_train,
        cli_evaluate,
        cli_report,
        cli_study,
    ),
    "Looking at pools, runs and selections": (cli_explain, cli_status, cli_contamination),
    "Synthetic data": (cli_synth, cli_coverage),
}
"""What `tasksel --help` groups the verbs by, in its order; a module registers one verb or some."""


def _register_all() -> None:
    """Let each module add its verbs, and put them into the panel."""
    for panel, modules in _PANELS.items():
        first_command, first_group = len(app.registered_commands), len(app.registered_groups)
        for module in modules:
            module.register(app)
        for command in app.registered_commands[first_command:]:
            command.rich_help_panel = panel
        for group in app.registered_groups[first_group:]:
            group.rich_help_panel = panel
    groups = [group.typer_instance for group in app.registered_groups]
    for each in (app, *(group for group in groups if group is not None)):
        _let_help_flow(each)


def _let_help_flow(verbs: typer.Typer) -> None:
    """Join the lines of each paragraph of a verb's docstring, which typer would keep as they stand."""
    for command in verbs.registered_commands:
        paragraphs = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")
        command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)


_register_all()


def main() -> None:
    """Run the command line; the entry point of the ``tasksel`` script."""
    app()
