"""The verbs of annotation: a group of the command line; prompts to annotators, and answers back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasksel import cli_annotate_teacher
from tasksel.cli_errors import reported_errors
from tasksel.cli_options import DebugOption, JsonOption, QuietOption
from tasksel.cli_output import print_json, shown_progress
from tasksel.file_places import file_trouble
from tasksel_core.errors import ConfigError

__all__ = ["annotate_app", "register"]

annotate_app = typer.Typer(
    name="annotate",
    help="Have the selected prompts answered: export them, import the answers, see how far it is.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_UPLOAD = "Options of Label Studio's server"
_SEVERAL = "Several annotators"


@annotate_app.command("export")
def export_command(
    selection: Annotated[
        Path, typer.Argument(help="Folder of a selection, or a file of prompts in any usual shape.")
    ],
    *,
    to: Annotated[str, typer.Option(help="label-studio, argilla, jsonl, csv or hf (datasets).")],
    out: Annotated[Path, typer.Option(help="Folder for the files that the annotators get.")],
    scores: Annotated[
        Path | None,
        typer.Option(help="Run folder of `tasksel score`: the model's answers become suggestions."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Name of the project or dataset.")] = None,
    guidelines: Annotated[
        Path | None, typer.Option(help="Text file with what annotators should know.")
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="An answer that there is, as a button; repeat it.")
    ] = None,
    free_text: Annotated[
        bool, typer.Option("--free-text", help="Answers are typed, also where the pool's are few.")
    ] = False,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV with the mark by which Excel knows UTF-8.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="Upload to this Label Studio, or project in it; key in LABEL_STUDIO_API_KEY.",
            rich_help_panel=_UPLOAD,
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the prompts of a selection for annotators, best first."""
    from tasksel.annotation import export_annotation
    from tasksel.terminal_annotation import print_annotation_export

    with reported_errors(debug=debug, stopped="Run the same command again; no task is uploaded twice."):
        shown = not (quiet or as_json)
        if choice and free_text:
            raise ConfigError("--choice and --free-text contradict each other; leave one out.")
        with shown_progress("Uploading", "tasks", shown=shown and url is not None) as progress:
            summary = export_annotation(
                selection,
                to=to,
                out=out,
                scores=scores,
                title=title,
                guidelines=_text_of(guidelines),
                choices=() if free_text else choice,
                bom=excel,
                url=url,
                progress=progress,
            )
        if as_json:
            print_json(summary.to_dict())
        elif shown:
            print_annotation_export(Console(), summary)


def _text_of(path: Path | None) -> str | None:
    if path is None:
        return None
    trouble = file_trouble(path)
    if trouble is not None:
        raise ConfigError(f"The guidelines {path} cannot be read, as that {trouble}; a text file is wanted.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The guidelines {path} cannot be read as UTF-8 text ({error}).") from error


@annotate_app.command("import")
def import_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL", help="What came back: a file or folder, or a project in Label Studio."
        ),
    ],
    *,
    into: Annotated[Path, typer.Option(help="Run folder; its labels are in RUN/labels.")],
    selection: Annotated[
        Path | None, typer.Option(help="What was asked, where it does not stand in the run folder.")
    ] = None,
    response_column: Annotated[
        str | None, typer.Option(help="Column, tag or question with the answer, if not `response`.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="Column with the id, if not `id`.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Who answered, where the file does not say.", rich_help_panel=_SEVERAL)
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose answer goes before the majority; repeat it, most trusted first.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    on_conflict: Annotated[
        str,
        typer.Option(
            help="An annotator says otherwise than before: keep, replace or ask-list.",
            rich_help_panel=_SEVERAL,
        ),
    ] = "keep",
    adjudication: Annotated[
        bool,
        typer.Option(
            "--adjudication",
            help="These answers settle their prompts: a filled-in adjudication.csv.",
            rich_help_panel=_SEVERAL,
        ),
    ] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take answers whose prompt came back changed.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse the file if any row is wrong.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and write nothing.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Read answers, check them against what was asked, and add them to the labels of a run."""
    from tasksel.annotation import import_labels
    from tasksel.terminal_annotation import print_label_import

    with reported_errors(debug=debug, stopped="Run the same command again; no answer counts twice."):
        summary = import_labels(
            source,
            into=into,
            selection=selection,
            response_column=response_column,
            id_column=id_column,
            annotator=by,
            trusted=annotator,
            on_conflict=on_conflict,
            adjudication=adjudication,
            accept_changed=accept_changed,
            strict=strict,
            dry_run=dry_run,
        )
        if as_json:
            print_json(summary.to_dict())
        elif not quiet:
            print_label_import(Console(), summary)


@annotate_app.command("status")
def status_command(
    run: Annotated[Path, typer.Argument(help="Run folder with labels.")],
    *,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Show how many prompts have an answer, and where annotators disagree."""
    from tasksel.annotation import read_labels
    from tasksel.terminal_annotation import print_labels

    with reported_errors(debug=debug, stopped="Nothing was changed."):
        labels = read_labels(run)
        if as_json:
            print_json(labels.to_dict())
        elif not quiet:
            print_labels(Console(), labels)


cli_annotate_teacher.register(annotate_app)


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(annotate_app)
