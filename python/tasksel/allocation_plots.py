"""Pictures of an allocation: labels beside prompts, concentration, confidence of each task.

With hundreds of tasks a row each is too much: then the first and the last are drawn, and the median of those
between as one row. What a picture leaves out stands in the table.
"""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.charts import finish_chart, fit_width, import_altair, kind_legend, row_axis
from tasksel.charts_style import ARM_COLOURS, INK, RANDOM_GREY
from tasksel.wording import counted
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["MAX_ROWS", "plot_confidence", "plot_quotas", "plot_weights"]

MAX_ROWS: Final = 40
"""Tasks that get a row each."""
_FIRST_SHARE: Final = 0.6
"""Of the rows of many tasks: the rest are the last ones."""
_ROW_HEIGHT: Final = 17
_BLUE, _ORANGE = ARM_COLOURS[:2]
_QUOTA_COLOURS: Final = (_BLUE, _ORANGE, RANDOM_GREY)
_QUOTA_SHAPES: Final = ("circle", "diamond", "square")
_CURVES: Final = {
    "weight": (_ORANGE, [1, 0]),
    "labels": (_BLUE, [1, 0]),
    "prompts of the pool": (RANDOM_GREY, [6, 3]),
}
_LOG10: Final = math.log(10)
_LINEAR_FROM: Final = 0.01
"""Confidences that are all above stand on an axis from 0 to 1."""


def plot_quotas(table: pl.DataFrame, *, width: int = 640) -> Any:
    """Draw the labels of each task beside the prompts that it has; see `Allocation.plot_quotas`."""
    alt = import_altair()
    ordered = table.sort("weight", "picked", "task", descending=[True, True, False], nulls_last=True)
    rows = _some_rows(ordered.select("task", "available", "picked"))
    kinds = ["labels", "used up", "prompts"]
    is_capped = pl.col("picked") == pl.col("available")
    kind = pl.when(is_capped).then(pl.lit(kinds[1])).otherwise(pl.lit(kinds[0]))
    points = pl.concat(
        [
            rows.filter(~is_capped).select(
                "place", pl.col("available").cast(pl.Float64).alias("count"), kind=pl.lit(kinds[2])
            ),
            rows.select("place", pl.col("picked").cast(pl.Float64).alias("count"), kind=kind),
        ]
    )
    top = float(np.max(rows["available"].to_numpy(), initial=1))
    ticks = [0, *(10**power for power in range(int(math.log10(top)) + 1))]
    x = {
        "title": "prompts, on a logarithmic axis",
        "scale": alt.Scale(type="symlog", domain=[0, top * 1.15], nice=False),
        "axis": alt.Axis(values=ticks, format=",d", labelFlush=False),
    }
    y = row_axis(alt, rows["task"].to_list(), width=width)
    rule = alt.Chart(rows).mark_rule(color=RANDOM_GREY, opacity=0.55)
    rule = rule.encode(y=y, x=alt.X("picked:Q", **x), x2="available:Q")
    dots = alt.Chart(points).mark_point(filled=True, size=42, opacity=1)
    dots = dots.encode(
        y=y,
        x=alt.X("count:Q", **x),
        color=_legend(alt, "color", "kind", dict(zip(kinds, _QUOTA_COLOURS, strict=True)), width),
        shape=_legend(alt, "shape", "kind", dict(zip(kinds, _QUOTA_SHAPES, strict=True)), width),
    )
    order = "heaviest first" if table["weight"].null_count() < table.height else "most labels first"
    chart = fit_width(alt, rule + dots, width, alt.Step(_ROW_HEIGHT))
    return finish_chart(alt, chart, _capped_phrase(table), [_rows_phrase(table, order)])


def _capped_phrase(table: pl.DataFrame) -> str:
    capped = table.filter((pl.col("picked") == pl.col("available")) & (pl.col("picked") > 0)).height
    if not capped:
        return "No task gives all prompts that it has"
    gives = "1 task gives" if capped == 1 else f"{capped:,} of {table.height:,} tasks give"
    return f"{gives} all prompts that {'it has' if capped == 1 else 'they have'}"


def plot_weights(table: pl.DataFrame, *, width: int = 640) -> Any:
    """Draw how far weights, labels and prompts are concentrated; see `Allocation.plot_weights`."""
    alt = import_altair()
    names = {"weight": "weight", "picked": "labels", "available": "prompts of the pool"}
    found = {
        name: _concentration(table[column].to_numpy())
        for column, name in names.items()
        if table[column].null_count() == 0 and table[column].sum() > 0
    }
    curves = pl.concat(
        [
            pl.DataFrame({"tasks": np.arange(len(shares)), "share": shares, "of": name})
            for name, shares in found.items()
        ]
    )
    kinds = [name for name in names.values() if name in found]
    x = alt.X(
        "tasks:Q",
        title="number of tasks, largest share first",
        axis=alt.Axis(format=",d", tickMinStep=1, tickCount=6, grid=False),
        scale=alt.Scale(domain=[0, table.height], nice=False),
    )
    y = alt.Y("share:Q", title="share that they hold together", axis=alt.Axis(format=".0%", tickCount=5))
    equal = alt.Chart(pl.DataFrame({"tasks": [0, table.height], "share": [0.0, 1.0]}))
    diagonal = equal.mark_line(color=RANDOM_GREY, strokeWidth=1, strokeDash=[1, 3]).encode(x=x, y=y)
    lines = alt.Chart(curves).mark_line(strokeWidth=2.5)
    lines = lines.encode(
        x=x,
        y=y,
        color=_legend(alt, "color", "of", {kind: _CURVES[kind][0] for kind in kinds}, width),
        strokeDash=_legend(alt, "strokeDash", "of", {kind: _CURVES[kind][1] for kind in kinds}, width),
    )
    chart = fit_width(alt, diagonal + lines, width, min(300, round(width * 0.75)))
    return finish_chart(alt, chart, _concentration_title(table), [_effective_phrase(table)])


def plot_confidence(table: pl.DataFrame, *, spread: pl.DataFrame | None = None, width: int = 640) -> Any:
    """Draw how confident the model is in each task.

    Parameters
    ----------
    table : DataFrame
        As `Selection.allocation`.
    spread : DataFrame, optional
        ``task``, ``low``, ``median``, ``high``: quartiles of the log-confidences of its examples, null where
        there are none.
    width : int
        In pixels, names of tasks included.

    Returns
    -------
    altair.LayerChart
        A row a task, the least confident first.

    Raises
    ------
    SchemaError
        No task has a confidence.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair()
    known = table.drop_nulls("log_confidence").select("task", "log_confidence")
    if known.is_empty():
        raise SchemaError("No task has a confidence to draw: the selection was made without scores.")
    quartiles = pl.DataFrame(schema=_SPREAD_SCHEMA) if spread is None else spread.select(list(_SPREAD_SCHEMA))
    ordered = known.join(quartiles, on="task", how="left").sort("log_confidence", "task")
    scale = _ConfidenceScale(ordered)
    rows = scale.place(_some_rows(ordered))
    y = row_axis(alt, rows["task"].to_list(), width=width)
    x = {"title": scale.title, "scale": alt.Scale(domain=scale.domain, nice=False), "axis": scale.axis(alt)}
    mean = alt.Chart(rows).mark_point(filled=True, color=_BLUE, size=42, opacity=1)
    mean = mean.encode(y=y, x=alt.X("log_confidence:Q", **x))
    layers = [mean]
    if spread is not None:
        bar = alt.Chart(rows).mark_rule(color=_BLUE, opacity=0.4, strokeWidth=6)
        tick = alt.Chart(rows).mark_tick(color=INK, thickness=2, size=11)
        layers = [
            bar.encode(y=y, x=alt.X("low:Q", **x), x2="high:Q"),
            tick.encode(y=y, x=alt.X("median:Q", **x)),
            mean,
        ]
    phrase = "Dot: the task's confidence, the mean of its examples"
    subtitle = [_rows_phrase(known, "least confident first")]
    if spread is not None:
        subtitle.append(f"{phrase}; tick: their median; bar: the middle half of them")
    n_zero = int(known["log_confidence"].is_infinite().sum())
    if n_zero and not scale.is_linear:
        subtitle.append(f"{n_zero:,} with confidence 0 stand{'s' * (n_zero == 1)} at the left edge")
    chart = fit_width(alt, alt.layer(*layers), width, alt.Step(_ROW_HEIGHT))
    return finish_chart(alt, chart, "How confident the model is in each task", subtitle)


_SPREAD_SCHEMA: Final = {"task": pl.String, "low": pl.Float64, "median": pl.Float64, "high": pl.Float64}


class _ConfidenceScale:
    """Confidences from 0 to 1, or their powers of ten where they are too small for that."""

    def __init__(self, rows: pl.DataFrame) -> None:
        numbers = rows.select("log_confidence", "low", "median", "high").unpivot()["value"]
        lowest = numbers.filter(numbers.is_finite()).min()
        self._lowest = float(lowest) / _LOG10 if isinstance(lowest, float) else 0.0
        self.is_linear = self._lowest > math.log10(_LINEAR_FROM)
        self.domain = [0.0, 1.0] if self.is_linear else [self._lowest * 1.03, 0.0]
        self.title = "confidence" if self.is_linear else "confidence, on a logarithmic axis"

    def place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Turn log-confidences into places; a probability of 0 stands at the edge."""
        names = ["log_confidence", "low", "median", "high"]
        numbers = pl.col(names)
        placed = numbers.exp() if self.is_linear else (numbers / _LOG10).clip(self.domain[0], 0.0)
        return rows.with_columns(placed)

    def axis(self, alt: Any) -> Any:
        if self.is_linear:
            return alt.Axis(tickCount=5, format=".1f")
        step = next(step for step in _nice_steps() if step >= -self._lowest / 6)
        powers = list(range(0, math.floor(-self.domain[0]) + 1, step))
        names = json.dumps({str(-power): _power_of_ten(-power) for power in powers})
        return alt.Axis(values=[-power for power in powers], labelExpr=f"({names})[datum.value]")


def _nice_steps() -> Iterator[int]:
    for magnitude in itertools.count():
        yield from (10**magnitude, 2 * 10**magnitude, 5 * 10**magnitude)


def _power_of_ten(power: int) -> str:
    """Write a power of ten as people do.

    Examples
    --------
    >>> _power_of_ten(0), _power_of_ten(-2), _power_of_ten(-120)
    ('1', '0.01', '10⁻¹²⁰')
    """
    if power > -3:
        return f"{10.0**power:g}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _some_rows(ordered: pl.DataFrame) -> pl.DataFrame:
    """Take the first and the last rows, and the medians of those between as one row; number them."""
    if ordered.height <= MAX_ROWS:
        return ordered.with_row_index("place")
    n_first = math.ceil(_FIRST_SHARE * (MAX_ROWS - 1))
    n_last = MAX_ROWS - 1 - n_first
    between = ordered.slice(n_first, ordered.height - n_first - n_last)
    numbers = [name for name in ordered.columns if name != "task"]
    middle = between.select(pl.col(numbers).cast(pl.Float64).median()).with_columns(
        task=pl.lit(f"{between.height:,} tasks between, median")
    )
    parts = [each.with_columns(pl.col(numbers).cast(pl.Float64)) for each in (ordered.head(n_first), middle)]
    last = ordered.tail(n_last).with_columns(pl.col(numbers).cast(pl.Float64))
    rows = pl.concat([*(part.select(ordered.columns) for part in parts), last])
    return rows.with_row_index("place")


def _legend(alt: Any, channel: str, field: str, looks: dict[str, Any], width: int) -> Any:
    """Return the encoding of a channel by kind, with a legend above that fits the width."""
    kinds = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}
    legend = kind_legend(alt, len(looks), width=width)
    scale = alt.Scale(domain=list(looks), range=list(looks.values()))
    return kinds[channel](f"{field}:N", scale=scale, legend=legend)


def _rows_phrase(table: pl.DataFrame, order: str) -> str:
    if table.height <= MAX_ROWS:
        return f"{counted(table.height, 'task')}, the {order}"
    return f"The first and the last of {table.height:,} tasks, the {order}"


def _concentration(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share that the k largest hold together, for every k from 0."""
    largest_first = np.sort(values.astype(np.float64))[::-1]
    return np.concatenate([[0.0], np.cumsum(largest_first) / largest_first.sum()])


def _concentration_title(table: pl.DataFrame) -> str:
    has_weights = table["weight"].null_count() == 0 and table.height > 0
    shares = _concentration(table["weight" if has_weights else "picked"].to_numpy())
    count = int(np.searchsorted(shares, 0.5 - 1e-12))
    what = "weight" if has_weights else "labels"
    tasks = "1 task holds" if count == 1 else f"{count:,} tasks hold"
    return f"{tasks} half of the {what}"


def _effective_phrase(table: pl.DataFrame) -> str:
    parts = [
        f"{_effective(table[column].to_numpy()):.1f} by {name}"
        for column, name in (("weight", "weight"), ("picked", "labels"), ("available", "prompts"))
        if table[column].null_count() == 0 and table[column].sum() > 0
    ]
    return f"Effective number of tasks: {', '.join(parts)}; {table.height:,} in all"


def _effective(values: NDArray[Any]) -> float:
    shares = values / values.sum()
    return 1.0 / float(np.square(shares).sum())
