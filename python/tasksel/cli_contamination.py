"""The verb ``contamination``: a pool and evaluation sets in, what they share out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    DebugOption,
    IdColumnOption,
    JsonOption,
    PoolArgument,
    QuietOption,
    TaskColumnOption,
)
from tasksel.cli_output import print_json
from tasksel.terminal_contamination import print_contamination

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("contamination")(contamination_command)


def contamination_command(
    pool: PoolArgument,
    *,
    against: Annotated[
        str, typer.Option(help="Comma-separated files, or mmlu, bbh, alpaca_eval with --benchmarks.")
    ],
    benchmarks: Annotated[
        Path | None, typer.Option(help="Folder with mmlu_test.parquet, bbh.parquet, alpaca_eval.parquet.")
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Column of vectors that the pool and all references have.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for hits.parquet and the manifest.")] = None,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Look for rows of a pool that an evaluation set holds too; ask before a study reports."""
    from tasksel.contamination import check_contamination

    with reported_errors(debug=debug, stopped="Nothing was written."):
        found = check_contamination(
            pool,
            [name.strip() for name in against.split(",") if name.strip()],
            benchmarks=benchmarks,
            embeddings=embeddings,
            out=out,
            task_column=task_column,
            id_column=id_column,
        )
        if as_json:
            print_json({**found.to_dict(), "folder": None if out is None else str(out)})
        elif not quiet:
            print_contamination(Console(), found)
