"""Frames of every type that polars has, built from decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reader_fuzz.decisions import Decisions

__all__ = ["build_frame", "is_written", "try_build_frame"]

_MOST_ROWS: Final = 6
_MOST_COLUMNS: Final = 6
_MOST_LEVELS: Final = 3
_INTEGERS: Final = {
    pl.Int8: 1,
    pl.Int16: 2,
    pl.Int32: 4,
    pl.Int64: 8,
    pl.Int128: 16,
    pl.UInt8: 1,
    pl.UInt16: 2,
    pl.UInt32: 4,
    pl.UInt64: 8,
    pl.UInt128: 16,
}
_FLOATS: Final = (0.0, -0.0, 1.0, -1.5, 0.1, 1e300, -1e-300, float("nan"), float("inf"), float("-inf"))


def build_frame(decisions: Decisions, leading: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """Build a frame.

    Parameters
    ----------
    decisions : Decisions
        They decide on the number of rows, on names, types and values.
    leading : sequence of str
        Names of which the reader needs one, with text in it or a conversation.
    names : sequence of str
        Names that mean something to the reader; others come too.
    """
    n_rows = decisions.below(_MOST_ROWS + 1)
    first = decisions.choose((_text_series, _text_series, _conversation_series, _series))
    columns = {name: first(decisions, n_rows, 0) for name in [decisions.choose(leading)]}
    for _ in range(decisions.below(_MOST_COLUMNS)):
        name = decisions.choose(names) if decisions.below(8) else decisions.text()
        columns[name] = (_text_series if decisions.below(3) == 0 else _series)(decisions, n_rows, 0)
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])


def try_build_frame(
    decisions: Decisions, leading: Sequence[str], names: Sequence[str]
) -> pl.DataFrame | None:
    """Build a frame as `build_frame` does; None where polars itself refuses a combination of types."""
    try:
        return build_frame(decisions, leading, names)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def is_written(frame: pl.DataFrame, path: Path) -> bool:
    """Write a frame as Parquet or JSON Lines, by the suffix; False where polars cannot."""
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_ndjson(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return True


def _series(decisions: Decisions, length: int, level: int = 0) -> pl.Series:
    builders = _FLAT if level == _MOST_LEVELS else (*_FLAT, *_NESTED)
    return decisions.choose(builders)(decisions, length, level)


def _with_nulls(decisions: Decisions, series: pl.Series) -> pl.Series:
    if not decisions.flag():
        return series
    kept = pl.Series([decisions.below(4) > 0 for _ in range(len(series))], dtype=pl.Boolean)
    return pl.select(pl.when(kept).then(series)).to_series()


def _text_series(decisions: Decisions, length: int, level: int = 0) -> pl.Series:
    del level
    texts = pl.Series([decisions.text() for _ in range(length)], dtype=pl.String)
    return _with_nulls(decisions, texts)


def _category_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    texts = _text_series(decisions, length, level)
    if decisions.flag():
        return texts.cast(pl.Categorical)
    return texts.cast(pl.Enum(texts.drop_nulls().unique(maintain_order=True)))


def _integer_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    del level
    dtype = decisions.choose(list(_INTEGERS))
    n_bytes = _INTEGERS[dtype]
    signed = [decisions.whole(n_bytes) for _ in range(length)]
    numbers = signed if dtype.is_signed_integer() else [each % (1 << (8 * n_bytes)) for each in signed]
    return _with_nulls(decisions, pl.Series(numbers, dtype=dtype))


def _float_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    del level
    dtype = decisions.choose((pl.Float16, pl.Float32, pl.Float64))
    numbers = [decisions.choose(_FLOATS) for _ in range(length)]
    return _with_nulls(decisions, pl.Series(numbers, dtype=pl.Float64).cast(dtype))


def _time_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    del level
    numbers = pl.Series([decisions.whole() >> decisions.below(64) for _ in range(length)], dtype=pl.Int64)
    unit = decisions.choose(("ms", "us", "ns"))
    zone = decisions.choose((None, None, "UTC", "Europe/Berlin"))
    kinds: Sequence[Any] = (pl.Date, pl.Datetime(unit, zone), pl.Duration(unit), pl.Time)
    dtype = decisions.choose(kinds)
    if dtype == pl.Time:
        numbers = numbers.abs() % 86_400_000_000_000
    physical = numbers.cast(pl.Int32, strict=False) if dtype == pl.Date else numbers
    return _with_nulls(decisions, physical.cast(dtype))


def _other_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    del level
    kind = decisions.below(4)
    if kind == 0:
        return pl.Series([None] * length, dtype=pl.Null)
    if kind == 1:
        return _with_nulls(decisions, pl.Series([decisions.flag() for _ in range(length)], dtype=pl.Boolean))
    if kind == 2:
        return _with_nulls(decisions, pl.Series([decisions.raw(9) for _ in range(length)], dtype=pl.Binary))
    scale = decisions.below(10)
    numbers = [decisions.whole(4) for _ in range(length)]
    return _with_nulls(decisions, pl.Series(numbers, dtype=pl.Int64).cast(pl.Decimal(38, scale)))


def _list_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    counts = [decisions.below(4) for _ in range(length)]
    inner = _series(decisions, sum(counts), level + 1)
    return _with_nulls(decisions, _lists(inner, counts))


def _lists(inner: pl.Series, counts: Sequence[int]) -> pl.Series:
    # By slices alone: on the way through Python dates past the year 9999 would be lost.
    starts = [sum(counts[:place]) for place in range(len(counts))]
    none = inner.clear().implode().clear()
    return pl.concat([none, *(inner.slice(*span).implode() for span in zip(starts, counts, strict=True))])


def _array_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    width = 1 + decisions.below(3)
    inner = _series(decisions, length * width, level + 1)
    return _with_nulls(decisions, _lists(inner, [width] * length).cast(pl.Array(inner.dtype, width)))


def _struct_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    names = decisions.choose((("a",), ("text", "type"), ("role", "content"), ("from", "value"), ("content",)))
    fields = [_series(decisions, length, level + 1).alias(name) for name in names]
    return _with_nulls(decisions, pl.DataFrame(fields).to_struct())


def _conversation_series(decisions: Decisions, length: int, level: int) -> pl.Series:
    """Build what chats are kept in: lists of turns, whose content is text or a list of parts."""
    del level
    counts = [decisions.below(4) for _ in range(length)]
    n_turns = sum(counts)
    role, content = decisions.choose((("role", "content"), ("from", "value")))
    roles = pl.Series([decisions.choose(("user", "assistant", "GPT", "", "x")) for _ in range(n_turns)])
    turns = [_with_nulls(decisions, roles.cast(pl.String)).alias(role)]
    if decisions.below(4) == 0:
        parts = [decisions.below(3) for _ in range(n_turns)]
        texts = _text_series(decisions, sum(parts)).alias("text")
        turns.append(_with_nulls(decisions, _lists(pl.DataFrame([texts]).to_struct(), parts)).alias(content))
    else:
        turns.append(_text_series(decisions, n_turns).alias(content))
    return _with_nulls(decisions, _lists(_with_nulls(decisions, pl.DataFrame(turns).to_struct()), counts))


_Builder = "Callable[[Decisions, int, int], pl.Series]"
_FLAT: Final[tuple[Any, ...]] = (
    _text_series,
    _category_series,
    _integer_series,
    _float_series,
    _time_series,
    _other_series,
)
_NESTED: Final[tuple[Any, ...]] = (_list_series, _array_series, _struct_series, _conversation_series)
