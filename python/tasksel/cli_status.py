"""The verb ``status``: a run folder in, what stands in it out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import print_json
from tasksel.terminal_status import print_status

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("status")(status_command)


def status_command(
    run: Annotated[Path, typer.Argument(help="Run folder, as given to --out.")],
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not read the shards to compare them with their checksums.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what of a run is finished, running, missing or damaged; exits with 3 where something is damaged.

    Nothing is written. A run that goes on elsewhere is not disturbed.
    """
    from tasksel.run_status import read_status

    with reported_errors(debug=debug, stopped="Nothing was written."):
        status = read_status(run, hashes=not fast)
        if as_json:
            print_json(status.to_dict())
        elif not quiet:
            print_status(Console(), status)
    if not status.is_in_order:
        raise typer.Exit(NOT_GOOD_ENOUGH)
