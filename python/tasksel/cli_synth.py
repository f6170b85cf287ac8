"""The verbs of synthetic data: a group of the command line whose parts register their own."""

from __future__ import annotations

import typer

from tasksel import cli_synth_edge, cli_synth_plan, cli_synth_run, cli_synth_validate

__all__ = ["register", "synth_app"]

synth_app = typer.Typer(
    name="synth",
    help="Write what the pool lacks: plan, run, validate, export synthetic data.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cli_synth_plan.register(synth_app)
cli_synth_run.register(synth_app)
cli_synth_validate.register(synth_app)
cli_synth_edge.register(synth_app)


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(synth_app)
