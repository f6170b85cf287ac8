"""Pictures of a coverage: the yardstick with the set on it, and the clusters that lack rows."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from tasksel.charts import finish_chart, fit_width, import_altair, kind_legend, row_axis
from tasksel.charts_style import ARM_COLOURS, RANDOM_GREY
from tasksel_core.errors import SchemaError

__all__ = ["plot_calibration", "plot_gaps"]

MAX_CLUSTERS: Final = 25
_ROW_HEIGHT: Final = 18
_BLUE, _ORANGE = ARM_COLOURS[:2]


def plot_calibration(
    calibration: pl.DataFrame, shortfall: float | None, coverage_equivalent: float | None, *, width: int = 640
) -> Any:
    """Draw what the shortfall becomes of real rows when mass is removed, and where the set stands.

    Parameters
    ----------
    calibration : DataFrame
        ``missing``, ``shortfall``, ``deviation``.
    shortfall, coverage_equivalent : float or None
        Of the set.
    width : int
        In pixels, axes included.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    SchemaError
        There were too few real rows for a yardstick.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair()
    if calibration.is_empty() or shortfall is None or coverage_equivalent is None:
        raise SchemaError("There is no yardstick to draw: there were too few real rows.")
    curve = calibration.with_columns(
        low=(pl.col("shortfall") - 2 * pl.col("deviation")).clip(0.0, None),
        high=pl.col("shortfall") + 2 * pl.col("deviation"),
    )
    x = alt.X("missing:Q", title="real mass that is missing", axis=alt.Axis(format=".0%", tickCount=5))
    title = "shortfall"
    band = alt.Chart(curve).mark_area(color=_BLUE, opacity=0.16)
    line = alt.Chart(curve).mark_line(color=_BLUE, strokeWidth=2.5)
    here = alt.Chart(pl.DataFrame({"missing": [1 - coverage_equivalent], "shortfall": [shortfall]}))
    layers = [
        band.encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q"),
        line.encode(x=x, y=alt.Y("shortfall:Q", title=title)),
        here.mark_rule(color=_ORANGE, strokeDash=[4, 3]).encode(y="shortfall:Q"),
        here.mark_rule(color=_ORANGE, strokeDash=[4, 3]).encode(x="missing:Q"),
        here.mark_point(filled=True, color=_ORANGE, size=90, opacity=1).encode(x=x, y="shortfall:Q"),
    ]
    chart = fit_width(alt, alt.layer(*layers), width, min(260, round(width * 0.7)))
    headline = f"The set looks as real rows do with {1 - coverage_equivalent:.0%} of their mass missing"
    subtitle = (
        "Line: real rows of which a known part was removed, with two standard deviations; dot: the set. "
        "The less is missing, the better"
    )
    return finish_chart(alt, chart, headline, [subtitle])


def plot_gaps(clusters: pl.DataFrame, *, width: int = 640) -> Any:
    """Draw the shares of both sets in the clusters that lack most.

    Parameters
    ----------
    clusters : DataFrame
        What lacks most first: ``cluster``, ``task`` where there are tasks, ``real_share``,
        ``synthetic_share``, ``low``, ``high``, ``is_gap``.
    width : int
        In pixels, axes included.

    Returns
    -------
    altair.LayerChart
        A row a cluster with the interval of the synthetic share.

    Raises
    ------
    SchemaError
        There is no cluster to draw.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair()
    if clusters.is_empty():
        raise SchemaError("There is no cluster to draw.")
    rows = clusters.head(MAX_CLUSTERS).with_row_index("place")
    y = row_axis(alt, _cluster_names(rows), width=width)
    kinds = {"real": RANDOM_GREY, "synthetic": _BLUE, "synthetic, too few": _ORANGE}
    shapes = {"real": "square", "synthetic": "circle", "synthetic, too few": "diamond"}
    synthetic = pl.when("is_gap").then(pl.lit("synthetic, too few")).otherwise(pl.lit("synthetic"))
    points = pl.concat(
        [
            rows.select("place", share="real_share", kind=pl.lit("real")),
            rows.select("place", share="synthetic_share", kind=synthetic),
        ]
    )
    axis = {"title": "share of the rows", "axis": alt.Axis(format=".0%", tickCount=5)}
    legend = kind_legend(alt, len(kinds), width=width)
    bar = alt.Chart(rows).mark_rule(color=RANDOM_GREY, opacity=0.6)
    dots = alt.Chart(points).mark_point(filled=True, size=45, opacity=1)
    dots = dots.encode(
        y=y,
        x=alt.X("share:Q", **axis),
        color=alt.Color("kind:N", legend=legend, scale=alt.Scale(domain=[*kinds], range=[*kinds.values()])),
        shape=alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=[*shapes], range=[*shapes.values()])),
    )
    bars = bar.encode(y=y, x=alt.X("low:Q", **axis), x2="high:Q")
    chart = fit_width(alt, bars + dots, width, alt.Step(_ROW_HEIGHT))
    n_gaps = int(clusters["is_gap"].sum())
    headline = f"{n_gaps:,} of {clusters.height:,} clusters have too few rows"
    subtitle = ["The clusters of the real rows that lack most; lines: 95 % intervals of the synthetic share"]
    return finish_chart(alt, chart, headline, subtitle)


def _cluster_names(rows: pl.DataFrame) -> list[str]:
    if "task" not in rows.columns:
        return [f"cluster {cluster}" for cluster in rows["cluster"]]
    return [f"{cluster}: {task}" for cluster, task in rows.select("cluster", "task").iter_rows()]
