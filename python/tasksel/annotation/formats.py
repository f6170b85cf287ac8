"""What an assignment can be written as, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tasksel.annotation.argilla_records import dataset_name, dataset_settings, records_of
from tasksel.annotation.dataset_folder import write_dataset_folder
from tasksel.annotation.json_lines import JSON_LINES_NAME, write_table_lines
from tasksel.annotation.label_studio_config import labelling_config
from tasksel.annotation.label_studio_tasks import tasks_of
from tasksel.annotation.spreadsheets import CSV_NAME, table_of, write_table
from tasksel.run_folder import atomic_path, make_folder, write_json, write_text
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tasksel.annotation.assignment import Assignment

__all__ = [
    "ANNOTATION_FORMATS",
    "CONFIG_NAME",
    "RECORDS_NAME",
    "TASKS_NAME",
    "AnnotationFormat",
    "Presentation",
    "find_format",
]

TASKS_NAME: Final = "tasks.json"
CONFIG_NAME: Final = "labelling_config.xml"
RECORDS_NAME: Final = "records.json"
_ARGILLA_FOLDER: Final = ".argilla"


@dataclass(frozen=True)
class Presentation:
    """How annotators see the prompts.

    Parameters
    ----------
    title : str
        Name of the project or dataset.
    guidelines : str or None
        What annotators should know.
    choices : tuple of str
        The answers that there are; without any they are typed.
    bom : bool
        Whether CSV begins with a byte order mark, as Excel needs it.
    """

    title: str
    guidelines: str | None = None
    choices: tuple[str, ...] = ()
    bom: bool = False


class AnnotationFormat(NamedTuple):
    """A tool, or a kind of file.

    Attributes
    ----------
    summary : str
        One line for help texts.
    write : callable
        (folder, assignment, presentation) -> names of the files.
    answers : str
        Which of these comes back with the answers, if a folder is handed back whole.
    exports : str or None
        What the tool itself exports; None where that is `answers`.
    """

    summary: str
    write: Callable[[Path, Assignment, Presentation], tuple[str, ...]]
    answers: str
    exports: str | None = None


def find_format(name: str) -> AnnotationFormat:
    """Return a format.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if name not in ANNOTATION_FORMATS:
        hint = did_you_mean(name, ANNOTATION_FORMATS)
        raise ConfigError(f"to is {name!r}; allowed: {', '.join(ANNOTATION_FORMATS)}.{hint}")
    return ANNOTATION_FORMATS[name]


def _write_label_studio(folder: Path, assignment: Assignment, shown: Presentation) -> tuple[str, ...]:
    config = labelling_config(choices=shown.choices, has_tasks=assignment.has_tasks)
    write_text(folder / CONFIG_NAME, config)
    _write_json_list(folder / TASKS_NAME, tasks_of(assignment, choices=shown.choices))
    return (TASKS_NAME, CONFIG_NAME)


def _write_argilla(folder: Path, assignment: Assignment, shown: Presentation) -> tuple[str, ...]:
    make_folder(folder / _ARGILLA_FOLDER)
    settings = dataset_settings(
        guidelines=shown.guidelines, choices=shown.choices, has_tasks=assignment.has_tasks
    )
    write_json(folder / _ARGILLA_FOLDER / "settings.json", settings)
    dataset = {
        "name": dataset_name(shown.title),
        "guidelines": shown.guidelines,
        "allow_extra_metadata": False,
    }
    write_json(folder / _ARGILLA_FOLDER / "dataset.json", dataset)
    _write_json_list(folder / RECORDS_NAME, records_of(assignment, choices=shown.choices))
    return (RECORDS_NAME, f"{_ARGILLA_FOLDER}/settings.json", f"{_ARGILLA_FOLDER}/dataset.json")


def _write_json_list(path: Path, objects: Iterable[object]) -> None:
    """Write a JSON list, an item a line, in ASCII: Argilla reads in whatever encoding the machine has."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        mark = "["
        for each in objects:
            file.write(f"{mark}\n{json.dumps(each, allow_nan=False)}")
            mark = ","
        file.write("\n]\n")


def _write_json_lines(folder: Path, assignment: Assignment, shown: Presentation) -> tuple[str, ...]:
    del shown
    write_table_lines(folder / JSON_LINES_NAME, table_of(assignment))
    return (JSON_LINES_NAME,)


def _write_csv(folder: Path, assignment: Assignment, shown: Presentation) -> tuple[str, ...]:
    write_table(folder / CSV_NAME, table_of(assignment), bom=shown.bom)
    return (CSV_NAME,)


def _write_hf(folder: Path, assignment: Assignment, shown: Presentation) -> tuple[str, ...]:
    return write_dataset_folder(folder, table_of(assignment), title=shown.title)


ANNOTATION_FORMATS: Final = {
    "label-studio": AnnotationFormat(
        "tasks and a labelling interface for Label Studio; with a URL they are uploaded",
        _write_label_studio,
        TASKS_NAME,
        "PROJECT.json",
    ),
    "argilla": AnnotationFormat(
        "a dataset for Argilla's Dataset.from_disk", _write_argilla, RECORDS_NAME, "RECORDS.json"
    ),
    "jsonl": AnnotationFormat(
        "one JSON object a line, with fields to fill in", _write_json_lines, JSON_LINES_NAME
    ),
    "csv": AnnotationFormat("a table for spreadsheets, in which no cell is a formula", _write_csv, CSV_NAME),
    "hf": AnnotationFormat("a folder for Hugging Face's datasets.load_dataset", _write_hf, "data"),
}
"""By name, as ``--to`` takes them."""
