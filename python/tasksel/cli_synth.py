"""The verbs of synthetic data: a group of the command line whose parts register their own."""

from __future__ import annotations

import typer

<<<<<<< HEAD
from tasksel import cli_synth_edge, cli_synth_plan, cli_synth_validate
=======
from tasksel import cli_synth_run
>>>>>>> 624aacf (Ask models for planned examples: providers, pacing, caps, a journal of raw replies, records)

__all__ = ["synth_app"]

synth_app = typer.Typer(
    name="synth",
    help="Write what the pool lacks: plan, run, validate, export synthetic data.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

<<<<<<< HEAD
cli_synth_plan.register(synth_app)
cli_synth_validate.register(synth_app)
cli_synth_edge.register(synth_app)
=======
# Each part brings its own verbs: import `cli_synth_x` above, call its `register(synth_app)` here.
cli_synth_run.register(synth_app)
>>>>>>> 624aacf (Ask models for planned examples: providers, pacing, caps, a journal of raw replies, records)
