"""``tasksel synth edge`` and ``tasksel synth probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json, shown_progress
from tasksel.terminal_synthesis_edge import print_edge_summary, print_probe, printable_content
from tasksel_core.errors import ConfigError

__all__ = ["register"]

RunArgument = Annotated[Path, typer.Argument(help="Run folder with a plan and generated records.")]
ProbedRunArgument = Annotated[
    Path | None, typer.Argument(help="Run folder whose edge cases are used; or name a file with --batch.")
]
CommandOption = Annotated[
    str,
    typer.Option(help="Your program and its arguments, {file} where the examples' file goes. No shell."),
]
OutOption = Annotated[
    Path, typer.Option(help="Folder of the results; the same command continues a stopped probe.")
]
BatchOption = Annotated[
    Path | None,
    typer.Option(help="JSONL, JSON or Parquet: edge cases (item, edge), or items to make them from."),
]
SchemaOption = Annotated[Path | None, typer.Option(help="JSON Schema of an item of --batch.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the group."""
    app.command("edge")(edge_command)
    app.command("probe")(probe_command)


def edge_command(
    run: RunArgument,
    *,
    replace_disproved: Annotated[
        bool, typer.Option("--replace-disproved", help="Make those again that a model wrote and got wrong.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Make the planned edge cases that need no model, prove all; exit code 3 if some cannot be made."""
    from tasksel.synthesis.edge_run import make_edge_records

    with reported_errors(debug=debug, stopped="Run the same command again."):
        summary = make_edge_records(run, replace_disproved=replace_disproved)
        if as_json:
            print_json(printable_content(summary.to_dict()))
        elif not quiet:
            print_edge_summary(Console(), summary)
    if summary.is_short:
        raise typer.Exit(NOT_GOOD_ENOUGH)


def probe_command(
    run: ProbedRunArgument = None,
    *,
    command: CommandOption,
    out: OutOption,
    batch: BatchOption = None,
    schema: SchemaOption = None,
    per_example: Annotated[
        bool, typer.Option("--per-example", help="One run an example, not several halved on failure.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="jsonl, json, or txt (the prompt alone, one run an example).")
    ] = "jsonl",
    timeout_s: Annotated[float, typer.Option(help="Seconds that a run may take.")] = 60.0,
    iterations: Annotated[
        int,
        typer.Option(min=1, help="Batches at most, each where the last failed, until nothing new does."),
    ] = 1,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Edge cases of a made batch. Default: as the first, or 64."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples that a run gets at most.")] = 16,
    control: Annotated[int, typer.Option(min=0, help="Ordinary examples, to compare with.")] = 40,
    max_failure_rate: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Exit code 3 if more of a category's first batch fails."),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run edge cases through your own program: what fails, how often, against ordinary ones, what next."""
    from tasksel.synthesis.probe import ProbeSettings, probe

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        source = run if batch is None else batch
        if source is None or (run is not None and batch is not None):
            raise ConfigError("Name a run folder, or a file with --batch; one of the two.")
        settings = ProbeSettings(
            per_example=per_example,
            timeout_s=timeout_s,
            iterations=iterations,
            format=format_,
            batch_size=batch_size,
            size=size,
            control=control,
            seed=seed,
        )
        with shown_progress("Probing", "examples", shown=not (quiet or as_json)) as progress:
            summary = probe(command, source, out=out, schema=schema, settings=settings, progress=progress)
        if as_json:
            print_json(printable_content(summary.to_dict()))
        elif not quiet:
            print_probe(Console(), summary)
    if max_failure_rate is not None and summary.worst_rate > max_failure_rate:
        raise typer.Exit(NOT_GOOD_ENOUGH)
