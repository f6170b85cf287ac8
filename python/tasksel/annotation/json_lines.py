"""An assignment as JSON Lines: one object a prompt, with fields to fill in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tasksel.run_folder import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import polars as pl

__all__ = ["JSON_LINES_NAME", "write_lines", "write_table_lines"]

JSON_LINES_NAME: Final = "answers.jsonl"


def write_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Write objects, one a line, atomically; texts stay texts, and only control characters are escaped."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in objects)


def write_table_lines(path: Path, table: pl.DataFrame) -> None:
    """Write the rows of a table, one object a line."""
    write_lines(path, table.iter_rows(named=True))
