"""The verb `report`: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("report")(report_command)


def report_command(
    folder: Annotated[Path, typer.Argument(help="Run folder of `tasksel synth`.")],
    *,
    out: Annotated[Path | None, typer.Option(help="The file; default: report.html in the folder.")] = None,
    real: Annotated[
        Path | None, typer.Option(help="Real prompts that the synthetic ones are to cover.")
    ] = None,
    embeddings_real: Annotated[
        str | None, typer.Option(help="Vectors of --real: a column, a .npy or a .parquet.")
    ] = None,
    embeddings_synth: Annotated[
        str | None, typer.Option(help="Vectors of the synthetic records, in their order or by id.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one HTML file about a run: what was planned, what was made, and what is missing."""
    from tasksel.report import write_report

    with reported_errors(debug=debug, stopped="No report was written."):
        path = write_report(
            folder,
            out,
            real=real,
            real_embeddings=embeddings_real,
            synthetic_embeddings=embeddings_synth,
            seed=seed,
        )
        if as_json:
            print_json({"report": str(path), "bytes": path.stat().st_size})
        elif not quiet:
            typer.echo(f"Wrote {path}")
