"""A selection goes to the annotators: files for their tool, and a record of what was asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.annotation.assignment import Assignment, read_assignment
from tasksel.annotation.closed_sets import check_choices, find_choices
from tasksel.annotation.formats import Presentation, find_format
from tasksel.annotation.label_studio_client import LabelStudioClient, LabelStudioPlace, parse_place
from tasksel.annotation.label_studio_project import Upload, has_project, upload_assignment
from tasksel.file_places import refuse_overwriting
from tasksel.run_folder import (
    FORMAT_VERSION,
    file_sha256,
    folder_lock,
    read_json,
    read_versioned,
    text_sha256,
    write_json,
)
from tasksel.run_folder_links import listed_path
from tasksel_core import __version__
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import polars as pl

__all__ = ["EXPORT_NAME", "EXPORT_STAGE", "UPLOAD_NAME", "AnnotationExport", "export_annotation"]

EXPORT_NAME: Final = "export.json"
UPLOAD_NAME: Final = "upload.json"
EXPORT_STAGE: Final = "annotation_export"
_MOST_GUIDELINE_CHARS: Final = 100_000


@dataclass(frozen=True)
class AnnotationExport:
    """What was written, and uploaded if there was a URL.

    Parameters
    ----------
    folder : str
        Where.
    to : str
        The format.
    rows : int
        Prompts to be answered.
    suggestions : int
        Those of them that have a suggested answer.
    choices : tuple of str
        The answers that there are; empty where they are typed.
    files : tuple of str
        Their names; the record, which is written last, is not among them.
    comes_back : str
        What the answers are in, as the import takes it: a file of these, or what the tool exports.
    project : str or None
        Address of the project in Label Studio.
    uploaded, present : int
        Tasks that were added to it, and that were there.
    notes : tuple of str
        What a person should know.
    """

    folder: str
    to: str
    rows: int
    suggestions: int
    choices: tuple[str, ...]
    files: tuple[str, ...]
    comes_back: str
    project: str | None = None
    uploaded: int = 0
    present: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-compatible values."""
        lists = {name: list(getattr(self, name)) for name in ("choices", "files", "notes")}
        return {**asdict(self), **lists}


def export_annotation(
    selection: str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str],
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    title: str | None = None,
    guidelines: str | None = None,
    choices: Sequence[str] | None = None,
    bom: bool = False,
    url: str | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> AnnotationExport:
    """Write the prompts of a selection for annotators, in the order of their rank.

    Parameters
    ----------
    selection : path
        A folder that ``tasksel select --out`` wrote, or a file in any of the shapes of a pool.
    to : {"label-studio", "argilla", "jsonl", "csv", "hf"}
        The tool, or kind of file.
    out : path
        Folder for the files and, last, ``export.json``, which says which prompts were asked. Files of an
        earlier export are replaced, unless somebody has changed them: they may hold answers.
    scores : path or DataFrame, optional
        Run folder of ``tasksel score``: the base model's answers become suggestions.
    title : str, optional
        Name of the project or dataset; default the name of the selection.
    guidelines : str, optional
        What annotators should know, as plain text; shown by Label Studio and Argilla.
    choices : sequence of str, optional
        The answers that there are, as buttons. By default these are found where the pool has responses
        that are a small closed set; an empty sequence always lets them be typed.
    bom : bool
        Begin CSV with the byte order mark that makes Excel read UTF-8.
    url : str, optional
        Of a Label Studio, or of a project in it: the tasks are uploaded as well. The key is read from the
        environment variable ``LABEL_STUDIO_API_KEY``. The same call continues an interrupted upload, and no
        task comes twice.
    progress : callable, optional
        Called with ``(tasks present, tasks in all, 0)`` during an upload.

    Returns
    -------
    AnnotationExport

    Raises
    ------
    ConfigError
        There is no such format, `out` is a file or an export that was answered, a choice cannot be a
        button, or `url` is no address.
    SchemaError
        The selection or the scores cannot be read.
    ProviderError
        Label Studio refuses, or does not answer.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = Path(folder, "pool.parquet")
    ...     pl.DataFrame({"id": ["a"], "prompt": ["=1+1"]}).write_parquet(pool)
    ...     made = export_annotation(pool, to="csv", out=Path(folder, "sheet"))
    ...     print(Path(made.folder, "answers.csv").read_text().splitlines()[1][:20])
    "a","1","'=1+1","","
    """
    written = find_format(to)
    place = _checked_place(to, url)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; allowed: a folder for what the annotators get.")
    refuse_overwriting((folder / name for name in (written.answers, EXPORT_NAME)), (selection, scores))
    _refuse_answered(folder)
    assignment = read_assignment(selection, scores=scores)
    shown = _presentation(assignment, title, guidelines, choices, bom=bom)
    with folder_lock(folder):
        (folder / EXPORT_NAME).unlink(missing_ok=True)
        files = written.write(folder, assignment, shown)
        write_json(folder / EXPORT_NAME, _record(folder, to, assignment, shown, files))
        upload = _upload(folder, place, assignment, shown, progress) if place else None
    return AnnotationExport(
        folder=str(out),
        to=to,
        rows=assignment.frame.height,
        suggestions=assignment.frame.height - assignment.frame["suggestion"].null_count(),
        choices=shown.choices,
        files=files,
        comes_back=written.exports or str(folder / written.answers),
        project=upload.url if upload else None,
        uploaded=upload.uploaded if upload else 0,
        present=upload.present if upload else 0,
        notes=(*_notes(assignment, to), *(upload.notes if upload else ())),
    )


def _refuse_answered(folder: Path) -> None:
    """Keep the answers that stand in the files of an earlier export."""
    record = folder / EXPORT_NAME
    if not record.is_file():
        return
    for name, sha256 in read_versioned(record, {"files?": {...: str}}).get("files", {}).items():
        path = listed_path(folder, name, record)
        if path.is_file() and file_sha256(path) != sha256:
            raise ConfigError(
                f"{path} has changed since it was exported, so it may hold answers; import them with tasksel "
                "annotate import, and name another folder for a new export."
            )


def _checked_place(to: str, url: str | None) -> LabelStudioPlace | None:
    if url is None:
        return None
    if to != "label-studio":
        raise ConfigError(f"url is for label-studio alone, and to is {to!r}; leave it out.")
    return parse_place(url)


def _presentation(
    assignment: Assignment,
    title: str | None,
    guidelines: str | None,
    choices: Sequence[str] | None,
    *,
    bom: bool,
) -> Presentation:
    if guidelines is not None and len(guidelines) > _MOST_GUIDELINE_CHARS:
        raise ConfigError(
            f"The guidelines have {len(guidelines):,} characters; up to {_MOST_GUIDELINE_CHARS:,} are "
            "allowed."
        )
    if choices is not None:
        chosen = check_choices(choices) if choices else ()
    else:
        chosen = _found_choices(assignment)
    named = " ".join((title or assignment.name).split()) or "tasksel"
    return Presentation(named, guidelines, chosen, bom)


def _found_choices(assignment: Assignment) -> tuple[str, ...]:
    if "response" not in assignment.selected.columns:
        return ()
    tasks = assignment.frame["task"] if assignment.has_tasks else None
    return find_choices(assignment.selected["response"], tasks)


def _record(
    folder: Path, to: str, assignment: Assignment, shown: Presentation, files: tuple[str, ...]
) -> dict[str, Any]:
    guidelines = None if shown.guidelines is None else text_sha256(shown.guidelines)
    return {
        "format_version": FORMAT_VERSION,
        "stage": EXPORT_STAGE,
        "selection": {
            "name": assignment.name,
            "sha256": assignment.sha256,
            "rows": assignment.frame.height,
        },
        "scores": assignment.scores,
        "settings": {
            "to": to,
            "title": shown.title,
            "choices": list(shown.choices),
            "guidelines_sha256": guidelines,
            "bom": shown.bom,
        },
        "prompts": dict(assignment.frame.select("id", "prompt_sha256").iter_rows()),
        "versions": {"tasksel": __version__},
        "files": {name: file_sha256(folder / name) for name in files},
    }


def _upload(
    folder: Path,
    place: LabelStudioPlace,
    assignment: Assignment,
    shown: Presentation,
    progress: Callable[[int, int, int], None] | None,
) -> Upload:
    def remember(project: int) -> None:
        write_json(folder / UPLOAD_NAME, {"url": place.base_url, "project": project})

    with LabelStudioClient(place.base_url) as client:
        project = place.project if place.project is not None else _remembered(folder, client)
        return upload_assignment(
            client, assignment, shown, project=project, progress=progress, on_project=remember
        )


def _remembered(folder: Path, client: LabelStudioClient) -> int | None:
    """Return the project of an earlier upload of this folder to this Label Studio, if it is still there."""
    if not (folder / UPLOAD_NAME).is_file():
        return None
    before = read_json(folder / UPLOAD_NAME)
    project = before.get("project")
    if before.get("url") != client.base_url or not isinstance(project, int):
        return None
    return project if has_project(client, project) else None


def _notes(assignment: Assignment, to: str) -> tuple[str, ...]:
    with_nul = sum("\0" in prompt for prompt in assignment.frame["prompt"])
    if not with_nul or to not in ("label-studio", "argilla"):
        return ()
    what = "1 prompt holds" if with_nul == 1 else f"{with_nul:,} prompts hold"
    return (f"{what} NUL characters, which PostgreSQL cannot store; a server on SQLite can.",)
