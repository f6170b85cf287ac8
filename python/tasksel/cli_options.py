"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DebugOption",
    "IdColumnOption",
    "JsonOption",
    "PoolArgument",
    "QuietOption",
    "SeedOption",
    "TaskColumnOption",
]

PoolArgument = Annotated[
    Path, typer.Argument(help="Prompts: Parquet, JSONL, JSON or CSV in any of the usual shapes.")
]
TaskColumnOption = Annotated[str | None, typer.Option(help="Column of the pool to use as task.")]
IdColumnOption = Annotated[str | None, typer.Option(help="Column of the pool to use as id.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
