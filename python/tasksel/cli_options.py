"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from tasksel.cli_completion import complete_backends, complete_devices, complete_dtypes
from tasksel_core.errors import ConfigError

__all__ = [
    "BackendOption",
    "DebugOption",
    "DeviceOption",
    "DtypeOption",
    "IdColumnOption",
    "JsonOption",
    "PoolArgument",
    "QuietOption",
    "RayAddressOption",
    "SeedOption",
    "TaskColumnOption",
    "WorkersOption",
    "read_options",
]

_RAY = "Options of --backend ray"

PoolArgument = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        help="Prompts: Parquet, JSONL, JSON or CSV in any of the usual shapes; a path or a URL.",
    ),
]
TaskColumnOption = Annotated[str | None, typer.Option(help="Column of the pool to use as task.")]
IdColumnOption = Annotated[str | None, typer.Option(help="Column of the pool to use as id.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
DeviceOption = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda, cuda:1, mps.",
        autocompletion=complete_devices,
    ),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16, float16.",
        autocompletion=complete_dtypes,
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        help="local (this process) or ray.",
        autocompletion=complete_backends,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="A running cluster, as auto or HEAD:6379; else one is started here.", rich_help_panel=_RAY
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Workers at a time; default one for each GPU, or two.", rich_help_panel=_RAY),
]


def read_options(given: list[str], flag: str) -> dict[str, str]:
    """Split each ``NAME=VALUE`` that a flag was given.

    Raises
    ------
    ConfigError
        One has no equals sign, or a name comes twice.
    """
    options: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or name in options:
            raise ConfigError(f"{flag} {text}: allowed is NAME=VALUE, each name once.")
        options[name] = value
    return options
