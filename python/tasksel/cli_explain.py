"""The verbs ``explain`` and ``diff``: selections in, reasons out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from tasksel.explanation import Explanation

__all__ = ["register"]

ANY = "any"
_NOTHING_WRITTEN = "Nothing was written."

SelectionArgument = Annotated[
    Path, typer.Argument(metavar="SELECTION", help="Folder that `tasksel select --out` wrote.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("explain")(explain_command)
    app.command("diff")(diff_command)


def explain_command(
    selection: SelectionArgument,
    *,
    example: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Why this prompt is in or out, and from which budget on; repeatable."
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(help="The pool; default: what stands beside the selection in its run folder."),
    ] = None,
    scores: Annotated[str | None, typer.Option(help="The scores; default likewise.")] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Vectors: a column, run folder, .npy or .parquet; default likewise.")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Exit with 3 where one of these signatures, comma-separated, or any is raised.",
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Explain a selection: task by task, by the signatures of known failures, or for single prompts."""
    from tasksel.explanation import explain
    from tasksel.explanation_example import explain_example
    from tasksel.terminal_explanation import print_example, print_explanation

    inputs: dict[str, Any] = {"pool": pool, "scores": scores, "embeddings": embeddings}
    with reported_errors(debug=debug, stopped=_NOTHING_WRITTEN):
        names = _signature_names(fail_on)
        if example:
            if names:
                raise ConfigError("--fail-on goes with the whole selection; leave out --example.")
            examples = [explain_example(selection, each, **inputs) for each in example]
            if as_json:
                print_json({"selection": str(selection), "examples": [each.to_dict() for each in examples]})
            elif not quiet:
                for each in examples:
                    print_example(Console(), each)
            return
        found = explain(selection, seed=seed, **inputs)
        failed = _failed(found, names)
        if as_json:
            print_json({"selection": str(selection), **found.to_dict(), "failed": failed})
        elif not quiet:
            print_explanation(Console(), found)
    if failed:
        raise typer.Exit(NOT_GOOD_ENOUGH)


def _signature_names(fail_on: str | None) -> list[str]:
    from tasksel.explanation_signature import SIGNATURE_NAMES

    if fail_on is None:
        return []
    names = [name.strip() for name in fail_on.split(",") if name.strip()]
    allowed = (*SIGNATURE_NAMES, ANY)
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"--fail-on {name}: there is no such signature; allowed: {', '.join(allowed)}."
                f"{did_you_mean(name, allowed)}"
            )
    if not names:
        raise ConfigError(f"--fail-on names no signature; allowed: {', '.join(allowed)}.")
    return names


def _failed(found: Explanation, names: list[str]) -> list[str]:
    """Return the signatures that fail: raised ones, and those asked for by name that were not measured."""
    return [
        each.name
        for each in found.signatures
        if (each.is_raised and (each.name in names or ANY in names))
        or (each.value is None and each.name in names)
    ]


def diff_command(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder that `tasksel select --out` wrote.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    *,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare two selections: what another strategy, seed, base, budget or model changes."""
    from tasksel.explanation_diff import diff
    from tasksel.terminal_explanation import print_diff

    with reported_errors(debug=debug, stopped=_NOTHING_WRITTEN):
        found = diff(a, b)
        if as_json:
            print_json({"a": str(a), "b": str(b), **found.to_dict()})
        elif not quiet:
            print_diff(Console(), found)
