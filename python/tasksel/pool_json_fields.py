"""In which order the objects in the columns of a JSON pool have their fields.

Where the objects in a list have their keys in different orders, Polars gives the fields of their type in
another order from one call to the next, and the files of a run would not be the same bytes again.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from polars._typing import PolarsDataType

__all__ = ["FIRST_LOOK_LINES", "count_fields", "in_order_of_appearance", "steady_schema"]

FIRST_LOOK_LINES: Final = 1_000
"""Lines, or rows, by which a file is judged first, and whose objects give the order of fields."""


def count_fields(dtypes: Iterable[PolarsDataType]) -> int:
    """Return how many fields the objects in columns of these types have, at any depth."""
    return sum(map(_n_fields, dtypes))


def _n_fields(dtype: PolarsDataType) -> int:
    if isinstance(dtype, (pl.List, pl.Array)):
        return _n_fields(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return len(dtype.fields) + count_fields(field.dtype for field in dtype.fields)
    return 0


def steady_schema(schema: Mapping[str, PolarsDataType], lines: Iterable[str]) -> pl.Schema:
    """Return the schema of JSON Lines with the fields of objects as the first lines have them.

    Parameters
    ----------
    schema : mapping of str to DataType
        What Polars found.
    lines : iterable of str
        Lines of the file, from its first one; `FIRST_LOOK_LINES` of them are looked at.

    Returns
    -------
    pl.Schema
        The same columns in the same order.

    Raises
    ------
    ValueError, RecursionError
        One of these lines is no JSON.
    """
    rows = [json.loads(line) for line in itertools.islice(lines, FIRST_LOOK_LINES) if line.strip()]
    objects = [row for row in rows if isinstance(row, dict)]
    return pl.Schema(
        (name, in_order_of_appearance(dtype, [row.get(name) for row in objects]))
        for name, dtype in schema.items()
    )


def in_order_of_appearance(dtype: PolarsDataType, values: Sequence[object]) -> PolarsDataType:
    """Return a type with the fields of its objects in the order in which values have them, then by name."""
    if isinstance(dtype, pl.List):
        items = [item for value in values if isinstance(value, list) for item in value]
        return pl.List(in_order_of_appearance(dtype.inner, items))
    if not isinstance(dtype, pl.Struct):
        return dtype
    objects = [value for value in values if isinstance(value, dict)]
    place = {name: at for at, name in enumerate(dict.fromkeys(name for each in objects for name in each))}
    fields = sorted(dtype.fields, key=lambda field: (place.get(field.name, len(place)), field.name))
    return pl.Struct(
        {
            field.name: in_order_of_appearance(field.dtype, [each.get(field.name) for each in objects])
            for field in fields
        }
    )
