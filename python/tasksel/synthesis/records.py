"""Items become rows of a pool, and a file of them."""

from __future__ import annotations

import json
import string
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.file_places import refuse_overwriting
from tasksel.json_shapes import TEXT_OR_NULL
from tasksel.pool_ids import fill_frame
from tasksel.run_folder import atomic_path, make_folder
from tasksel.run_folder_frames import write_frame
from tasksel.synthesis.items import item_json
from tasksel.synthesis.run_files import read_run_frame
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from tasksel.synthesis.config import RecordConfig
    from tasksel.synthesis.items import AcceptedItem
    from tasksel.synthesis.planned_examples import PlannedExample, PlannedRun

__all__ = [
    "EDGE_FOLDER",
    "EXPORT_SUFFIXES",
    "GENERATION_FOLDER",
    "ORIGIN",
    "RECORDS_NAME",
    "export_records",
    "fill_template",
    "make_records",
    "normalised",
    "read_all_records",
    "read_edge_frame",
    "read_records",
    "write_record",
]

GENERATION_FOLDER: Final = "generation"
RECORDS_NAME: Final = "records.parquet"
EDGE_FOLDER: Final = "edge"
ORIGIN: Final = "synthetic"
EXPORT_SUFFIXES: Final = (".parquet", ".jsonl", ".csv")
_FIRST: Final = ("plan_id", "task", "prompt", "response")
_LAST: Final = (
    "edge",
    "item",
    "origin",
    "origin_model",
    "origin_request",
    "origin_repairs",
)
_PROOFS: Final = {"id": str, "holds": bool}
_RECORDS: Final = {
    "id": str,
    "plan_id": TEXT_OR_NULL,
    "task": TEXT_OR_NULL,
    "prompt": str,
    "response?": TEXT_OR_NULL,
    "edge": TEXT_OR_NULL,
    "item": str,
}


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """Put fields into a template; ``{{`` is a brace.

    Parameters
    ----------
    template : str
        With plain names in braces.
    values : mapping
        Text stays as it is, null and what is missing becomes empty, anything else is written as JSON.

    Examples
    --------
    >>> fill_template("{text} ({stars}) {{ok}} {gone}", {"text": "{a}", "stars": 5})
    '{a} (5) {ok} '
    """
    parts = []
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            parts.append(_as_text(values.get(name)))
    return "".join(parts)


def write_record(
    record: RecordConfig, example: PlannedExample, item: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Return prompt and response of an item.

    A field of the item goes before a column of the plan that has the same name.

    Parameters
    ----------
    record : RecordConfig
        The templates.
    example : PlannedExample
        What was planned.
    item : mapping
        What was written.
    """
    plan = {"plan_id": example.plan_id, "stratum": example.stratum, "edge": example.edge}
    values = {**plan, **example.values, **item}
    response = None if record.response is None else fill_template(record.response, values)
    return fill_template(record.prompt, values), response


def normalised(text: str) -> str:
    """Return what two texts that differ in case, width or spaces alone have in common.

    Examples
    --------
    >>> normalised(" Too  SLOW ") == normalised("too slow")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def make_records(run: PlannedRun, accepted: Mapping[str, AcceptedItem]) -> pl.DataFrame:
    """Make the frame of records.

    Parameters
    ----------
    run : PlannedRun
        Order and columns.
    accepted : mapping of str to AcceptedItem
        By plan_id.

    Returns
    -------
    pl.DataFrame
        ``id``, ``plan_id``, ``task``, ``prompt``, ``response``, one column a level and dimension (as
        requested), ``edge``, ``item``, ``origin``, ``origin_model``, ``origin_request``, ``origin_repairs``;
        all String, in the plan's order.
    """
    names = (*_FIRST, *run.value_columns, *_LAST)
    rows = [
        _row(run, example, accepted[example.plan_id])
        for example in run.examples
        if example.plan_id in accepted
    ]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))
    if frame.is_empty():
        return frame.select(pl.lit(None, dtype=pl.String).alias("id"), *names).clear()
    ids = fill_frame(frame.lazy().select("prompt"), "the records").collect()["id"]
    return frame.select(ids, *names)


def _row(run: PlannedRun, example: PlannedExample, item: AcceptedItem) -> dict[str, str | None]:
    prompt, response = write_record(run.config.record, example, item.content)
    return {
        "plan_id": example.plan_id,
        "task": example.stratum,
        "prompt": prompt,
        "response": response,
        **example.values,
        "edge": example.edge,
        "item": item_json(item.content),
        "origin": ORIGIN,
        "origin_model": run.config.model.model,
        "origin_request": item.request_key,
        "origin_repairs": ",".join(item.repairs),
    }


def read_records(run: str | os.PathLike[str]) -> pl.DataFrame:
    """Read the records of a run folder.

    Raises
    ------
    ResumeError
        There are none yet, or the file cannot be read.
    """
    return read_run_frame(
        Path(run) / GENERATION_FOLDER / RECORDS_NAME,
        made_by=f"tasksel synth run {run} --tier full",
        made_anew_by=f"tasksel synth reparse {run}",
        columns=_RECORDS,
    )


def read_edge_frame(run: str | os.PathLike[str], name: str) -> pl.DataFrame:
    """Read one of the files that `tasksel synth edge` makes; errors as in `read_run_frame`."""
    # Its frames are the records that it makes, and what it says of them.
    shape = {**_RECORDS, "edge_replaces?": TEXT_OR_NULL} if name == RECORDS_NAME else _PROOFS
    path = Path(run) / EDGE_FOLDER / name
    return read_run_frame(path, made_by=f"tasksel synth edge {run}", columns=shape)


def read_all_records(run: str | os.PathLike[str]) -> pl.DataFrame:
    """Read the records of a run folder with the edge cases that `tasksel synth edge` made of them.

    Returns
    -------
    pl.DataFrame
        In the order of ``plan_id``; records in whose place another was made are left out.

    Raises
    ------
    ResumeError
        There are none yet, or a file cannot be read.
    """
    records = read_records(run)
    if not (Path(run) / EDGE_FOLDER / RECORDS_NAME).exists():
        return records
    made = read_edge_frame(run, RECORDS_NAME)
    if "edge_replaces" in made.columns:
        records = records.filter(~pl.col("id").is_in(made["edge_replaces"].drop_nulls().implode()))
    there = records["plan_id"].implode()
    made = made.filter(~pl.col("plan_id").is_in(there))
    try:
        both = pl.concat([records, made], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise ResumeError(
            f"{Path(run) / EDGE_FOLDER / RECORDS_NAME} has other types than the records that were generated "
            f"({first_line(error)}); `tasksel synth edge {run}` writes it anew."
        ) from error
    return both.sort("plan_id", maintain_order=True)


def export_records(run: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Write the records of a run, edge cases that a program made included, as a pool for everything else.

    Parameters
    ----------
    run : path
        A run folder with records.
    out : path
        A file whose name ends in ``.parquet``, ``.jsonl`` or ``.csv``; it appears whole or not at all.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ConfigError
        The name has another ending.
    ResumeError
        There are no records.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    if suffix not in EXPORT_SUFFIXES:
        raise ConfigError(f"{path.name} ends in {suffix!r}; allowed are {', '.join(EXPORT_SUFFIXES)}.")
    refuse_overwriting(
        [path], (Path(run) / folder / RECORDS_NAME for folder in (GENERATION_FOLDER, EDGE_FOLDER))
    )
    frame = read_all_records(run)
    pool = frame.select("id", "task", "prompt", "response", pl.exclude("id", "task", "prompt", "response"))
    make_folder(path.parent)
    if suffix == ".parquet":
        write_frame(path, pool)
    else:
        content = pool.write_csv() if suffix == ".csv" else _json_lines(pool.iter_rows(named=True))
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.encode())
    return pool.height


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
