"""JSON Lines and JSON files of a pool.

Polars reads; Python's own parser runs a second time over a file that Polars refused, to say which line
is wrong and why, and over the valid files that Polars cannot take: a byte order mark, unpaired
surrogates, a field that is a number here and an object there.
"""

from __future__ import annotations

import glob
import json
import re
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.pool_file_scan import FileScan, first_clause, no_rows
from tasksel.pool_json_fields import FIRST_LOOK_LINES, count_fields, in_order_of_appearance, steady_schema
from tasksel.pool_json_keys import check_item_keys_once, check_keys_once
from tasksel.pool_text import TextTraits, mended_bytes, surrogate_notes
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_json", "scan_jsonl"]

_MOST_LEVELS: Final = 100
_MOST_FIELDS: Final = 2_000
"""Columns, and fields of objects in them, that Polars is given; its types take the square of their number."""
_SPARSE_CELLS: Final = 10_000_000
_SPARSENESS: Final = 100
"""A table of more cells than these, of which fewer than one in a hundred is filled, is not made."""
_LEAST_CELL_BYTES: Final = 5
"""What a value takes in a file at least, its key included: `"":1,`."""
_JSON_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]')


def scan_jsonl(path: Path, traits: TextTraits, *, eager: bool) -> FileScan:
    """Open a JSON Lines file lazily, after one streaming pass over all lines.

    Parameters
    ----------
    path : Path
        A file of UTF-8 text.
    traits : TextTraits
        What is known of its encoding.
    eager : bool
        Read the rows now.

    Returns
    -------
    FileScan
        One row a line; blank lines are left out.

    Raises
    ------
    SchemaError
        A line is no JSON object; the message gives its number.
    """
    schema = None if traits.has_bom or traits.lone_surrogates else _bounded_schema(path)
    if schema is not None:
        lazy = pl.scan_ndjson(_escaped(path), schema=schema)
        try:
            if eager:
                lazy = lazy.collect().lazy()
            else:
                lazy.select(pl.all().null_count()).collect(engine="streaming")
            check_keys_once(path, schema.names())
            return FileScan(lazy)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            pass  # The second reader finds the line, or takes what Polars could not.
    raw = mended_bytes(path, traits)
    objects = list(_jsonl_objects(path, raw))
    frame, notes = _frame_of_objects(path, objects)
    check_keys_once(path, frame.columns)
    return FileScan(frame.lazy(), surrogate_notes(traits) + notes)


def _escaped(path: Path) -> str:
    """Return a path as scan_ndjson wants it, which has no way to switch its globbing off."""
    return glob.escape(str(path))


def _bounded_schema(path: Path) -> pl.Schema | None:
    """Return the types of all lines, or None where Polars would take minutes over them or cannot.

    Each look is eight times as long as the one before. The last one sees every line; those before it cost
    little beside it, and tell a file with a key of its own in every line before its types take the square of
    its length.
    """
    n_lines = 0
    with path.open("rb") as lines:
        for line in lines:
            n_lines += 1
            if _is_deep(line):
                return None
    most_cells = path.stat().st_size // _LEAST_CELL_BYTES
    looked = min(FIRST_LOOK_LINES, n_lines)
    while True:
        try:
            schema = pl.scan_ndjson(_escaped(path), infer_schema_length=looked).collect_schema()
            if looked == n_lines and count_fields(schema.values()):
                with path.open(encoding="utf-8", newline="\n") as lines:
                    schema = steady_schema(schema, lines)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
            return None  # an OSError: a text that begins with "x^" is a compressed file to Polars
        # Lines of `{}` give rows without columns, which the second reader explains better.
        n_fields = len(schema) + count_fields(schema.values())
        if not 0 < n_fields <= _MOST_FIELDS or _is_sparse(n_lines, n_fields, most_cells):
            return None
        if looked == n_lines:
            return schema
        looked = min(8 * looked, n_lines)


def _is_sparse(n_rows: int, n_fields: int, n_filled: int) -> bool:
    """Whether a table would be nearly empty, and large: some kilobytes of JSON can make gigabytes so."""
    return n_rows * n_fields > max(_SPARSE_CELLS, _SPARSENESS * n_filled)


def _is_deep(text: bytes) -> bool:
    """Whether a JSON text is nested more deeply than Polars can type.

    Polars 2.0 and 2.1 take minutes over the type of a value 900 levels deep, and 2.0 overflows its stack.
    """
    if text.count(b"[") + text.count(b"{") <= _MOST_LEVELS:
        return False
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        mark = token[0]
        depth += 1 if mark in (b"[", b"{") else -1 if mark in (b"]", b"}") else 0
        if depth > _MOST_LEVELS:
            return True
    return False


def _jsonl_objects(path: Path, raw: bytes) -> Iterator[dict[str, Any]]:
    lines = raw.split(b"\n")
    last_number = max((number for number, line in enumerate(lines, 1) if line.strip()), default=0)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode())  # of bytes it would guess the encoding
        except (ValueError, RecursionError) as error:
            raise SchemaError(
                _jsonl_sentence(path, number, line, error, is_last=number == last_number)
            ) from error
        if not isinstance(row, dict):
            hint = "; a file that is one JSON list has the suffix .json" if isinstance(row, list) else ""
            raise SchemaError(
                f"{path.name}, line {number:,} holds {_kind(row)}; "
                f"each line of JSON Lines is one object{hint}."
            )
        yield row


def _jsonl_sentence(path: Path, number: int, line: bytes, error: Exception, *, is_last: bool) -> str:
    where = f"{path.name}, line {number:,}"
    if number == 1 and line.strip() in (b"[", b"{"):
        return f"{where} begins JSON over several lines; use the suffix .json, or one object a line."
    if _is_cut_short(error):
        tail = "was the file cut short?" if is_last else "each line is one whole object."
        return f"{where} ends in the middle of a JSON object; {tail}"
    return f"{where} is not valid JSON ({_json_reason(error)}); each line is one object."


def _is_cut_short(error: Exception) -> bool:
    """Whether a JSON text stops where it should go on, inside a string or at its very end."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc.rstrip())


def _json_reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at column {error.colno:,}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return first_clause(error).split(";")[0]  # an integer of over 4,300 digits; the rest is for programmers


def read_json(path: Path, traits: TextTraits) -> FileScan:
    """Read a JSON file that is a list of objects, or an object whose `data` is one.

    Parameters
    ----------
    path : Path
        A file of UTF-8 text.
    traits : TextTraits
        What is known of its encoding.

    Returns
    -------
    FileScan
        One row an object.

    Raises
    ------
    SchemaError
        The file is not valid JSON or holds something else.
    """
    raw = mended_bytes(path, traits)
    try:
        content = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise SchemaError(_json_sentence(path, raw, error)) from error
    rows = content["data"] if isinstance(content, dict) and isinstance(content.get("data"), list) else content
    allowed = 'a pool in JSON is a list of objects, or {"data": [such a list]}'
    if not isinstance(rows, list):
        hint = "; one object a line is JSON Lines, with the suffix .jsonl" if isinstance(rows, dict) else ""
        raise SchemaError(f"{path.name} holds {_kind(rows)}; {allowed}{hint}.")
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise SchemaError(f"{path.name}, item {position:,} (from 0) is {_kind(row)}; {allowed}.")
    frame, notes = _frame_of_objects(path, rows)
    check_item_keys_once(path, raw, rows)
    return FileScan(frame.lazy(), surrogate_notes(traits) + notes)


def _json_sentence(path: Path, raw: bytes, error: Exception) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return f"{path.name} is not valid JSON ({_json_reason(error)})."
    if not raw.strip():
        return f"{path.name} holds no rows; a pool has at least one."
    if error.msg.startswith("Extra data") and raw.lstrip()[:1] == b"{":
        return (
            f"{path.name} holds one object after the other, which is JSON Lines; give it the suffix .jsonl."
        )
    if _is_cut_short(error):
        return f"{path.name} ends in the middle of a value (line {error.lineno:,}); was the file cut short?"
    return f"{path.name}, line {error.lineno:,} is not valid JSON ({_json_reason(error)})."


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _frame_of_objects(path: Path, rows: list[dict[str, Any]]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Build a frame column by column, so that one column of mixed types does not cost the others theirs."""
    if not rows:
        raise no_rows(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if _is_sparse(len(rows), len(names), sum(map(len, rows))):
        raise SchemaError(
            f"{path.name} has {len(rows):,} rows with {len(names):,} different keys, most of which few rows "
            "have; keys that differ from row to row belong into one field, as an object."
        )
    columns: list[pl.Series] = []
    mixed: list[str] = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            column = _typed_series(name, values)
            if column is None:
                mixed.append(name)
                column = pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)
        except RecursionError as error:  # json.loads goes a little deeper than json.dumps
            raise SchemaError(f"{path.name}: field {name!r} is nested too deeply to be read.") from error
        columns.append(column)
    notes = (
        (f"Values of mixed types, deep nesting or very many keys are kept as JSON text in: {listed(mixed)}.",)
        if mixed
        else ()
    )
    return pl.DataFrame(columns), notes


def _typed_series(name: str, values: list[Any]) -> pl.Series | None:
    kinds = {type(value) for value in values if value is not None}
    if kinds & {dict, list} and _has_many_keys(values):
        return None
    try:
        if kinds == {str}:
            return pl.Series(name, values, dtype=pl.String)
        if float in kinds and kinds <= {int, float}:  # may hold NaN, which no JSON reader but Python's takes
            return pl.Series(
                name, [None if value is None else float(value) for value in values], dtype=pl.Float64
            )
        lines = [json.dumps({"value": value}).encode() for value in values]
        if any(_is_deep(line) for line in lines):
            return None
        text = b"\n".join(lines)
        column = pl.read_ndjson(text, infer_schema_length=None).to_series()
        dtype = in_order_of_appearance(column.dtype, values[:FIRST_LOOK_LINES])
        if dtype != column.dtype:
            column = pl.read_ndjson(text, schema={"value": dtype}).to_series()
        return column.alias(name)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OverflowError):
        return None


def _has_many_keys(values: list[Any]) -> bool:
    """Whether objects among values and in their lists have more keys than Polars types in good time."""
    keys: set[str] = set()
    n_filled = 0
    waiting = list(values)
    while waiting and len(keys) <= _MOST_FIELDS:
        value = waiting.pop()
        if isinstance(value, dict):
            keys.update(value)
            n_filled += len(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return len(keys) > _MOST_FIELDS or _is_sparse(len(values), len(keys), n_filled)


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
