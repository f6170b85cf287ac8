"""The verbs ``select`` and ``strategies``: a selection out of a pool, and what it can go by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import terminal
from tasksel.cli_completion import (
    complete_metrics,
    complete_pickers,
    complete_roundings,
    complete_strategies,
    complete_task_means,
)
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    BackendOption,
    DebugOption,
    IdColumnOption,
    JsonOption,
    PoolArgument,
    QuietOption,
    RayAddressOption,
    SeedOption,
    TaskColumnOption,
    WorkersOption,
    read_options,
)
from tasksel.cli_output import print_json
from tasksel.strategies import (
    DEFAULT_PICKER,
    DEFAULT_STRATEGY,
    ROUNDINGS,
    TASK_MEANS,
    find_picker,
    find_strategy,
    picker_names,
    strategy_names,
)
from tasksel.terminal_strategies import print_strategies, strategies_account

__all__ = ["register"]

_COSTS = "What labels cost"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("select")(select_command)
    app.command("strategies")(strategies_command)


def select_command(
    pool: PoolArgument,
    *,
    budget: Annotated[
        int | None, typer.Option("--budget", "-b", help="How many prompts to select. One budget is wanted.")
    ] = None,
    budget_tokens: Annotated[
        float | None, typer.Option(help="Instead: how many tokens of prompts and responses to spend.")
    ] = None,
    budget_cost: Annotated[
        float | None, typer.Option(help="Instead: how much money to spend; wants costs or prices.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the selection; without it only a table.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Run folder of `tasksel score`, or a file with token_logprobs or confidence."),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            help="What has labels already: it is counted and not chosen again. A run folder that labels were "
            "imported into, or a file with ids and responses.",
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="Which prompts of the pool; `tasksel strategies` lists and explains all.",
            autocompletion=complete_strategies,
        ),
    ] = DEFAULT_STRATEGY,
    within: Annotated[
        str,
        typer.Option(
            help="Which prompts of each task, where the strategy only decides how many: random, k-center, "
            "least-confident and the others of `tasksel strategies`.",
            autocompletion=complete_pickers,
        ),
    ] = DEFAULT_PICKER,
    base: Annotated[
        int | None,
        typer.Option(
            help="Prompts that every task gets before weights count. Default 5; size-proportional 0."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Exponent of the inverse confidence: 1 the paper's rule, 0 uniform.")
    ] = 1.0,
    max_weight_ratio: Annotated[
        float | None, typer.Option(help="Ceiling on the largest task weight over the smallest.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Confidence of an example: product, length-normalized, min-token, entropy, margin, "
            "min-margin. Default: the strategy's own, else product.",
            autocompletion=complete_metrics,
        ),
    ] = None,
    task_mean: Annotated[
        str,
        typer.Option(
            help=f"Mean over a task: {', '.join(TASK_MEANS)}.",
            autocompletion=complete_task_means,
        ),
    ] = "arithmetic",
    rounding: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(ROUNDINGS)}; only webster makes the selection a ranking.",
            autocompletion=complete_roundings,
        ),
    ] = "webster",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option that the strategy or --within has of its own."),
    ] = None,
    seed: SeedOption = 0,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="One vector a prompt: a run folder of `tasksel embed`, a column, a .npy or a .parquet file "
            "(file.parquet:column)."
        ),
    ] = None,
    cost_column: Annotated[
        str | None,
        typer.Option(help="Column of the pool with what each label costs.", rich_help_panel=_COSTS),
    ] = None,
    cost_per_example: Annotated[
        float, typer.Option(help="Price of a label, whatever its length.", rich_help_panel=_COSTS)
    ] = 0.0,
    cost_per_1k_prompt_tokens: Annotated[
        float, typer.Option(help="Price of 1,000 tokens that annotators read.", rich_help_panel=_COSTS)
    ] = 0.0,
    cost_per_1k_response_tokens: Annotated[
        float, typer.Option(help="Price of 1,000 tokens that they write.", rich_help_panel=_COSTS)
    ] = 0.0,
    per_cost: Annotated[
        bool,
        typer.Option(
            "--per-cost",
            help="Share out the money over tasks by their weights, not the labels.",
            rich_help_panel=_COSTS,
        ),
    ] = False,
    backend: BackendOption = "local",
    ray_address: RayAddressOption = None,
    n_workers: WorkersOption = None,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Choose which prompts to label, in which order, and say why those."""
    from tasksel.label_cost import LabelPrices
    from tasksel.selection import select

    with reported_errors(debug=debug, stopped="Nothing was written."):
        selection = select(
            pool,
            budget=budget,
            budget_tokens=budget_tokens,
            budget_cost=budget_cost,
            scores=scores,
            labelled=labelled,
            strategy=strategy,
            within=within,
            base=base,
            alpha=alpha,
            max_weight_ratio=max_weight_ratio,
            metric=metric,
            task_mean=task_mean,
            rounding=rounding,
            options=read_options(option or [], "--option"),
            seed=seed,
            embeddings=embeddings,
            cost_column=cost_column,
            prices=LabelPrices(cost_per_example, cost_per_1k_prompt_tokens, cost_per_1k_response_tokens),
            per_cost=per_cost,
            task_column=task_column,
            id_column=id_column,
            backend=backend,
            ray_address=ray_address,
            n_workers=n_workers,
            out=out,
        )
        folder = None if out is None else str(out)
        if as_json:
            allocation = selection.allocation.to_dicts()
            print_json({**selection.manifest, "allocation": allocation, "folder": folder})
        elif not quiet:
            terminal.print_selection(Console(), selection, folder=folder)


def strategies_command(
    *,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List what --strategy and --within may be: what each does, needs and takes, and where it is from."""
    with reported_errors(debug=debug, stopped="Nothing was written."):
        strategies = [find_strategy(name) for name in strategy_names()]
        pickers = [find_picker(name) for name in picker_names()]
        if as_json:
            print_json(strategies_account(strategies, pickers))
        elif not quiet:
            print_strategies(Console(), strategies, pickers)
