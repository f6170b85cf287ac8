"""The verb ``score``: a pool in, scores in a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import complete_apis, complete_engines, complete_models
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    BackendOption,
    DebugOption,
    DeviceOption,
    DtypeOption,
    IdColumnOption,
    JsonOption,
    PoolArgument,
    QuietOption,
    RayAddressOption,
    TaskColumnOption,
    WorkersOption,
    read_options,
)
from tasksel.cli_output import announced_stop, print_json, shown_progress

__all__ = ["register"]

_HF = "Options of --engine hf"
_SERVER = "Options of --engine openai"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("score")(score_command)


def score_command(
    pool: PoolArgument,
    *,
    model: Annotated[
        str,
        typer.Option(
            help="Model folder or hub name, or its name at a server; 'demo' is the embedded one.",
            autocompletion=complete_models,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same command continues an interrupted run.")],
    engine: Annotated[
        str,
        typer.Option(
            help="Who answers: hf (transformers, in this process), openai (any OpenAI-compatible server), "
            "vllm (in this process).",
            autocompletion=complete_engines,
        ),
    ] = "hf",
    adapter: Annotated[
        Path | None, typer.Option(help="LoRA adapter of the model, or the folder of `tasksel train`.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    prompt_template: Annotated[
        str | None,
        typer.Option(help="Text with {prompt} in it, for a model without a chat template."),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option(help="Padded prompt and answer tokens of one batch.", rich_help_panel=_HF)
    ] = 8192,
    max_batch_rows: Annotated[
        int, typer.Option(help="Most prompts of one batch.", rich_help_panel=_HF)
    ] = 128,
    shard_rows: Annotated[int, typer.Option(help="Prompts per file; what a kill can cost.")] = 256,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    embed_from: Annotated[
        str | None,
        typer.Option(
            help="hidden: keep the model's own embedding of each prompt, from the same pass.",
            rich_help_panel=_HF,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Of the server, as http://localhost:8000/v1.", rich_help_panel=_SERVER),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            help="completions (default) or chat.", rich_help_panel=_SERVER, autocompletion=complete_apis
        ),
    ] = None,
    top_logprobs: Annotated[
        int | None,
        typer.Option(
            help="Tokens behind the truncated entropy, also of vllm. Default 20.", rich_help_panel=_SERVER
        ),
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="Most requests at a time.", rich_help_panel=_SERVER)
    ] = None,
    engine_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An option that the engine has of its own, as timeout_s=60 or tensor_parallel_size=4.",
        ),
    ] = None,
    backend: BackendOption = "local",
    ray_address: RayAddressOption = None,
    n_workers: WorkersOption = None,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Let a model answer every prompt, and record the log-probability of each token that it generates."""
    from tasksel.scoring import score

    is_shown = not (quiet or as_json)
    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with shown_progress("Scoring", "prompts", shown=is_shown) as progress:
            summary = score(
                pool,
                model=model,
                out=out,
                engine=engine,
                adapter=None if adapter is None else str(adapter),
                max_new_tokens=max_new_tokens,
                prompt_template=prompt_template,
                batch_tokens=batch_tokens,
                max_batch_rows=max_batch_rows,
                shard_rows=shard_rows,
                device=device,
                dtype=dtype,
                embed_from=embed_from,
                base_url=base_url,
                api=api,
                top_logprobs=top_logprobs,
                max_concurrency=max_concurrency,
                engine_options=read_options(engine_option or [], "--engine-option"),
                backend=backend,
                ray_address=ray_address,
                n_workers=n_workers,
                task_column=task_column,
                id_column=id_column,
                progress=progress,
                announce=announced_stop if is_shown else None,
            )
        if as_json:
            print_json(summary.to_dict())
        elif not quiet:
            terminal.print_score_summary(Console(), summary)
