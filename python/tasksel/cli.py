"""The command line: parses, calls, prints, exits.

Exit codes: 0 done, 1 the machine failed (disk full, unwritable folder), 2 a user's mistake, 130 stopped
with Ctrl-C.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import cli_coverage, cli_embed, cli_report, cli_score, cli_status, terminal
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
from tasksel.cli_output import print_json, shown_progress
from tasksel.cli_synth import synth_app
from tasksel.endpoint import DEFAULT_KEY_VARIABLE
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
from tasksel.terminal_contamination import print_contamination
from tasksel.terminal_evaluation import print_evaluation
from tasksel_core import __version__
from tasksel_core.errors import ConfigError

__all__ = ["app", "main"]

app = typer.Typer(
    name="tasksel",
    help="Decide which prompts to pay for: label-efficient data selection for supervised finetuning of LLMs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(synth_app)


@app.callback(invoke_without_command=True)
def root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Decide which prompts to pay for."""
    if version:
        typer.echo(f"tasksel {__version__}")
        raise typer.Exit


cli_score.register(app)
cli_embed.register(app)
cli_status.register(app)


@app.command("select")
def select_command(
    pool: PoolArgument,
    *,
    budget: Annotated[int, typer.Option("--budget", "-b", help="How many prompts to select.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the selection; without it only a table.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Run folder of `tasksel score`, or a file with token_logprobs or confidence."),
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="Which prompts of the pool; `tasksel strategies` lists and explains all.")
    ] = DEFAULT_STRATEGY,
    within: Annotated[
        str,
        typer.Option(
            help="Which prompts of each task, where the strategy only decides how many: random, k-center, "
            "least-confident and the others of `tasksel strategies`."
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
            "min-margin. Default: the strategy's own, else product."
        ),
    ] = None,
    task_mean: Annotated[
        str, typer.Option(help=f"Mean over a task: {', '.join(TASK_MEANS)}.")
    ] = "arithmetic",
    rounding: Annotated[
        str, typer.Option(help=f"{', '.join(ROUNDINGS)}; only webster makes the selection a ranking.")
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
    from tasksel.selection import select

    with reported_errors(debug=debug, stopped="Nothing was written."):
        selection = select(
            pool,
            budget=budget,
            scores=scores,
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


@app.command("export")
def export_command(
    selected: Annotated[Path, typer.Argument(help="A selection, or any pool, with a response in every row.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the examples and what tells trainers about them.")],
    format_: Annotated[
        str, typer.Option("--format", help="trl, messages, alpaca or sharegpt: the shape of an example.")
    ] = "trl",
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a labelled selection for another trainer: TRL, LLaMA-Factory, axolotl."""
    from tasksel.trainer_formats import export

    with reported_errors(debug=debug, stopped="The export is not complete; run the same command again."):
        summary = export(selected, out=out, format=format_, task_column=task_column, id_column=id_column)
        if as_json:
            print_json(summary.to_dict())
        elif not quiet:
            terminal.print_export(Console(), summary)


@app.command("contamination")
def contamination_command(
    pool: PoolArgument,
    *,
    against: Annotated[
        str, typer.Option(help="Comma-separated files, or mmlu, bbh, alpaca_eval with --benchmarks.")
    ],
    benchmarks: Annotated[
        Path | None, typer.Option(help="Folder with mmlu_test.parquet, bbh.parquet, alpaca_eval.parquet.")
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Column of vectors that the pool and all references have.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for hits.parquet and the manifest.")] = None,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Look for rows of a pool that an evaluation set holds too; ask before a study reports."""
    from tasksel.contamination import check_contamination

    with reported_errors(debug=debug, stopped="Nothing was written."):
        found = check_contamination(
            pool,
            [name.strip() for name in against.split(",") if name.strip()],
            benchmarks=benchmarks,
            embeddings=embeddings,
            out=out,
            task_column=task_column,
            id_column=id_column,
        )
        if as_json:
            print_json({**found.to_dict(), "folder": None if out is None else str(out)})
        elif not quiet:
            print_contamination(Console(), found)


@app.command("strategies")
def strategies_command(
    *,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List what --strategy and --within may be: what each does, needs and takes, and where it is from."""
    with reported_errors(debug=debug, stopped="Nothing was written."):
        strategies = [find_strategy(name) for name in strategy_names()]
        pickers = [find_picker(name) for name in picker_names()]
        if as_json:
            print_json(terminal.strategies_account(strategies, pickers))
        else:
            terminal.print_strategies(Console(), strategies, pickers)


@app.command("train")
def train_command(
    selected: Annotated[
        Path, typer.Argument(help="Labelled prompts: a file with prompt and response in any usual shape.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Model folder or hub name; 'demo' is the embedded model.")],
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
        str, typer.Option(help="transformers, or trl for trl.SFTTrainer (extra trl).")
    ] = "transformers",
    prompt_template: Annotated[
        str | None, typer.Option(help="Text with {prompt} in it, the same as for `tasksel score`.")
    ] = None,
    checkpoint_every_s: Annotated[
        float, typer.Option(help="Seconds between checkpoints; what a kill can cost.")
    ] = 300.0,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="auto (bfloat16 on a GPU that has it), bfloat16, float32.")
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


@app.command("evaluate")
def evaluate_command(
    pool: Annotated[
        Path | None, typer.Argument(help="Held-out prompts with responses, for the suites exact and loss.")
    ] = None,
    *,
    suite: Annotated[
        str,
        typer.Option(
            help="Comma-separated: exact (answers against a pool's responses), loss (cross-entropy of these "
            "responses), mmlu, bbh, winrate, lm-eval:TASK (extra eval)."
        ),
    ] = "exact",
    model: Annotated[
        str | None, typer.Option(help="Model folder or hub name; 'demo' is the embedded model.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="LoRA adapter of the model, or the folder of `tasksel train`.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Run folder of `tasksel score` over the pool, instead of a model.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the evaluation; needed where a model answers.")
    ] = None,
    benchmarks: Annotated[
        Path | None, typer.Option(help="Folder with mmlu_test.parquet, mmlu_dev.parquet, bbh.parquet.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="A judge's verdicts for winrate: Parquet or JSONL.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Generator in the verdicts that the others were compared with.")
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible base URL of a judge for winrate, ending in /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Name of the judging model.")] = None,
    judge_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the judge's key.")
    ] = DEFAULT_KEY_VARIABLE,
    judge_logprobs: Annotated[
        bool, typer.Option(help="Ask the judge for its first token's probabilities.")
    ] = True,
    judge_concurrency: Annotated[int, typer.Option(min=1, help="Requests to the judge at a time.")] = 4,
    include_path: Annotated[
        Path | None, typer.Option(help="Folder with task files of lm-evaluation-harness.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer of exact, in tokens.")] = 64,
    prompt_template: Annotated[
        str | None, typer.Option(help="Text with {prompt} in it, for a model without a chat template.")
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option(help="Longest example of loss; of longer ones the prompt is cut from the left."),
    ] = 2048,
    mmlu_shots: Annotated[int, typer.Option(min=0, help="Solved examples before an MMLU question.")] = 5,
    bbh_shots: Annotated[int, typer.Option(min=0, help="Solved examples before a BBH question.")] = 3,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Padded tokens of one batch.")] = 8192,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    seed: SeedOption = 0,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what a model is worth: by task, macro and micro, with intervals."""
    from tasksel.endpoint import Endpoint
    from tasksel.evaluation import EvaluationSettings, evaluate
    from tasksel.judge import JudgeSettings

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        if (judge_url is None) != (judge_model is None):
            raise ConfigError("--judge-url and --judge-model belong together; one of them is missing.")
        endpoint = None if judge_url is None else Endpoint(judge_url, key_variable=judge_key_env)
        judge = (
            None
            if judge_model is None
            else JudgeSettings(judge_model, logprobs=judge_logprobs, concurrency=judge_concurrency)
        )
        with shown_progress("Evaluating", "prompts", shown=not (quiet or as_json)) as progress:
            evaluation = evaluate(
                pool,
                model=model,
                adapter=None if adapter is None else str(adapter),
                scores=scores,
                suites=[name.strip() for name in suite.split(",")],
                out=out,
                benchmarks=benchmarks,
                verdicts=verdicts,
                baseline=baseline,
                judge=judge,
                endpoint=endpoint,
                include_path=include_path,
                settings=EvaluationSettings(
                    max_new_tokens=max_new_tokens,
                    prompt_template=prompt_template,
                    max_tokens=max_tokens,
                    mmlu_shots=mmlu_shots,
                    bbh_shots=bbh_shots,
                    batch_tokens=batch_tokens,
                    device=device,
                    dtype=dtype,
                    seed=seed,
                ),
                task_column=task_column,
                id_column=id_column,
                progress=progress,
            )
        if as_json:
            print_json(evaluation.to_dict())
        elif not quiet:
            print_evaluation(Console(), evaluation)


@app.command("study")
def study_command(
    study: Annotated[Path, typer.Argument(help="TOML file: worlds, arms, budgets, seeds; see studies/.")],
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for everything; the same command continues an interrupted study.")
    ],
    store: Annotated[
        Path | None,
        typer.Option(help="Folder for draws and trainings that several studies share; default: --out."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Base model for every world instead of its own: try a large study with 'demo'."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Processes side by side; default one a core.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare ways of spending labels: select, train, evaluate, many times over, with random beside them."""
    from tasksel.study import run_study
    from tasksel.terminal_study import print_study

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        shown = not (quiet or as_json)
        with shown_progress("Study", "draws and trainings", shown=shown) as progress:
            result = run_study(
                study,
                out=out,
                store=store,
                model=model,
                jobs=jobs,
                progress=None if progress is None else lambda done, total, _: progress(done, total, 0),
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet:
            print_study(Console(), result)


@app.command("demo")
def demo_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")] = Path(
        "tasksel-demo"
    ),
    pool: Annotated[Path | None, typer.Option(help="Your own pool; default: the embedded toy world.")] = None,
    model: Annotated[str, typer.Option(help="Model folder or hub name.")] = "demo",
    budget: Annotated[
        int | None, typer.Option("--budget", "-b", min=1, help="Default: a fifth of the pool.")
    ] = None,
    seed: SeedOption = 0,
    task_column: TaskColumnOption = None,
    id_column: IdColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole loop on the embedded model: score, select in four ways, train on each, evaluate."""
    from tasksel.demo import run_demo

    with reported_errors(debug=debug, stopped="Run the same command again to continue."):
        with terminal.StageProgress(shown=not (quiet or as_json)) as progress:
            result = run_demo(
                out,
                pool=pool,
                model=model,
                budget=budget,
                seed=seed,
                task_column=task_column,
                id_column=id_column,
                progress=progress,
            )
        if as_json:
            print_json(result.to_dict())
        elif not quiet:
            terminal.print_demo(Console(), result)


cli_coverage.register(app)
cli_report.register(app)


def main() -> None:
    """Run the command line; the entry point of the ``tasksel`` script."""
    app()
