"""Pictures of a selection beside its pool: what more labels cover, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.charts import NARROW_BELOW, finish_chart, fit_width, import_altair, kind_legend
from tasksel.charts_style import ARM_COLOURS, RANDOM_GREY
from tasksel.embedding_plane import place_in_plane
from tasksel.wording import counted
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["covering_sentence", "plot_covering", "plot_map"]

MAX_POOL_POINTS: Final = 1_500
MAX_SELECTED_POINTS: Final = 800
"""More points hide each other and make the file large; a phone has room for a third of them."""
MAX_CURVE_POINTS: Final = 400
_BLUE, _ORANGE = ARM_COLOURS[:2]


def plot_covering(curve: pl.DataFrame, selected: int, *, width: int = 640) -> Any:
    """Draw how near the farthest prompt of the pool is to one that is labelled, over the number of labels.

    Parameters
    ----------
    curve : DataFrame
        ``labels`` (rising), ``radius``.
    selected : int
        Labels of the selection; a line stands there.
    width : int
        In pixels, axes included.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    SchemaError
        There is nothing to draw.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair()
    if curve.is_empty():
        raise SchemaError("The covering curve has no row to draw.")
    thinned = _thinned(curve, selected)
    x = alt.X(
        "labels:Q",
        title="labels, in the order of the selection",
        axis=alt.Axis(format=",d", tickCount=6, grid=False),
    )
    y = alt.Y("radius:Q", title="covering radius", axis=alt.Axis(tickCount=5))
    is_made = pl.col("labels") <= selected
    parts = [thinned.filter(is_made).with_columns(of=pl.lit("this selection"))]
    if thinned.filter(~is_made).height:
        after = thinned.filter(pl.col("labels") >= selected)
        parts.append(after.with_columns(of=pl.lit("with more labels")))
    looks = {"this selection": (_BLUE, [1, 0]), "with more labels": (_ORANGE, [6, 3])}
    kinds = [kind for kind in looks if any(kind in part["of"] for part in parts)]
    legend = kind_legend(alt, len(kinds), width=width)
    line = alt.Chart(pl.concat(parts)).mark_line(strokeWidth=2.5, interpolate="step-after")
    line = line.encode(
        x=x,
        y=y,
        color=alt.Color(
            "of:N", scale=alt.Scale(domain=kinds, range=[looks[kind][0] for kind in kinds]), legend=legend
        ),
        strokeDash=alt.StrokeDash(
            "of:N", scale=alt.Scale(domain=kinds, range=[looks[kind][1] for kind in kinds]), legend=legend
        ),
    )
    rule = alt.Chart(pl.DataFrame({"labels": [selected]})).mark_rule(color=RANDOM_GREY, strokeDash=[2, 2])
    chart = fit_width(alt, rule.encode(x=x) + line, width, min(260, round(width * 0.7)))
    subtitle = [
        "Distance of the farthest prompt of the pool to the nearest one with a label: lower is better"
    ]
    return finish_chart(alt, chart, covering_sentence(curve, selected), subtitle)


def covering_sentence(curve: pl.DataFrame, selected: int, *, further: int = 1_000) -> str:
    """Say what the next labels buy.

    Examples
    --------
    >>> curve = pl.DataFrame({"labels": [10, 20, 1020], "radius": [1.0, 0.8, 0.4]})
    >>> covering_sentence(curve, 20)
    'The next 1,000 labels would bring the covering radius from 0.8 to 0.4'
    """
    now = curve.filter(pl.col("labels") <= selected)["radius"]
    later = curve.filter((pl.col("labels") > selected) & (pl.col("labels") <= selected + further))
    if now.is_empty():
        return "Covering radius by number of labels"
    if later.is_empty():
        return f"The covering radius is {now[-1]:.3g} with {selected:,} labels"
    labels = int(later["labels"][-1]) - selected
    return (
        f"The next {counted(labels, 'label')} would bring the covering radius from "
        f"{now[-1]:.3g} to {later['radius'][-1]:.3g}"
    )


def _thinned(curve: pl.DataFrame, selected: int) -> pl.DataFrame:
    """Take so many rows that a line needs, the ends and the one of the selection among them."""
    if curve.height <= MAX_CURVE_POINTS:
        return curve
    rows = np.unique(np.geomspace(1, curve.height, MAX_CURVE_POINTS).round().astype(np.int64) - 1)
    at = int((curve["labels"] <= selected).sum()) - 1
    return curve[np.union1d(rows, [max(at, 0), curve.height - 1])]


def plot_map(
    vectors: NDArray[Any], selected_rows: NDArray[np.int64], *, seed: int = 0, width: int = 560
) -> Any:
    """Draw pool and selection in the plane of the pool's two principal directions.

    Parameters
    ----------
    vectors : ndarray, shape (n_pool, n_dimensions)
        Of the pool.
    selected_rows : ndarray of int64, shape (n_selected,)
        Pool rows.
    seed : int
        Of the choice of points where there are more than can be seen.
    width : int
        In pixels.

    Returns
    -------
    altair.Chart
    """
    alt = import_altair()
    rng = np.random.default_rng([seed, 37])
    is_selected = np.zeros(len(vectors), dtype=bool)
    is_selected[selected_rows] = True
    part = 3 if width < NARROW_BELOW else 1
    others = rng.permutation(np.flatnonzero(~is_selected))[: MAX_POOL_POINTS // part]
    chosen = rng.permutation(np.flatnonzero(is_selected))[: MAX_SELECTED_POINTS // part]
    points, explained = place_in_plane(vectors, np.concatenate([np.sort(others), np.sort(chosen)]))
    kinds = ["not selected", "selected"]
    frame = pl.DataFrame(
        {"x": points[:, 0], "y": points[:, 1], "kind": np.repeat(kinds, [len(others), len(chosen)]).tolist()}
    )
    hidden = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    legend = kind_legend(alt, len(kinds), width=width)
    chart = alt.Chart(frame).mark_point(filled=True, opacity=0.6)
    chart = chart.encode(
        x=alt.X("x:Q", axis=hidden, scale=alt.Scale(nice=False, padding=8, zero=False)),
        y=alt.Y("y:Q", axis=hidden, scale=alt.Scale(nice=False, padding=8, zero=False)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[RANDOM_GREY, _BLUE]), legend=legend),
        size=alt.Size("kind:N", scale=alt.Scale(domain=kinds, range=[12, 30]), legend=None),
    ).properties(width=width, height=round(width * 0.66))
    subtitle = [_map_phrase(len(vectors), len(others), len(chosen), len(selected_rows), explained)]
    return finish_chart(alt, chart, "Where the selection lies in the pool", subtitle)


def _map_phrase(n_pool: int, n_others: int, n_chosen: int, n_selected: int, explained: float) -> str:
    drawn = ""
    if n_chosen < n_selected or n_others < n_pool - n_selected:
        drawn = ". There are more points than can be seen; those drawn are a random choice"
    return (
        f"The two directions in which the pool differs most, with {explained:.0%} of its variance. What is "
        f"apart here is apart; what is together may differ in other directions{drawn}"
    )
