"""Pools: files of every kind, and frames of every type.

The first byte says what the rest is: ``j`` JSON Lines, ``J`` JSON, ``c`` CSV, ``t`` TSV, ``p`` Parquet;
``f``, ``q``, ``l`` decisions that build a frame, which is read as it is, as Parquet or as JSON Lines. The
second byte names columns: ``t`` the task, ``i`` the id, ``b`` both, anything else none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from reader_fuzz.decisions import Decisions
from reader_fuzz.frames import is_written, try_build_frame
from reader_fuzz.mutation import Mutator, kind_of
from reader_fuzz.promises import BrokenPromiseError, check, check_sentence, equal_frames, outcome
from reader_fuzz.scratch import scratch_folder
from reader_fuzz.targets import Target
from tasksel.pool import Pool, load_pool, read_pool, scan_pool
from tasksel.pool_shapes import CANONICAL_COLUMNS, SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TARGET", "check_pool_reader"]

_FILES: Final = {
    b"j": ".jsonl",
    b"J": ".json",
    b"c": ".csv",
    b"t": ".tsv",
    b"p": ".parquet",
    b"f": "",
    b"q": ".parquet",
    b"l": ".jsonl",
}
"""What an input is by its first byte, and the suffix that it gets; none for a frame that is read as it is."""
_HEADS: Final = b"".join(_FILES)
_BUILT: Final = (b"f", b"q", b"l")
_LEADING: Final = ("prompt", "messages", "conversations", "instruction")
_NAMES: Final = (
    *CANONICAL_COLUMNS,
    *_LEADING,
    "input",
    "output",
    "context",
    "category",
    "completion",
    "original_id",
    "kind",
    "key",
)
_OPTIONS: Final = {
    b"t": {"task_column": "kind"},
    b"i": {"id_column": "key"},
    b"b": {"task_column": "kind", "id_column": "key"},
}
MUTATOR: Final = Mutator(heads=_HEADS, json=b"jJ", table=b"ct", parquet=b"p", names=_NAMES, leading=_LEADING)


def check_pool_reader(data: bytes) -> None:
    """Read a pool in every way and compare.

    Raises
    ------
    BrokenPromiseError, or anything that no reader may raise
    """
    kind = kind_of(data, _HEADS)
    options = _OPTIONS.get(data[1:2], {})
    frame = try_build_frame(Decisions(data[2:]), _LEADING, _NAMES) if kind in _BUILT else None
    if kind in _BUILT and frame is None:
        return
    if kind == b"f":
        _check_source(frame, options)
        return
    with scratch_folder() as folder:
        path = folder / f"pool{_FILES[kind]}"
        if frame is None:
            path.write_bytes(data[2:])
        elif not is_written(frame, path):
            return
        _check_source(path, options)


def _check_source(source: Path | pl.DataFrame, options: dict[str, str]) -> None:
    pool = outcome(lambda: load_pool(source, **options))
    lazily = _read_lazily(source, options)
    if isinstance(pool, str):
        # A lazy frame is not counted; all else that is wrong is found in either way.
        is_refused = isinstance(lazily, str) or "holds no rows" in pool
        check(is_refused, f"refused at once, and read lazily: {pool!r}")
        return
    _check_pool(pool)
    if isinstance(lazily, str):
        raise BrokenPromiseError(f"read at once, and refused lazily: {lazily!r}")
    check(equal_frames(pool.frame, lazily), "read lazily, the frame is another")
    again = load_pool(source, **options)
    check(equal_frames(pool.frame, again.frame), "read again, the frame is another")
    check(pool.sha256 == again.sha256 and pool.notes == again.notes, "read again, hash or notes are others")
    _check_canonical_again(pool.frame)
    if isinstance(source, pl.DataFrame):
        _check_kept(source, pool)
    elif source.suffix in (".jsonl", ".json") and "task_column" not in options and pool.shape == "tasksel":
        _check_against_json(source, pool, options)


def _read_lazily(source: Path | pl.DataFrame, options: dict[str, str]) -> pl.DataFrame | str:
    lazy = outcome(lambda: scan_pool(source, **options))
    if isinstance(lazy, str):
        return lazy
    try:
        return outcome(lazy.collect)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # Pages of a Parquet file are read by the caller's own collect, and so is what is wrong in them.
        return type(error).__name__


def _check_pool(pool: Pool) -> None:
    frame = pool.frame
    check(frame.height > 0, "the pool has no rows")
    check(pool.shape in SHAPES, f"the shape is {pool.shape!r}")
    check(len(pool.sha256) == 64, "the hash is none")
    present = [name for name in CANONICAL_COLUMNS if name in frame.columns]
    check(frame.columns[: len(present)] == present, f"the columns are {frame.columns}")
    check({"id", "prompt"} <= set(present), f"the columns are {frame.columns}")
    for name in present:
        check(frame[name].dtype == pl.String, f"{name} is {frame[name].dtype}")
        check(name == "response" or frame[name].null_count() == 0, f"{name} has nulls")
    for name in ("id", "task"):
        check(name not in present or not (frame[name] == "").any(), f"{name} is empty somewhere")
    check(frame["id"].n_unique() == frame.height, "ids repeat")
    for note in pool.notes:
        check_sentence(note)


def _check_canonical_again(frame: pl.DataFrame) -> None:
    """Read a canonical frame as a pool of its own, which is the same."""
    canonical = frame.select(name for name in CANONICAL_COLUMNS if name in frame.columns)
    check(equal_frames(read_pool(canonical), canonical), "the canonical frame is read as another")


def _check_kept(source: pl.DataFrame, pool: Pool) -> None:
    """Look for every column that is not canonical, which stands in the pool as it was."""
    for name in source.columns:
        if name not in CANONICAL_COLUMNS:
            is_kept = equal_frames(_column(source, name), _column(pool.frame, name))
            check(is_kept, f"{name!r} has changed")


def _column(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.select(pl.nth(frame.columns.index(name)))


def _check_against_json(path: Path, pool: Pool, options: dict[str, str]) -> None:
    """Compare texts of prompts and ids with what Python's own parser reads."""
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\\u" in raw.lower():  # halves of surrogate pairs are mended, with a note
        return
    rows = list(_rows(raw, path.suffix))
    for column in ("prompt", options.get("id_column", "id")):
        values = [row.get(column) for row in rows]
        if all(value is None or isinstance(value, str) for value in values):
            _check_texts(column, values, pool.frame)


def _rows(raw: bytes, suffix: str) -> Iterator[dict[str, Any]]:
    if suffix == ".jsonl":
        yield from (json.loads(line) for line in raw.split(b"\n") if line.strip())
        return
    content = json.loads(raw)
    yield from content["data"] if isinstance(content, dict) else content


def _check_texts(column: str, values: list[str | None], frame: pl.DataFrame) -> None:
    read = frame["prompt" if column == "prompt" else "id"].to_list()
    check(len(read) == len(values), f"{len(values)} rows were read as {len(read)}")
    for value, text in zip(values, read, strict=True):
        is_kept = (value or "") == text if column == "prompt" else value in (None, "", text)
        check(is_kept, f"{column} {value!r} was read as {text!r}")


TARGET: Final = Target(check_pool_reader, MUTATOR)
