"""The verb ``annotate teacher``: a selection in, the answers of a model among the labels of a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, DeviceOption, JsonOption, QuietOption
from tasksel.cli_output import print_json, shown_progress
from tasksel.terminal_teacher import print_teacher_estimate, print_teacher_summary, show_spending

__all__ = ["register"]

_STOPPED = "Replies that arrived are kept; run the same command again to continue."
_QUESTION = "How it is asked"
_LABELS = "What becomes a label"
_PACE = "How fast"
_CAPS = "What may be spent, in all runs of the folder (0: no cap)"


def register(app: typer.Typer) -> None:
    """Add the verb to the group ``annotate``."""
    app.command("teacher")(teacher_command)


def teacher_command(
    selection: Annotated[
        Path,
        typer.Argument(
            metavar="SELECTION", help="Folder of `tasksel select --out`, or a file in any usual shape."
        ),
    ],
    *,
    into: Annotated[
        Path, typer.Option(help="Run folder: labels go to its labels/, replies to its teacher/.")
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Its name at the endpoint; a local folder or hub name; 'demo' is the embedded one."
        ),
    ],
    endpoint: Annotated[
        str, typer.Option(help="Base URL of any OpenAI-compatible server, as http://localhost:8000/v1.")
    ] = "",
    provider: Annotated[
        str | None,
        typer.Option(help="openai, anthropic, or hf (a model in this process); default by --endpoint."),
    ] = None,
    key_variable: Annotated[
        str,
        typer.Option(help="Environment variable with the key; default OPENAI_API_KEY or ANTHROPIC_API_KEY."),
    ] = "",
    folder: Annotated[
        str, typer.Option(help="Its folder in the run; another teacher or question wants another.")
    ] = "teacher",
    system: Annotated[
        str, typer.Option(help="System message before every prompt.", rich_help_panel=_QUESTION)
    ] = "",
    prompt_template: Annotated[
        str | None, typer.Option(help="Text with {prompt} in it.", rich_help_panel=_QUESTION)
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 to 2; default 0, and 0.7 with samples.", rich_help_panel=_QUESTION),
    ] = None,
    top_p: Annotated[float, typer.Option(help="Above 0, up to 1.", rich_help_panel=_QUESTION)] = 1.0,
    max_tokens: Annotated[
        int, typer.Option(help="Longest answer, in tokens.", rich_help_panel=_QUESTION)
    ] = 1_024,
    seed: Annotated[
        int | None,
        typer.Option(help="Of sampling, sent where the provider takes one.", rich_help_panel=_QUESTION),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            "-n",
            help="Answers to each prompt; the most frequent one counts.",
            rich_help_panel=_LABELS,
        ),
    ] = 1,
    keep_truncated: Annotated[
        bool,
        typer.Option("--keep-truncated", help="Cut answers become labels too.", rich_help_panel=_LABELS),
    ] = False,
    keep_refusals: Annotated[
        bool,
        typer.Option("--keep-refusals", help="Refusals in words become labels too.", rich_help_panel=_LABELS),
    ] = False,
    keep_reasoning: Annotated[
        bool,
        typer.Option(
            "--keep-reasoning", help="Leave <think>…</think> in the labels.", rich_help_panel=_LABELS
        ),
    ] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-j", help="Most requests at a time.", rich_help_panel=_PACE)
    ] = 8,
    requests_per_minute: Annotated[int, typer.Option(help="0: no limit.", rich_help_panel=_PACE)] = 0,
    tokens_per_minute: Annotated[int, typer.Option(help="0: no limit.", rich_help_panel=_PACE)] = 0,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", help="Longest wait for a reply.", rich_help_panel=_PACE)
    ] = 120.0,
    max_requests: Annotated[int, typer.Option(help="Requests.", rich_help_panel=_CAPS)] = 0,
    max_total_tokens: Annotated[
        int, typer.Option(help="Tokens of prompts and answers.", rich_help_panel=_CAPS)
    ] = 0,
    max_cost: Annotated[float, typer.Option(help="Money; wants prices.", rich_help_panel=_CAPS)] = 0.0,
    input_price: Annotated[
        float | None, typer.Option(help="Of a million tokens read.", rich_help_panel=_CAPS)
    ] = None,
    output_price: Annotated[
        float | None, typer.Option(help="Of a million tokens written.", rich_help_panel=_CAPS)
    ] = None,
    currency: Annotated[str, typer.Option(help="Of the prices.", rich_help_panel=_CAPS)] = "USD",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and what it costs; send nothing.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="Local model whose tokenizer counts the prompts of a dry run.")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Let a model answer the selected prompts; its answers become labels. Run it again to continue.

    Keys come from the environment alone. Prompts with a label are not asked. Refusals, cut and empty answers
    are set aside with their reason. Exit code 3: a cap ended the run, or prompts got no answer.
    """
    from tasksel.teacher import TeacherLimits, TeacherSettings, ask_teacher, estimate_teacher

    with reported_errors(debug=debug, stopped=_STOPPED):
        teacher = TeacherSettings(
            model=model,
            provider=provider,
            endpoint=endpoint,
            key_variable=key_variable,
            system=system,
            prompt_template=prompt_template,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
            samples=samples,
            keep_truncated=keep_truncated,
            keep_refusals=keep_refusals,
            keep_reasoning=keep_reasoning,
            timeout_s=timeout_s,
            device=device,
        )
        limits = TeacherLimits(
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_requests=max_requests,
            max_total_tokens=max_total_tokens,
            max_cost=max_cost,
            input_price=input_price,
            output_price=output_price,
            currency=currency,
        )
        if dry_run:
            plan = estimate_teacher(
                selection, teacher, into=into, limits=limits, folder=folder, tokenizer=tokenizer
            )
            if as_json:
                print_json(plan.to_dict())
            elif not quiet:
                print_teacher_estimate(Console(), plan)
            return
        with shown_progress("Asking", "replies", shown=not (quiet or as_json)) as progress:
            summary = ask_teacher(
                selection,
                teacher,
                into=into,
                limits=limits,
                folder=folder,
                progress=None if progress is None else show_spending(progress),
            )
        if as_json:
            print_json(summary.to_dict())
        elif not quiet:
            print_teacher_summary(Console(), summary)
    if not summary.is_finished:
        raise typer.Exit(NOT_GOOD_ENOUGH)
