"""The verbs `synth plan` and `synth weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json
from tasksel.file_places import refuse_overwriting
from tasksel_core.errors import ConfigError

__all__ = ["read_targets", "register"]


def register(app: typer.Typer) -> None:
    """Add the verbs to the group."""
    app.command("plan")(plan_command)
    app.command("weights")(weights_command)


def plan_command(
    config: Annotated[Path, typer.Argument(help="TOML file: strata, dimensions, edge cases, schema, model.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; without one nothing is written.", show_default=False)
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(help="What is there: deficit subtracts it, sqrt, proportional follow it."),
    ] = None,
    selection: Annotated[
        Path | None, typer.Option(help="The same, where only what was selected counts: a file or its folder.")
    ] = None,
    shortfall: Annotated[
        Path | None, typer.Option(help="What a run or validation found missing: plan only that.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Plan synthetic examples: exact counts a stratum and dimension, in nested tiers."""
    from tasksel.synthesis import plan
    from tasksel.terminal_synthesis_plan import print_plan

    with reported_errors(debug=debug, stopped="Run the same command again; planning takes seconds."):
        made = plan(config, out, pool=pool, selection=selection, shortfall=shortfall)
        folder = None if out is None else str(out)
        if as_json:
            print_json({**made.to_dict(), "folder": folder})
        elif not quiet:
            print_plan(Console(), made, folder=folder)


def weights_command(
    train: Annotated[Path, typer.Argument(help="What is trained on: Parquet, JSONL, JSON or CSV.")],
    *,
    column: Annotated[str, typer.Option(help="The label's column, in all files.")],
    to: Annotated[Path | None, typer.Option(help="Data with the real label distribution.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=SHARE in reality, instead of --to; repeat it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The training rows with a column weight: .parquet or .jsonl.")
    ] = None,
    smoothing: Annotated[float, typer.Option(min=0.0, help="Rows added to each label of --to.")] = 0.0,
    cap: Annotated[float | None, typer.Option(min=1.0, help="Largest weight; their mean is 1.")] = None,
    evaluate: Annotated[
        Path | None, typer.Option(help="Examples with label and --metric, to be read both ways.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Column of --evaluate: right or wrong.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Weigh balanced training data back to the real label distribution, and evaluate both ways."""
    from tasksel.synthesis import evaluate_file, label_shares, weigh_labels
    from tasksel.terminal_synthesis_plan import print_weights

    with reported_errors(debug=debug, stopped="Nothing was written."):
        if (evaluate is None) != (metric is None):
            raise ConfigError("--evaluate and --metric go together.")
        if out is not None:
            refuse_overwriting([out], (train, to, evaluate))
        targets = read_targets(target) if target else None
        weights = weigh_labels(train, to, column=column, targets=targets, smoothing=smoothing, cap=cap)
        both = None
        if evaluate is not None and metric is not None:
            _, shares, _ = label_shares(to, targets, column)
            both = evaluate_file(evaluate, shares, column=column, metric=metric, seed=seed)
        if out is not None:
            weights.write(out)
        file = None if out is None else str(out)
        if as_json:
            evaluation = None if both is None else both.to_dict()
            print_json({**weights.to_dict(), "evaluation": evaluation, "file": file})
        elif not quiet:
            print_weights(Console(), weights, both, file=file)


def read_targets(given: list[str]) -> dict[str, float]:
    """Split each ``LABEL=SHARE`` at its last equals sign.

    Raises
    ------
    ConfigError
        One has no equals sign or no number, or a label comes twice.

    Examples
    --------
    >>> read_targets(["a=b=0.25", "c=0.75"])
    {'a=b': 0.25, 'c': 0.75}
    """
    targets: dict[str, float] = {}
    for text in given:
        label, equals, share = text.rpartition("=")
        try:
            number = float(share)
        except ValueError:
            number = -1.0
        if not equals or not label or label in targets or not number >= 0:
            raise ConfigError(f"--target {text}: allowed is LABEL=SHARE, each label once, such as spam=0.02.")
        targets[label] = number
    return targets
