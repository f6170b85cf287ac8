"""The verb ``tasks``: a pool in, the pool with tasks and a task model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import complete_metrics, complete_sentence_models
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    DebugOption,
    DeviceOption,
    IdColumnOption,
    JsonOption,
    PoolArgument,
    QuietOption,
    SeedOption,
    TaskColumnOption,
)
from tasksel.cli_output import announced_stop, print_json
from tasksel.endpoint import DEFAULT_KEY_VARIABLE, Endpoint, check_base_url, check_key_variable
from tasksel.terminal_tasks import print_discovery
from tasksel_core.errors import ConfigError

__all__ = ["register"]

_SEARCH = "How tasks are found"
_REPORT = "The granularity report"
_TAGS = "Names by a model"


def _complete_methods(incomplete: str) -> list[str]:
    return [each for each in ("k-means", "hdbscan") if each.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("tasks")(tasks_command)


def tasks_command(
    pool: PoolArgument,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="The pool with its tasks, .parquet or .jsonl; without it only a table."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="One vector a prompt: a run folder of `tasksel embed`, a column, a .npy or a .parquet file. "
            "Default: prompts are embedded here."
        ),
    ] = None,
    using: Annotated[
        Path | None,
        typer.Option(help="Task model of an earlier `tasksel tasks`: new prompts get the same tasks."),
    ] = None,
    model_out: Annotated[
        Path | None,
        typer.Option(help="Folder of the task model. Default: beside --out, POOL2-tasks of POOL2.parquet."),
    ] = None,
    n_tasks: Annotated[
        str | None,
        typer.Option(
            metavar="N|N:M",
            help="So many, or the best number of a range. Default: a range by pool size.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="k-means (default), or hdbscan of scikit-learn.",
            rich_help_panel=_SEARCH,
            autocompletion=_complete_methods,
        ),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            help="Prompts of the smallest task. Default: a quarter of the root of the pool's size.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    templates: Annotated[
        bool | None,
        typer.Option(
            "--templates/--no-templates",
            help="Whether prompts that share an instruction template are a task (default: yes).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    embedding_model: Annotated[
        str | None,
        typer.Option(
            help="Encoder of prompts without embeddings, as `embed --model`.",
            rich_help_panel=_SEARCH,
            autocompletion=complete_sentence_models,
        ),
    ] = None,
    device: DeviceOption = "auto",
    budget: Annotated[
        int | None,
        typer.Option("--budget", "-b", help="Labels to allocate. Default: a tenth.", rich_help_panel=_REPORT),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of `tasksel score`, or a file: shows how weights concentrate.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="Confidence of an example, as `select --metric`.",
            rich_help_panel=_REPORT,
            autocompletion=complete_metrics,
        ),
    ] = "product",
    tag_endpoint: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible endpoint, as http://localhost:8000/v1.", rich_help_panel=_TAGS),
    ] = None,
    tag_model: Annotated[
        str | None, typer.Option(help="Name of the model at the endpoint.", rich_help_panel=_TAGS)
    ] = None,
    tag_key_env: Annotated[
        str, typer.Option(help="Environment variable with the endpoint's key.", rich_help_panel=_TAGS)
    ] = DEFAULT_KEY_VARIABLE,
    tag_concurrency: Annotated[
        int, typer.Option(min=1, help="Requests at a time.", rich_help_panel=_TAGS)
    ] = 4,
    tag_max_requests: Annotated[
        int, typer.Option(min=0, help="Most requests in all; 0 is no cap.", rich_help_panel=_TAGS)
    ] = 0,
    tag_max_tokens: Annotated[
        int, typer.Option(min=0, help="Most tokens in all, read and written.", rich_help_panel=_TAGS)
    ] = 0,
    seed: SeedOption = 0,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Find the tasks of a pool that has none, or cut them anew: templates first, then clusters."""
    from tasksel.sentence_embedding import MINILM
    from tasksel.task_discovery import TagSettings, assign_tasks, discover_tasks, parse_n_tasks

    searched = {
        "--n-tasks": n_tasks,
        "--method": method,
        "--min-size": min_size,
        "--templates": templates,
        "--embedding-model": embedding_model,
        "--tag-endpoint": tag_endpoint,
        "--tag-model": tag_model,
    }
    shown = not (quiet or as_json)
    with reported_errors(debug=debug, stopped="Run the same command again; embeddings are kept with --out."):
        shared: dict[str, Any] = {
            "embeddings": embeddings,
            "budget": budget,
            "scores": scores,
            "metric": metric,
            "device": device,
            "task_column": task_column,
            "id_column": id_column,
            "out": out,
            "model_out": model_out,
            "announce": announced_stop if shown else None,
        }
        with terminal.StageProgress(shown=shown) as progress:
            if using is not None:
                _refuse_search(searched)
                found = assign_tasks(pool, using, progress=progress, **shared)
            else:
                tagging = None
                if _is_tagged(tag_endpoint, tag_model, tag_key_env):
                    tagging = TagSettings(
                        Endpoint(str(tag_endpoint), key_variable=tag_key_env),
                        str(tag_model),
                        concurrency=tag_concurrency,
                        max_requests=tag_max_requests,
                        max_total_tokens=tag_max_tokens,
                    )
                found = discover_tasks(
                    pool,
                    n_tasks=None if n_tasks is None else parse_n_tasks(n_tasks),
                    method=method or "k-means",
                    min_size=min_size,
                    templates=templates is not False,
                    embedding_model=embedding_model or MINILM,
                    seed=seed,
                    tagging=tagging,
                    progress=progress,
                    **shared,
                )
        if as_json:
            print_json({**found.to_dict(), "out": None if out is None else str(out)})
        elif not quiet:
            print_discovery(Console(), found, out=out, model_out=model_out)


def _refuse_search(given: dict[str, Any]) -> None:
    """Refuse what says how tasks are looked for where they are there already."""
    for flag, value in given.items():
        if value is not None:
            raise ConfigError(f"{flag} says how tasks are found, and --using takes those found before.")


def _is_tagged(endpoint: str | None, model: str | None, key_variable: str) -> bool:
    if (endpoint is None) != (model is None):
        raise ConfigError("--tag-endpoint and --tag-model belong together; one of them is missing.")
    if endpoint is None:
        return False
    check_base_url("--tag-endpoint", endpoint)
    check_key_variable("--tag-key-env", key_variable)
    return True
