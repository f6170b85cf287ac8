"""The verbs that run a plan: run, status, reparse, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import MACHINE_FAILURE, NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import print_json, shown_progress
from tasksel.terminal_synthesis_edge import print_edge_summary
from tasksel.terminal_synthesis_run import print_dry_run, print_generation

if TYPE_CHECKING:
    from tasksel.synthesis.generation_summary import GenerationSummary

__all__ = ["register"]

_STOPPED = "Replies that arrived are kept; run the same command again to continue."
RunArgument = Annotated[Path, typer.Argument(help="Folder of `tasksel synth plan`.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the group."""
    app.command("run")(run_command)
    app.command("status")(status_command)
    app.command("reparse")(reparse_command)
    app.command("export")(export_command)


def run_command(
    run: RunArgument,
    *,
    tier: Annotated[str, typer.Option(help="How far: a tier of the plan, such as 100 or 1000, or full.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist that there is something to continue.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and what it costs; send nothing.")
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-j", min=1, help="Requests under way; default: the configuration's."),
    ] = None,
    exemplars: Annotated[
        Path | None,
        typer.Option(help="Pool of real texts to show, with the stratum as task."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a model for the planned examples; the same command continues an interrupted run.

    Edge cases that a program can make are made from what the model wrote. Exit code 3: the run ended, but
    strata lack items.
    """
    from tasksel.synthesis.edge_run import make_edge_records, wants_edge_records
    from tasksel.synthesis.generation_rehearsal import rehearse
    from tasksel.synthesis.generation_run import generate

    with reported_errors(debug=debug, stopped=_STOPPED):
        shown = None if exemplars is None else _read_exemplars(exemplars)
        if dry_run:
            plan = rehearse(run, tier=tier, exemplars=shown)
            if as_json:
                print_json(plan.to_dict())
            elif not quiet:
                print_dry_run(Console(), plan)
            return
        with shown_progress("Asking", "requests", shown=not (quiet or as_json)) as progress:
            summary = generate(
                run, tier=tier, resume=resume, concurrency=concurrency, exemplars=shown, progress=progress
            )
        edges = make_edge_records(run) if summary.is_finished and wants_edge_records(run) else None
        if as_json:
            print_json(summary.to_dict() | ({} if edges is None else {"edge_cases": edges.to_dict()}))
        elif not quiet:
            print_generation(Console(), summary)
            if edges is not None:
                print_edge_summary(Console(), edges)
    _exit(summary, is_short=edges is not None and edges.is_short)


def status_command(
    run: RunArgument, *, as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False
) -> None:
    """Say how far a run is, what was rejected, and what was spent."""
    from tasksel.synthesis.generation_run import describe_status

    with reported_errors(debug=debug, stopped="Nothing was changed."):
        _print(describe_status(run), as_json=as_json, quiet=quiet)


def reparse_command(
    run: RunArgument, *, as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False
) -> None:
    """Read the replies of a run again and write its records anew; nothing is sent, nothing is paid."""
    from tasksel.synthesis.generation_run import reparse

    with reported_errors(debug=debug, stopped="The replies are as they were."):
        summary = reparse(run)
        _print(summary, as_json=as_json, quiet=quiet)
    _exit(summary)


def export_command(
    run: RunArgument,
    *,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .jsonl or .csv.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the records of a run as a pool that every other verb reads."""
    from tasksel.synthesis.records import export_records

    with reported_errors(debug=debug, stopped="The file is as it was."):
        rows = export_records(run, out)
        if as_json:
            print_json({"file": out.name, "rows": rows})
        elif not quiet:
            Console().print(f"{rows:,} records in {out}", markup=False, highlight=False, soft_wrap=True)


def _read_exemplars(path: Path) -> dict[str, list[str]]:
    from tasksel.pool import read_pool
    from tasksel_core.errors import SchemaError

    frame = read_pool(path)
    if "task" not in frame.columns:
        raise SchemaError(f"{path.name} has no tasks; exemplars want the stratum as task.")
    exemplars: dict[str, list[str]] = {}
    for task, prompt in frame.select("task", "prompt").iter_rows():
        exemplars.setdefault(task, []).append(prompt)
    return exemplars


def _print(summary: GenerationSummary, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(summary.to_dict())
    elif not quiet:
        print_generation(Console(), summary)


def _exit(summary: GenerationSummary, *, is_short: bool = False) -> None:
    """End with the code that says what the run came to."""
    if summary.was_given_up:
        raise typer.Exit(MACHINE_FAILURE)
    if summary.short or is_short:
        raise typer.Exit(NOT_GOOD_ENOUGH)
