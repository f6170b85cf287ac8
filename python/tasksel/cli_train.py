"""The verb ``train``: a labelled selection in, an adapter or a model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_completion import complete_dtypes, complete_models, complete_trainers
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    DebugOption,
    DeviceOption,
    IdColumnOption,
    JsonOption,
    QuietOption,
    SeedOption,
    TaskColumnOption,
)
from tasksel.cli_output import print_json, shown_progress

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("train")(train_command)


def train_command(
    selected: Annotated[
        Path, typer.Argument(help="Labelled prompts: a file with prompt and response in any usual shape.")
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            help="Model folder or hub name; 'demo' is the embedded model.", autocompletion=complete_models
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same command continues an interrupted run.")],
    r: Annotated[int, typer.Option("--r", help="Rank of LoRA.")] = 64,
    alpha: Annotated[float, typer.Option(help="Scale of LoRA: the adapter counts alpha / r.")] = 16.0,
    dropout: Annotated[float, typer.Option(help="Dropout of LoRA.")] = 0.1,
    target_modules: Annotated[
        str, typer.Option(help="Modules with an adapter: all-linear, or names with commas.")
    ] = "all-linear",
    full: Annotated[
        bool, typer.Option("--full", help="Train every parameter instead of an adapter.")
    ] = False,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", help="After warm-up; falls linearly to 0.")
    ] = 1e-4,
    warmup_ratio: Annotated[float, typer.Option(help="Share of the steps with a rising rate.")] = 0.03,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Examples of a step, whatever the device holds.")] = 128,
    device_batch_tokens: Annotated[
        int, typer.Option(help="Padded tokens that the device holds at once; steps are accumulated.")
    ] = 8192,
    epochs: Annotated[int, typer.Option(help="Passes over the examples.")] = 3,
    max_tokens: Annotated[
        int, typer.Option(help="Longest example; of longer ones the prompt is cut from the left.")
    ] = 2048,
    packing: Annotated[
        bool, typer.Option("--packing", help="Several examples in a row, kept apart, instead of padding.")
    ] = False,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory for a third more time.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also write the model with the adapter in it.")
    ] = False,
    trainer: Annotated[
        str,
        typer.Option(
            help="transformers, or trl for trl.SFTTrainer (extra trl).", autocompletion=complete_trainers
        ),
    ] = "transformers",
    prompt_template: Annotated[
        str | None, typer.Option(help="Text with {prompt} in it, the same as for `tasksel score`.")
    ] = None,
    checkpoint_every_s: Annotated[
        float, typer.Option(help="Seconds between checkpoints; what a kill can cost.")
    ] = 300.0,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="auto (bfloat16 on a GPU that has it), bfloat16, float32.", autocompletion=complete_dtypes
        ),
    ] = "auto",
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Finetune a model on a labelled selection: LoRA, or all of it, with the loss on the responses alone."""
    from tasksel.terminal_training import print_training_summary
    from tasksel.training import train

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        shown = not (quiet or as_json)
        with shown_progress("Training", "steps", shown=shown) as progress:
            summary = train(
                selected,
                model=model,
                out=out,
                r=r,
                alpha=alpha,
                dropout=dropout,
                target_modules=target_modules,
                full=full,
                learning_rate=learning_rate,
                warmup_ratio=warmup_ratio,
                weight_decay=weight_decay,
                batch_size=batch_size,
                device_batch_tokens=device_batch_tokens,
                epochs=epochs,
                max_tokens=max_tokens,
                packing=packing,
                gradient_checkpointing=gradient_checkpointing,
                merge=merge,
                trainer=trainer,
                prompt_template=prompt_template,
                checkpoint_every_s=checkpoint_every_s,
                seed=seed,
                device=device,
                dtype=dtype,
                task_column=task_column,
                id_column=id_column,
                progress=progress,
            )
        if as_json:
            print_json(summary.to_dict())
        elif shown:
            print_training_summary(Console(), summary)
