"""Files with answers, as any tool gives them back: recognised by what is in them, and read whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars.selectors as cs

from tasksel.annotation.answer_tables import read_rows
from tasksel.annotation.answers import ReturnedAnswers
from tasksel.annotation.argilla_records import is_flat_record, is_nested_record, read_records
from tasksel.annotation.dataset_folder import dataset_folder_sha256, is_dataset_folder, read_dataset_folder
from tasksel.annotation.export import EXPORT_NAME, EXPORT_STAGE
from tasksel.annotation.formats import ANNOTATION_FORMATS, RECORDS_NAME
from tasksel.annotation.label_studio_client import LabelStudioClient, parse_place
from tasksel.annotation.label_studio_project import download_tasks
from tasksel.annotation.label_studio_tasks import is_task, read_tasks
from tasksel.annotation.spreadsheets import read_table
from tasksel.file_places import file_trouble
from tasksel.pool_dates import dates_as_numbers
from tasksel.pool_files import SUFFIXES, scan_file
from tasksel.pool_text import mended_bytes, text_traits
from tasksel.run_folder import MANIFEST_NAME, check_format_version, file_sha256, read_json, text_sha256
from tasksel_core.errors import AnnotationError, ConfigError, ResumeError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["find_export", "is_address", "read_answers"]

_MOST_BYTES: Final = 4 << 30
_MOST_JSON_BYTES: Final = 1 << 30
"""A JSON file is read at once, at about five times its size."""
_MOST_ROWS: Final = 20_000_000
_LONGEST_LINE: Final = 1 << 26
_PACKED: Final = frozenset({".zip", ".gz", ".bz2", ".xz", ".zst", ".tar", ".7z"})
_WORKBOOKS: Final = frozenset({".xlsx", ".xls", ".ods", ".numbers"})


def is_address(source: str) -> bool:
    """Whether a source is a web address and not a file."""
    return source.lower().startswith(("http://", "https://"))


def read_answers(
    source: str, *, response_column: str | None = None, id_column: str | None = None
) -> ReturnedAnswers:
    """Read what annotators gave back.

    Parameters
    ----------
    source : str
        A file of answers: JSON, JSON Lines, CSV, TSV or Parquet; a folder of ``tasksel annotate export``, of
        Argilla or of Hugging Face's datasets; or the address of a project in Label Studio.
    response_column, id_column : str, optional
        Columns with the answer and the id of its prompt; of Label Studio and Argilla, the name of the tag or
        question with the answer.

    Raises
    ------
    AnnotationError
        There is nothing, it is too large, or it is of no known kind.
    SchemaError
        It is malformed.
    ProviderError
        Label Studio refuses, or does not answer.
    """
    if is_address(source):
        return _read_project(source, response_column)
    path = Path(source)
    if path.is_dir():
        return _read_folder(path, response_column, id_column)
    _check_file(path)
    sha256 = file_sha256(path)
    nested = _nested_content(path)
    if nested is not None:
        return _of_nested(nested, path.name, sha256, response_column)
    texts = [each for each in (response_column, id_column) if each is not None]
    if path.suffix.lower() in (".csv", ".tsv"):
        table = read_table(path, text_columns=texts)
    else:
        table = scan_file(path, text_columns=texts, eager=True).frame.collect()
    kind = path.suffix.lower().removeprefix(".")
    return _of_table(table, path.name, sha256, kind, response_column, id_column)


def _check_file(path: Path) -> None:
    """Refuse what is no file of answers before it is opened.

    Raises
    ------
    AnnotationError
        It does not exist, is packed, a workbook, or too large.
    """
    suffix = path.suffix.lower()
    trouble = file_trouble(path)
    if trouble is not None:
        raise AnnotationError(f"{str(path)[:200]!r} {trouble}; wanted is a file with answers ({_ALLOWED}).")
    if suffix in _PACKED:
        raise AnnotationError(f"{path.name} is packed; unpack it and import what is in it.")
    if suffix in _WORKBOOKS:
        raise AnnotationError(f"{path.name} is a workbook; save the sheet as CSV UTF-8 and import that.")
    if suffix not in SUFFIXES:
        raise AnnotationError(f"{path.name} has the suffix {suffix!r}; allowed: {_ALLOWED}.")
    if not path.stat().st_size:
        raise AnnotationError(f"{path.name} is empty (0 bytes); there are no answers in it.")
    most = _MOST_JSON_BYTES if suffix == ".json" else _MOST_BYTES
    if path.stat().st_size > most:
        raise AnnotationError(
            f"{path.name} has {path.stat().st_size:,} bytes; up to {most:,} are read. Export in parts, or as "
            "Parquet."
        )


_ALLOWED: Final = f"{', '.join(SUFFIXES)}, a folder, or the address of a project in Label Studio"


def _nested_content(path: Path) -> list[Any] | None:
    """Return the items of a JSON file that is no table: tasks of Label Studio, records of Argilla."""
    suffix = path.suffix.lower()
    if suffix not in (".json", ".jsonl", ".ndjson"):
        return None
    try:
        if suffix == ".json":
            content = json.loads(mended_bytes(path, text_traits(path, is_json=True)).decode())
            return content if isinstance(content, list) and any(map(_is_nested, content)) else None
        with path.open("rb") as lines:
            first = lines.readline(_LONGEST_LINE).decode("utf-8-sig")
            if not _is_nested(json.loads(first)):
                return None
        raw = mended_bytes(path, text_traits(path, is_json=True))
        return [json.loads(line.decode()) for line in raw.split(b"\n") if line.strip()]
    except (ValueError, RecursionError):
        return None  # the reader of tables says what is wrong with it


def _is_nested(content: Any) -> bool:
    return is_task(content) or is_nested_record(content) or is_flat_record(content)


def _of_nested(content: list[Any], name: str, sha256: str, response_column: str | None) -> ReturnedAnswers:
    if any(map(is_task, content)):
        return ReturnedAnswers(
            read_tasks(content, response_name=response_column), "label-studio", name, sha256
        )
    frame, notes = read_records(content, response_name=response_column)
    return ReturnedAnswers(frame, "argilla", name, sha256, notes)


def _of_table(
    table: pl.DataFrame,
    name: str,
    sha256: str,
    kind: str,
    response_column: str | None,
    id_column: str | None,
) -> ReturnedAnswers:
    if table.height > _MOST_ROWS:
        raise AnnotationError(f"{name} has {table.height:,} rows; up to {_MOST_ROWS:,} are read.")
    if is_flat_record(dict.fromkeys(table.columns)):
        # No answer is a date, and a date past the year 9999 has no way through Python.
        kept = [name for name, dtype in table.schema.items() if dates_as_numbers(dtype) == dtype]
        records = table.select(cs.by_name(kept)).iter_rows(named=True)
        frame, notes = read_records(records, response_name=response_column)
        return ReturnedAnswers(frame, "argilla", name, sha256, notes)
    frame, notes = read_rows(table, name, response_column=response_column, id_column=id_column)
    return ReturnedAnswers(frame, kind, name, sha256, notes)


def _read_folder(folder: Path, response_column: str | None, id_column: str | None) -> ReturnedAnswers:
    if (folder / MANIFEST_NAME).is_file():
        stage = read_json(folder / MANIFEST_NAME).get("stage")
        raise AnnotationError(
            f"{folder} is what tasksel itself wrote (stage {str(stage)[:40]!r}), and no answers of "
            "annotators; a file in it can be imported by its name."
        )
    record = find_export(folder)
    exported_to = None if record is None else record["settings"].get("to")
    if isinstance(exported_to, str) and exported_to in ANNOTATION_FORMATS:
        # The name is ours: what a file in the folder says never becomes a path.
        answers = folder / ANNOTATION_FORMATS[exported_to].answers
        if answers.is_file():
            return read_answers(str(answers), response_column=response_column, id_column=id_column)
    if (folder / RECORDS_NAME).is_file():
        name = str(folder / RECORDS_NAME)
        return read_answers(name, response_column=response_column, id_column=id_column)
    if not is_dataset_folder(folder):
        raise AnnotationError(
            f"{folder} holds no answers; allowed are folders of `tasksel annotate export`, of Argilla's "
            "to_disk and of Hugging Face's datasets."
        )
    table = read_dataset_folder(folder)
    sha256 = dataset_folder_sha256(folder)
    return _of_table(table, folder.resolve().name, sha256, "hf", response_column, id_column)


def _read_project(source: str, response_column: str | None) -> ReturnedAnswers:
    place = parse_place(source)
    if place.project is None:
        raise ConfigError(
            f"{source} names no project; wanted is the address that the browser shows, as "
            f"{place.base_url}/projects/1."
        )
    with LabelStudioClient(place.base_url) as client:
        tasks = download_tasks(client, place.project)
        name = f"{client.host}/projects/{place.project}"
        exposed = client.is_exposed
    frame = read_tasks(tasks, response_name=response_column)
    notes = (f"{name} is not encrypted: whoever listens can read the key.",) if exposed else ()
    return ReturnedAnswers(frame, "label-studio", name, text_sha256(frame.write_json()), notes)


def find_export(place: Path) -> dict[str, Any] | None:
    """Return the record of an export in a folder, or beside a file; None where there is none."""
    folder = place if place.is_dir() else place.parent
    if not (folder / EXPORT_NAME).is_file():
        return None
    try:
        record = read_json(folder / EXPORT_NAME)
    except ResumeError:  # a file of another tool has the name
        return None
    if record.get("stage") != EXPORT_STAGE:
        return None
    check_format_version(record, folder / EXPORT_NAME)
    is_whole = isinstance(record.get("prompts"), dict) and isinstance(record.get("settings"), dict)
    return record if is_whole else None
