"""The verb ``tasksel synth validate`` asks whether a synthetic set is what was planned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json
from tasksel.endpoint import DEFAULT_KEY_VARIABLE
from tasksel_core.errors import ConfigError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the group."""
    app.command("validate")(validate_command)


def validate_command(
    run: Annotated[Path, typer.Argument(help="Run folder with a plan; results go to validation/ in it.")],
    *,
    records: Annotated[
        Path | None, typer.Option(help="Records with plan_id and prompt; default: those of the run.")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(help="Real rows, with label columns where a classifier is to learn.")
    ] = None,
    embeddings_synth: Annotated[
        str | None, typer.Option(help="One vector a record: a column, .npy or .parquet file.")
    ] = None,
    embeddings_real: Annotated[
        str | None, typer.Option(help="One vector a real row: a column, .npy or .parquet file.")
    ] = None,
    embedding_model: Annotated[
        str | None, typer.Option(help="Model whose mean hidden states are the vectors of both, instead.")
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible base URL of a judge, ending in /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Name of the judging model.")] = None,
    judge_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the judge's key.")
    ] = DEFAULT_KEY_VARIABLE,
    judge_concurrency: Annotated[int, typer.Option(min=1, help="Requests to the judge at a time.")] = 4,
    tier: Annotated[
        int | None, typer.Option(help="Tier to look at; default: the smallest that holds all records.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare records with their plan, with real rows and with themselves; exit code 3 if a gate fails."""
    from tasksel.endpoint import Endpoint
    from tasksel.synthesis.checkers import JudgeAccess
    from tasksel.synthesis.validation import VALIDATION_FOLDER, validate
    from tasksel.terminal_synthesis_validate import print_validation

    with reported_errors(debug=debug, stopped="A judge's replies are kept; run the same command again."):
        if (judge_url is None) != (judge_model is None):
            raise ConfigError("--judge-url and --judge-model belong together; one of them is missing.")
        judge = None
        if judge_url is not None and judge_model is not None:
            endpoint = Endpoint(judge_url, key_variable=judge_key_env)
            judge = JudgeAccess(endpoint, judge_model, judge_concurrency)
        validation = validate(
            run,
            records=records,
            real=real,
            synthetic_embeddings=embeddings_synth,
            real_embeddings=embeddings_real,
            embedding_model=embedding_model,
            judge=judge,
            tier=tier,
            seed=seed,
        )
        folder = str(run / VALIDATION_FOLDER)
        if as_json:
            print_json({**validation.to_dict(), "folder": folder})
        elif not quiet:
            print_validation(Console(), validation, folder=folder)
    if validation.failed:
        raise typer.Exit(NOT_GOOD_ENOUGH)
