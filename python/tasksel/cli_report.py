"""The verb `report`: one HTML file about a selection, a run, a study or a synthetic run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json
from tasksel.terminal import shown_path

__all__ = ["register"]

_SELECTIONS = "Options of selections and runs"
_SYNTHESIS = "Options of `tasksel synth`"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("report")(report_command)


def report_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of `select --out`, `study` or `synth`, or one with selections in it.",
        ),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="The file; default: report.html in the folder.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each plot as a file besides.")
    ] = None,
    plot_format: Annotated[str, typer.Option(help="Of --plots: svg, png or html.")] = "svg",
    pool: Annotated[
        str | None,
        typer.Option(
            help="What was selected from. Default of these three: what stands beside the selection.",
            rich_help_panel=_SELECTIONS,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(help="Scores: a run folder or a file.", rich_help_panel=_SELECTIONS),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="Vectors: a run folder, a column, a .npy or a .parquet.", rich_help_panel=_SELECTIONS
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="Real prompts that the synthetic ones are to cover.", rich_help_panel=_SYNTHESIS),
    ] = None,
    embeddings_real: Annotated[
        str | None,
        typer.Option(help="Vectors of --real: a column, a .npy or a .parquet.", rich_help_panel=_SYNTHESIS),
    ] = None,
    embeddings_synth: Annotated[
        str | None,
        typer.Option(
            help="Vectors of the synthetic records, in their order or by id.", rich_help_panel=_SYNTHESIS
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one HTML file that shows what was selected, found or made, and why; it makes no request."""
    from tasksel.report.report import write_report_files

    with reported_errors(debug=debug, stopped="No report was written."):
        report, written = write_report_files(
            folder,
            out,
            pool=pool,
            scores=scores,
            embeddings=embeddings,
            plots=plots,
            plot_format=plot_format,
            real=real,
            real_embeddings=embeddings_real,
            synthetic_embeddings=embeddings_synth,
            seed=seed,
        )
        if as_json:
            print_json(
                {
                    "report": str(report),
                    "bytes": report.stat().st_size,
                    "plots": [str(each) for each in written],
                }
            )
        elif not quiet:
            typer.echo(f"Wrote {shown_path(report)}")
            if written:
                typer.echo(f"Wrote {len(written)} plot{'s' * (len(written) != 1)} to {shown_path(plots)}")
