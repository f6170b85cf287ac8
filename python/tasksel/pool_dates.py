"""Dates and times in the columns of a pool: as text, and as the numbers that they are kept as.

Polars panics on writing a date that no calendar has, and a panic is no error that a caller would catch. So
dates are looked at as numbers before they are written.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["dates_as_numbers", "dates_as_text"]

_FIRST_DAY: Final = -719_162
_LAST_DAY: Final = 2_932_896
"""The first day of the year 1 and the last one of 9999, counted from 1970: what ISO 8601 writes with four
digits and Python's own dates hold."""
_UNITS_A_DAY: Final[Mapping[str, int]] = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_NUMBERS: Final[Mapping[Any, Any]] = {
    pl.Date: pl.Int32,
    pl.Datetime: pl.Int64,
    pl.Duration: pl.Int64,
    pl.Time: pl.Int64,
}


def dates_as_text(expression: pl.Expr, where: str) -> pl.Expr:
    """Write dates and points in time as text.

    Parameters
    ----------
    expression : pl.Expr
        Of type Date or Datetime.
    where : str
        Pool and column, for the error: ``pool.parquet: column 'id'``.

    Returns
    -------
    pl.Expr
        String, for lazy frames: collecting it raises `SchemaError` where a date lies outside of the years 1
        to 9999, and an eager query would add to the error where in it that was raised.
    """
    return pl.map_batches([expression], partial(_as_text, where), return_dtype=pl.String)


def _as_text(where: str, series: Sequence[pl.Series]) -> pl.Series:
    (dates,) = series
    units = _UNITS_A_DAY[dates.dtype.time_unit] if isinstance(dates.dtype, pl.Datetime) else 1
    days = dates.to_physical() // units
    if not days.is_between(_FIRST_DAY, _LAST_DAY).all():  # nulls are passed over
        raise SchemaError(f"{where} holds a date outside of the years 1 to 9999, which cannot be written.")
    return dates.cast(pl.String)


def dates_as_numbers(dtype: Any) -> Any:
    """Return a type with numbers in the place of dates and times, inside of lists and structs too.

    Examples
    --------
    >>> dates_as_numbers(pl.List(pl.Date))
    List(Int32)
    """
    if isinstance(dtype, pl.List):
        return pl.List(dates_as_numbers(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(dates_as_numbers(dtype.inner), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: dates_as_numbers(field.dtype) for field in dtype.fields})
    return next((number for date, number in _NUMBERS.items() if dtype == date), dtype)
