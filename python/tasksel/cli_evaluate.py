"""The verb ``evaluate``: a model or its answers in, figures with intervals out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_completion import complete_models, complete_suites
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import (
    DebugOption,
    DeviceOption,
    DtypeOption,
    IdColumnOption,
    JsonOption,
    QuietOption,
    SeedOption,
    TaskColumnOption,
)
from tasksel.cli_output import print_json, shown_progress
from tasksel.endpoint import DEFAULT_KEY_VARIABLE
from tasksel.terminal_evaluation import print_evaluation
from tasksel_core.errors import ConfigError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("evaluate")(evaluate_command)


def evaluate_command(
    pool: Annotated[
        Path | None, typer.Argument(help="Held-out prompts with responses, for the suites exact and loss.")
    ] = None,
    *,
    suite: Annotated[
        str,
        typer.Option(
            help="Comma-separated: exact (answers against a pool's responses), loss (cross-entropy of these "
            "responses), mmlu, bbh, winrate, lm-eval:TASK (extra eval).",
            autocompletion=complete_suites,
        ),
    ] = "exact",
    model: Annotated[
        str | None,
        typer.Option(
            help="Model folder or hub name; 'demo' is the embedded model.", autocompletion=complete_models
        ),
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
        Path | None, typer.Option(help="A judge's verdicts for winrate: Parquet, JSONL, JSON, CSV or TSV.")
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
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
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
