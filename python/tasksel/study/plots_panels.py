"""The panels of a study's pictures: marks, scales and axes of one world, and the look of each arm.

Drawing functions take the module altair, which is loaded by whoever calls them, and rows that are checked,
aggregated and named already.
"""

from __future__ import annotations

import math
from typing import Any, Final

import polars as pl

from tasksel.charts_style import (
    ARM_COLOURS,
    LABEL_CHAR_WIDTH,
    LEGEND_WIDTH,
    RANDOM_DASH,
    RANDOM_GREY,
    ArmStyle,
)

__all__ = [
    "ArmStyle",
    "draw_efficiency",
    "draw_forest",
    "draw_gains",
    "draw_lines",
    "draw_points",
    "format_share",
    "value_extent",
]

_WIDTH: Final = LEGEND_WIDTH
"""What a picture may take, in pixels, names of rows and axes included."""
_PANEL_WIDTH: Final = 280
_PANEL_HEIGHT: Final = 220
_WIDE_PANEL_WIDTH: Final = 560
_WIDE_PANEL_HEIGHT: Final = 300
_ROWS_WIDTH: Final = 320
"""Of a panel whose rows have names, which need the rest."""
_ROW_HEIGHT: Final = 24
_LOG_RATIO: Final = 4
"""Budgets that differ by this factor stand on a logarithmic axis, where doublings are equally far."""
_CONFIDENCE_LOG_RATIO: Final = 100
_MAX_SIDE_SHARE: Final = 0.08
"""Of an axis: how far arms of one budget are moved apart at most, together."""


def draw_lines(alt: Any, rows: pl.DataFrame, style: ArmStyle, axis_title: str, *, is_wide: bool) -> Any:
    """Draw a line an arm through the means, with the interval as a band."""
    scale = _log_scale(alt) if _spans(rows["budget"], _LOG_RATIO) else alt.Scale(zero=False, padding=10)
    x = alt.X("budget:Q", title="labels", scale=scale, axis=_budget_axis(alt, rows))
    # A label at the upper end would push the title of its panel above that of the next one.
    height = {
        "title": axis_title,
        "scale": alt.Scale(zero=False, nice=False, padding=10),
        "axis": alt.Axis(labelFlush=6),
    }
    base = alt.Chart(rows).encode(x=x)
    band = base.mark_area(opacity=0.14).encode(
        y=alt.Y("low:Q", **height), y2="high:Q", **style.encode("color")
    )
    mean = base.encode(y=alt.Y("value:Q", **height))
    line = mean.mark_line(strokeWidth=2).encode(**style.encode("color", "strokeDash"))
    point = mean.mark_point(filled=True, size=45, opacity=1).encode(**style.encode("color", "shape"))
    width = _WIDE_PANEL_WIDTH if is_wide else _PANEL_WIDTH
    return (band + line + point).properties(
        width=width, height=_WIDE_PANEL_HEIGHT if is_wide else _PANEL_HEIGHT
    )


def draw_points(alt: Any, rows: pl.DataFrame, style: ArmStyle, axis_title: str) -> Any:
    """Draw the only budget of a world: an arm a row, with an error bar."""
    y = alt.Y("arm:N", title=None, sort=style.arms, axis=_row_axis(alt, style.arms))
    axis = {
        "title": axis_title,
        "scale": alt.Scale(zero=False, nice=False, padding=12),
        "axis": alt.Axis(tickCount=5),
    }
    base = alt.Chart(rows).encode(y=y)
    bar = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", **axis), x2="high:Q", **style.encode("color", "strokeDash", legend=False)
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("value:Q", **axis), **style.encode("color", "shape", legend=False)
    )
    return (bar + point).properties(width=_ROWS_WIDTH, height=alt.Step(_ROW_HEIGHT))


def _row_axis(alt: Any, names: list[str]) -> Any:
    most = _WIDTH - _ROWS_WIDTH
    extent = min(most, LABEL_CHAR_WIDTH * max(map(len, names)) + 6)
    return alt.Axis(labelLimit=most, minExtent=extent, ticks=False, domain=False)


def _budget_axis(alt: Any, rows: pl.DataFrame) -> Any:
    """Return an axis with a tick at each budget: the labels, and below them their share of the pool."""
    budgets = rows.group_by("budget").agg(pl.col("budget_share").max()).sort("budget")
    names = ", ".join(
        f"'{budget}': {[f'{budget:,}', *([] if share is None else [format_share(share)])]}"
        for budget, share in budgets.select("budget", "budget_share").iter_rows()
    )
    return alt.Axis(values=budgets["budget"].to_list(), labelExpr=f"({{{names}}})[datum.value]", grid=False)


def draw_forest(alt: Any, rows: pl.DataFrame, style: ArmStyle, axis: dict[str, Any]) -> Any:
    """Draw a row a difference: its interval, a dot that is filled where it excludes zero, its p-value."""
    y = alt.Y("name:N", title=None, sort=rows["name"].to_list(), axis=_row_axis(alt, rows["name"].to_list()))
    base = alt.Chart(rows).encode(y=y)
    colour = style.encode("color", legend=False)
    bar = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **axis), x2="high:Q", **colour)
    point = base.mark_point(size=60, strokeWidth=2, opacity=1).encode(
        x=alt.X("difference:Q", **axis), fill=style.fill_where("datum.excludes_zero"), **colour
    )
    p_value = base.mark_text(align="left", fontSize=11).encode(text="p:N", x=alt.value(_ROWS_WIDTH + 10))
    chart = _zero_rule(alt, "x") + bar + point + p_value
    return chart.properties(width=_ROWS_WIDTH, height=alt.Step(_ROW_HEIGHT))


def draw_gains(alt: Any, rows: pl.DataFrame, gain_title: str) -> Any:
    """Draw a dot a task, larger for more labels, with a line where nothing was gained."""
    scale, axis = _confidence_scale(alt, rows["confidence"])
    dots = alt.Chart(rows).mark_point(
        filled=True, color=ARM_COLOURS[0], opacity=0.6, stroke="white", strokeWidth=0.5
    )
    dots = dots.encode(
        x=alt.X("confidence:Q", title="confidence of the task before training", scale=scale, axis=axis),
        y=alt.Y("gain:Q", title=gain_title, axis=alt.Axis(tickCount=7)),
        size=alt.Size("labels:Q", title="labels", scale=alt.Scale(range=[30, 300])),
        tooltip=["task:N", "confidence:Q", "gain:Q", "labels:Q"],
    )
    return (_zero_rule(alt, "y") + dots).properties(width=_WIDE_PANEL_WIDTH, height=_WIDE_PANEL_HEIGHT)


def draw_efficiency(alt: Any, rows: pl.DataFrame, style: ArmStyle) -> Any:
    """Draw what random needs against what an arm had, beside the line where both are equal."""
    ends = ("budget", "labels_random_needs", "low", "high")
    numbers = pl.concat([rows[name].cast(pl.Float64) for name in ends]).drop_nulls()
    lowest, highest = value_extent(numbers)
    is_log = _spans(numbers, _LOG_RATIO)
    margin = (highest / lowest) ** 0.05 if is_log else 1.05
    edges = (lowest / margin, highest * margin) if is_log else (min(0.0, lowest), highest * margin or 1.0)
    ticks = {"values": _doublings(rows["budget"], edges)} if is_log else {"tickCount": 5}
    axis = {
        "scale": alt.Scale(type="log" if is_log else "linear", domain=edges, nice=False),
        "axis": alt.Axis(grid=False, format=",d", **ticks),
    }
    x = alt.X("x:Q", title="labels that the arm had", **axis)
    axis["title"] = "labels that random needs"
    base = alt.Chart(_place(rows, edges, is_log=is_log)).encode(x=x)
    bar = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", **axis), y2="high:Q", **style.encode("color"))
    point = base.mark_point(size=60, strokeWidth=2, opacity=1).encode(
        y=alt.Y("y:Q", **axis),
        fill=style.fill_where("datum.is_reached"),
        **style.encode("color", "shape"),
    )
    equal = alt.Chart(pl.DataFrame({"x": list(edges), "y": list(edges)}))
    diagonal = equal.mark_line(color=RANDOM_GREY, strokeDash=RANDOM_DASH, strokeWidth=1.5)
    diagonal = diagonal.encode(x=x, y=alt.Y("y:Q", **axis))
    return (diagonal + bar + point).properties(width=_PANEL_WIDTH, height=_PANEL_WIDTH)


def _doublings(budgets: pl.Series, edges: tuple[float, float]) -> list[float]:
    """Return the budgets with their doublings and halvings up to the edges, which are above 0."""
    ticks = {float(budget) for budget in budgets}
    lowest, highest = min(ticks), max(ticks)
    while lowest / 2 >= edges[0]:
        lowest /= 2
        ticks.add(lowest)
    while highest * 2 <= edges[1]:
        highest *= 2
        ticks.add(highest)
    return sorted(ticks)


def _place(rows: pl.DataFrame, edges: tuple[float, float], *, is_log: bool) -> pl.DataFrame:
    """Give every row its place: open ends at the edges, arms of one budget side by side."""
    arms = rows["arm"].unique().sort().to_list()
    step = min(0.02, _MAX_SIDE_SHARE / len(arms))
    side = {arm: step * (number - (len(arms) - 1) / 2) for number, arm in enumerate(arms)}
    span = math.log(edges[1] / edges[0]) if is_log else edges[1] - edges[0]
    moved = [
        budget * math.exp(side[arm] * span) if is_log else budget + side[arm] * span
        for arm, budget in rows.select("arm", "budget").iter_rows()
    ]
    reached = pl.col("labels_random_needs").is_not_null()
    return rows.select(
        "arm",
        "budget",
        pl.Series("x", moved, pl.Float64),
        pl.col("labels_random_needs").fill_null(edges[1]).alias("y"),
        pl.col("low").fill_null(pl.when(reached).then(edges[0]).otherwise(edges[1])),
        pl.col("high").fill_null(edges[1]),
        reached.alias("is_reached"),
    ).sort("arm", "budget")


def _confidence_scale(alt: Any, confidence: pl.Series) -> tuple[Any, Any]:
    """Return a logarithmic scale, with an axis of powers of ten, where confidences differ that much."""
    if not _spans(confidence, _CONFIDENCE_LOG_RATIO):
        return alt.Scale(zero=False, padding=12), alt.Axis()
    lowest, highest = value_extent(confidence)
    powers = range(math.ceil(math.log10(lowest)), math.floor(math.log10(highest)) + 1)
    label = "format(datum.value, datum.value < 0.001 ? '.0e' : '~g')"
    return _log_scale(alt), alt.Axis(values=[10.0**power for power in powers], labelExpr=label)


def _zero_rule(alt: Any, channel: str) -> Any:
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=RANDOM_GREY, strokeDash=[2, 2])
    return zero.encode(**{channel: alt.X("zero:Q") if channel == "x" else alt.Y("zero:Q")})


def _log_scale(alt: Any) -> Any:
    return alt.Scale(type="log", nice=False, padding=12)


def _spans(values: pl.Series, ratio: float) -> bool:
    lowest, highest = value_extent(values)
    return lowest > 0 and highest / lowest >= ratio


def value_extent(values: pl.Series) -> tuple[float, float]:
    """Return the smallest and the largest number."""
    numbers = values.cast(pl.Float64).to_numpy()
    return float(numbers.min()), float(numbers.max())


def format_share(share: float) -> str:
    """Return a share as a percentage.

    Examples
    --------
    >>> format_share(1), format_share(0.2), format_share(0.0033)
    ('100 %', '20 %', '0.33 %')
    """
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
