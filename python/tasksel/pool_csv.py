"""CSV and TSV files of a pool.

Polars reads; Python's own parser runs only over a file that may be ragged, to say in which line. All
columns are read as text, and a column becomes numbers only where that loses nothing.
"""

from __future__ import annotations

import codecs
import csv
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import polars.selectors as cs

from tasksel.pool_file_scan import FileScan, first_clause, no_rows
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["scan_csv"]

# A number whose text survives the way to Int64 and Float64: no leading zero (zip codes, numbers of
# articles), no more digits than a float64 holds exactly.
_INTEGER: Final = r"^(?:0|-?[1-9][0-9]{0,14})$"
_FLOAT: Final = r"^(?:-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|-?inf)$"
_LIKE_ZLIB: Final = (b"x\x01", b"x^", b"x\xda")
"""What Polars takes for a compressed file, and UTF-8 may begin with."""
_BOOLEAN: Final = r"^(?:true|false)$"


def scan_csv(path: Path, separator: str, *, text_columns: frozenset[str], eager: bool) -> FileScan:
    """Open a CSV or TSV file lazily, after one streaming pass that learns which columns are numbers.

    Parameters
    ----------
    path : Path
        A file of UTF-8 text.
    separator : str
        `","` or a tab.
    text_columns : frozenset of str
        Columns that stay text even where every value looks like a number.
    eager : bool
        Read the rows now.

    Returns
    -------
    FileScan
        The columns; lines that are blank or hold nothing but separators are left out.

    Raises
    ------
    SchemaError
        A line has too few or too many fields, a quote is left open, a name stands twice in the header,
        or there are no rows.
    """
    _check_header(path, separator)
    try:
        lazy = pl.scan_csv(
            _source(path),
            glob=False,
            separator=separator,
            infer_schema=False,
            encoding="utf8",
            raise_if_empty=True,
        )
        # A blank line comes as a row of nulls; a quoted empty text ("") is not null and stays.
        lazy = lazy.filter(~pl.all_horizontal(pl.all().is_null()))
        if eager:
            lazy = lazy.collect().lazy()
        facts = _csv_facts(lazy)
    except pl.exceptions.NoDataError as error:
        raise no_rows(path) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _check_records(path, separator)
        raise SchemaError(f"{path.name} cannot be read as CSV ({first_clause(error)}).") from error
    if facts["rows"] == 0:
        if any("\r" in name for name in lazy.collect_schema()):
            raise SchemaError(f"{path.name} ends its lines with CR alone; save it with LF or CRLF line ends.")
        raise no_rows(path)
    # Polars fills a line that has too few fields with nulls; only then is the slow check needed.
    if facts["last_has_nulls"]:
        _check_records(path, separator)
    casts = [
        expression
        for position, name in enumerate(lazy.collect_schema())
        if name not in text_columns and (expression := _typed_column(facts, position, name)) is not None
    ]
    return FileScan(lazy.with_columns(casts))


def _source(path: Path) -> Path | bytes:
    """Return the file, or its bytes behind a byte order mark where it begins as zlib's files do: ``x^2``."""
    with path.open("rb") as source:
        head = source.read(2)
    return codecs.BOM_UTF8 + path.read_bytes() if head in _LIKE_ZLIB else path


def _csv_facts(lazy: pl.LazyFrame) -> dict[str, Any]:
    names = lazy.collect_schema().names()
    facts = [pl.len().alias("rows"), cs.by_name(names[-1]).is_null().any().alias("last_has_nulls")]
    for position, name in enumerate(names):
        column = cs.by_name(name)
        facts.append(column.is_not_null().any().alias(f"{position} filled"))
        for kind, pattern in (("integer", _INTEGER), ("float", _FLOAT), ("boolean", _BOOLEAN)):
            facts.append(column.str.contains(pattern).all().alias(f"{position} {kind}"))
    return lazy.select(facts).collect(engine="streaming").row(0, named=True)


def _typed_column(facts: dict[str, Any], position: int, name: str) -> pl.Expr | None:
    """Give a column in the first type that all its values fit, or None where it stays text."""
    column = cs.by_name(name)
    if not facts[f"{position} filled"]:
        return None
    if facts[f"{position} boolean"]:
        return column == "true"
    if facts[f"{position} integer"]:
        return column.cast(pl.Int64)
    return column.cast(pl.Float64) if facts[f"{position} float"] else None


def _check_header(path: Path, separator: str) -> None:
    """Refuse a column name that stands twice; Polars would rename the second."""
    _, header = next(_csv_records(path, separator), (0, []))
    repeated = next((name for position, name in enumerate(header) if name in header[:position]), None)
    if repeated is not None:
        raise SchemaError(
            f"{path.name}: column {repeated!r} stands twice in the header; names must be unique."
        )


def _check_records(path: Path, separator: str) -> None:
    """Raise for the first record that has another number of fields than the header or an open quote."""
    n_fields = 0
    for line, record in _csv_records(path, separator, strict=True):
        n_fields = n_fields or len(record)
        if record and len(record) != n_fields:
            raise SchemaError(
                f"{path.name}, line {line:,} has {_fields(len(record))} where the header has "
                f"{_fields(n_fields)}; a text with the separator or a line end in it stands in double quotes."
            )


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def _csv_records(path: Path, separator: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Give each record with the number of its first line, counted from 1."""
    limit = csv.field_size_limit(2**31 - 1)
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as source:
            # A lone CR inside an unquoted text, and NUL before Python 3.11, stop this parser but not
            # Polars; neither changes the number of fields.
            lines = (line.rstrip("\r\n").replace("\r", " ").replace("\0", " ") + "\n" for line in source)
            reader = csv.reader(lines, delimiter=separator, strict=strict)
            for record in reader:
                yield line, record
                line = reader.line_num + 1
    except csv.Error as error:
        raise SchemaError(
            f"{path.name}: the record that begins in line {line:,} is not valid CSV ({first_clause(error)}); "
            "is a quote left open?"
        ) from error
    finally:
        csv.field_size_limit(limit)
