"""What a pool lacks, filled in: ids become content hashes, tasks a name of their own, prompts empty."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import polars.selectors as cs

from tasksel.pool_repeats import repeated_keys, repeated_rows
from tasksel.pool_shapes import CANONICAL_COLUMNS
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["NO_TASK", "columns_sha256", "fill_frame"]

NO_TASK: Final = "(no task)"
"""The task of the rows that have none in a pool whose other rows do."""

_STEM_BYTES: Final = 8
"""Bytes of a prompt's SHA-256 that an id shows in hexadecimal digits."""
_CONTENT_ID: Final = rf"^[0-9a-f]{{{2 * _STEM_BYTES}}}(?:-[0-9]+)?$"
_BLOCK_ROWS: Final = 1 << 16


def fill_frame(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Fill what is missing: prompts become empty, tasks `NO_TASK`, ids content hashes.

    Parameters
    ----------
    frame : pl.LazyFrame
        A frame made by the columns of a `ShapePlan`.
    name : str
        What errors call the pool.

    Returns
    -------
    pl.LazyFrame
        The canonical frame. That given ids do not repeat is checked when it is collected.
    """
    columns = frame.collect_schema().names()
    prompt = pl.col("prompt").fill_null("")
    inputs = [prompt, pl.col("id")] if "id" in columns else [prompt]
    identifier = pl.map_batches(inputs, lambda series: _filled_ids(name, *series), return_dtype=pl.String)
    filled = [identifier.alias("id"), prompt]
    if "task" in columns:
        filled.append(
            pl.when(pl.col("task") != "").then(pl.col("task")).otherwise(pl.lit(NO_TASK)).alias("task")
        )
    order = [column for column in CANONICAL_COLUMNS if column == "id" or column in columns]
    rest = [column for column in columns if column not in CANONICAL_COLUMNS]
    return frame.with_columns(filled).select(cs.by_name(order + rest))


def _filled_ids(name: str, prompts: pl.Series, given: pl.Series | None = None) -> pl.Series:
    if given is None:
        return _content_ids(prompts, taken=set())
    missing = (given == "").fill_null(value=True)
    if not missing.any():
        _check_unique(name, given, given)
        return given
    known = given.filter(~missing)
    _check_unique(name, given, known)
    taken = set(known.filter(known.str.contains(_CONTENT_ID)))
    made = _content_ids(prompts.filter(missing), taken=taken)
    places = missing.cast(pl.Int64).cum_sum() - 1
    return made.gather(places.clip(lower_bound=0)).zip_with(missing, given)


def _content_ids(prompts: pl.Series, *, taken: set[str]) -> pl.Series:
    """Hash each prompt; the second row of the same prompt gets `-2`, and so on.

    Only the prompt counts, so that a prompt keeps its id when its answer comes in. Hashes are kept as
    numbers and texts are made block by block: Python's own strings would take four times the pool's memory.
    """
    stems = _prompt_stems(prompts)
    rows, names = _numbered_ids(stems, taken)
    blocks = []
    for start in range(0, len(stems), _BLOCK_ROWS):
        block = stems[start : start + _BLOCK_ROWS]
        ids = _stem_texts(block)
        first, end = np.searchsorted(rows, (start, start + len(block)))
        for row, identifier in zip(rows[first:end].tolist(), names[first:end], strict=True):
            ids[row - start] = identifier
        blocks.append(pl.Series("id", ids, dtype=pl.String))
    return pl.concat(blocks) if blocks else pl.Series("id", dtype=pl.String)


def _prompt_stems(prompts: pl.Series) -> NDArray[np.uint64]:
    """Return the first eight bytes of each prompt's SHA-256."""
    stems = np.empty(len(prompts), dtype=np.uint64)
    for start in range(0, len(prompts), _BLOCK_ROWS):
        texts = prompts.slice(start, _BLOCK_ROWS).to_list()
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:_STEM_BYTES] for text in texts)
        stems[start : start + len(texts)] = np.frombuffer(digests, dtype=">u8")
    return stems


def _stem_texts(stems: NDArray[np.uint64]) -> list[str]:
    return stems.astype(">u8").tobytes().hex(" ", _STEM_BYTES).split()


def _numbered_ids(stems: NDArray[np.uint64], taken: set[str]) -> tuple[NDArray[np.int64], pl.Series]:
    """Return the rows whose stem alone is no id, since another row has it, and their ids."""
    given = np.array([int(identifier[: 2 * _STEM_BYTES], 16) for identifier in taken], dtype=np.uint64)
    shared = pl.Series(np.concatenate([repeated_keys(stems), given]))
    rows = np.flatnonzero(pl.Series(stems).is_in(shared.implode()).to_numpy())
    by_stem = np.argsort(stems[rows], kind="stable")
    ids = _ids_in_turn(stems[rows[by_stem]], taken)
    in_turn = [
        pl.Series(block, dtype=pl.String) for block in iter(lambda: list(islice(ids, _BLOCK_ROWS)), [])
    ]
    if not in_turn:
        return rows, pl.Series(dtype=pl.String)
    return rows, pl.concat(in_turn).gather(np.argsort(by_stem))


def _ids_in_turn(stems: NDArray[np.uint64], taken: set[str]) -> Iterator[str]:
    """Yield an id a row: those of one stem, which stand side by side, are numbered past those taken."""
    before, count = "", 0
    for start in range(0, len(stems), _BLOCK_ROWS):
        for stem in _stem_texts(stems[start : start + _BLOCK_ROWS]):
            count = count + 1 if stem == before else 1
            while (identifier := stem if count == 1 else f"{stem}-{count}") in taken:
                count += 1
            before = stem
            yield identifier


def _check_unique(name: str, given: pl.Series, known: pl.Series) -> None:
    repeats = repeated_rows(known)
    if not repeats.any():
        return
    repeated = known.filter(repeats).unique(maintain_order=True)
    first, others = repeated[0], len(repeated) - 1
    rows = (given == first).arg_true()
    more = f", and {others:,} more ids repeat" if others else ""
    raise SchemaError(
        f"{name}: id {_shown(first)} stands in rows {rows[0] + 1:,} and {rows[1] + 1:,}{more}; ids must be "
        "unique: name another column with --id-column (id_column), or drop the column and ids are made from "
        "the prompts."
    )


def _shown(value: str, most: int = 40) -> str:
    return repr(value if len(value) <= most else value[: most - 1] + "…")


def columns_sha256(frame: pl.DataFrame, names: Sequence[str]) -> str:
    """Hash columns of text by content and order; a column that is missing counts as one of nulls.

    Examples
    --------
    >>> frame = pl.DataFrame({"prompt": ["ab", "c"]})
    >>> columns_sha256(frame, ["prompt"]) == columns_sha256(pl.DataFrame({"prompt": ["a", "bc"]}), ["prompt"])
    False
    """
    digest = hashlib.sha256()
    for name in names:
        # Lengths keep "ab" + "c" and "a" + "bc" apart; -1 keeps null and "" apart.
        for block in _text_blocks(frame, name):
            digest.update(
                block.str.len_bytes().cast(pl.Int64).fill_null(-1).to_numpy().astype("<i8").tobytes()
            )
        for block in _text_blocks(frame, name):
            digest.update("".join(block.fill_null("")).encode())
    return digest.hexdigest()


def _text_blocks(frame: pl.DataFrame, name: str) -> Iterator[pl.Series]:
    for start in range(0, frame.height, _BLOCK_ROWS):
        if name in frame.columns:
            yield frame[name].slice(start, _BLOCK_ROWS)
        else:
            yield pl.Series(name, [None] * min(_BLOCK_ROWS, frame.height - start), dtype=pl.String)
