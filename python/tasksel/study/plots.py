"""Pictures of a study: what each arm scores, what it is worth against a baseline, where its gain comes from.

An arm is one way to select, a world one pool with its model, a cell one training: an arm in a world with a
budget and a seed. Means and intervals are computed here and not by the drawing library, so that a picture
shows the numbers that a table beside it has. Random is grey in every picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.charts import PLOT_FORMATS, finish_chart, import_altair, save_chart
from tasksel.intervals import bootstrap_interval
from tasksel.study.plots_panels import (
    ArmStyle,
    draw_efficiency,
    draw_forest,
    draw_gains,
    draw_lines,
    draw_points,
    format_share,
    value_extent,
)
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PLOT_FORMATS",
    "plot_differences",
    "plot_gains_by_confidence",
    "plot_label_efficiency",
    "plot_scores_by_budget",
    "save_chart",
]

_MINUS: Final = "\N{MINUS SIGN}"


def plot_scores_by_budget(
    cells: pl.DataFrame, *, value_name: str = "score", lower_is_better: bool = False, seed: int = 0
) -> Any:
    """Draw what each arm scores with each budget: a line an arm, a panel a world.

    Parameters
    ----------
    cells : pl.DataFrame
        ``world``, ``arm``, ``budget`` (labels), ``budget_share`` (of the pool, 0 to 1), ``seed``, ``value``.
        Cells without a finite value are left out.
    value_name : str
        What `value` is, in words.
    lower_is_better : bool
        Of a loss; said on the axis.
    seed : int
        Of the bootstrap.

    Returns
    -------
    altair.ConcatChart
        Mean over seeds with a 95 % bootstrap interval of the mean as a band; a world with a single budget
        has points with error bars.

    Raises
    ------
    SchemaError
        A column is missing, or nothing is left to draw.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair()
    columns = ("world", "arm", "budget", "budget_share", "seed", "value")
    means = _means_over_seeds(_read("cells", cells, columns, finite=("value",)), seed)
    style = ArmStyle(alt, means["arm"])
    axis_title = f"{value_name} ({'lower' if lower_is_better else 'higher'} is better)"
    worlds = _groups(means, "world")
    single = [rows["budget"].n_unique() == 1 for _, rows in worlds]
    is_wide = any(single) or len(worlds) == 1
    panels = [
        draw_points(alt, rows, style, axis_title).properties(title=_budget_phrase(world, rows))
        if is_single
        else draw_lines(alt, rows, style, axis_title, is_wide=is_wide).properties(title=world)
        for is_single, ((world,), rows) in zip(single, worlds, strict=True)
    ]
    chart = alt.concat(*panels, columns=1 if is_wide else 2)
    chart = chart.resolve_scale(color="shared", shape="shared", strokeDash="shared")
    title = f"{_capital(value_name)} {'of each arm' if all(single) else 'by number of labels'}"
    return finish_chart(alt, chart, title, [_seeds_phrase(means)])


def plot_differences(pairs: pl.DataFrame, *, value_name: str = "score", lower_is_better: bool = False) -> Any:
    """Draw paired differences between arms and baselines as a forest plot with a line at zero.

    Parameters
    ----------
    pairs : pl.DataFrame
        ``world``, ``arm``, ``baseline``, ``budget``, ``difference`` (arm minus baseline), ``low``, ``high``,
        ``p_value`` (may be null). Rows without a finite difference are left out.
    value_name : str
        What was compared, in words.
    lower_is_better : bool
        Of a loss; said on the axis.

    Returns
    -------
    altair.VConcatChart
        A panel a world and baseline, all on one axis; a dot is filled where the interval excludes zero.

    Raises
    ------
    SchemaError, MissingExtraError
        As in `plot_scores_by_budget`.
    """
    alt = import_altair()
    columns = ("world", "arm", "baseline", "budget", "difference", "low", "high", "p_value")
    rows = _read("pairs", pairs, columns, finite=("difference", "low", "high"))
    rows = _with_phrases(rows.sort("arm", "budget"))
    baselines = rows["baseline"].unique().sort().to_list()
    style = ArmStyle(alt, pl.concat([rows["arm"], rows["baseline"]]))
    ends = [0.0, *rows["low"], *rows["high"]]
    title = f"difference in {value_name} ({'left' if lower_is_better else 'right'} is better)"
    axis = {"title": title, "scale": alt.Scale(domain=_padded(min(ends), max(ends)), nice=False)}
    panels = [
        draw_forest(alt, part, style, axis).properties(
            title=world if len(baselines) == 1 else f"{world}, against {baseline}"
        )
        for (world, baseline), part in _groups(rows, "world", "baseline")
    ]
    against = f"against {baselines[0]}" if len(baselines) == 1 else "against baselines"
    subtitle = ["Mean of paired differences with its 95 % interval; filled where the interval excludes 0"]
    return finish_chart(alt, alt.vconcat(*panels), f"{_capital(value_name)} {against}", subtitle)


def plot_gains_by_confidence(tasks: pl.DataFrame, *, value_name: str = "score") -> Any:
    """Draw what labels gained in each task against how confident the model had been in it.

    Parameters
    ----------
    tasks : pl.DataFrame
        ``task``, ``confidence`` (before training), ``gain`` (after minus before), ``labels`` (that the task
        got). Rows without finite confidence and gain are left out.
    value_name : str
        What was gained, in words.

    Returns
    -------
    altair.LayerChart
        A dot a task, larger for more labels; Spearman's rho stands in the title.

    Raises
    ------
    SchemaError, MissingExtraError
        As in `plot_scores_by_budget`.
    """
    alt = import_altair()
    columns = ("task", "confidence", "gain", "labels")
    rows = _read("tasks", tasks, columns, finite=("confidence", "gain")).sort("task")
    chart = draw_gains(alt, rows, f"gain in {value_name}")
    rho = _spearman(rows["confidence"], rows["gain"])
    said = "not defined" if rho is None else f"{rho:.2f}".replace("-", _MINUS)
    title = f"Gain and earlier confidence by task: Spearman's rho {said}"
    n_tasks = f"{rows.height:,} task" + ("" if rows.height == 1 else "s")
    subtitle = [f"{n_tasks}; 1: the surer the model was, the more a task gained; {_MINUS}1: the less"]
    return finish_chart(alt, chart, title, subtitle)


def plot_label_efficiency(efficiency: pl.DataFrame) -> Any:
    """Draw how many labels random selection needs for what an arm scores with its budget.

    Parameters
    ----------
    efficiency : pl.DataFrame
        ``world``, ``arm``, ``budget``, ``labels_random_needs``, ``low``, ``high``, in labels. Needs that are
        null or infinite mean that random did not get there with any budget that was measured; such an end
        of an interval is open.

    Returns
    -------
    altair.ConcatChart
        A panel a world; above the dashed line of equal labels an arm saves labels.

    Raises
    ------
    SchemaError, MissingExtraError
        As in `plot_scores_by_budget`.
    """
    alt = import_altair()
    columns = ("world", "arm", "budget", "labels_random_needs", "low", "high")
    rows = _read("efficiency", efficiency, columns, finite=()).with_columns(
        _null_unless_finite(name) for name in columns[3:]
    )
    style = ArmStyle(alt, rows["arm"])
    worlds = _groups(rows, "world")
    panels = [draw_efficiency(alt, part, style).properties(title=world) for (world,), part in worlds]
    chart = alt.concat(*panels, columns=2).resolve_scale(color="shared", shape="shared")
    subtitle = ["Above the dashed line an arm saves labels: random needs more of them for the same score"]
    if rows["labels_random_needs"].null_count():
        subtitle.append("Hollow marks at the upper edge: random did not get there with any measured budget")
    return finish_chart(alt, chart, "How many labels random selection needs for the same score", subtitle)


def _read(name: str, frame: pl.DataFrame, wanted: Sequence[str], *, finite: Sequence[str]) -> pl.DataFrame:
    """Return the `wanted` columns of the rows that can be drawn: of a study some cells may have failed."""
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise SchemaError(f"The {name} lack {', '.join(missing)}; they have {', '.join(frame.columns)}.")
    texts = [column for column in ("world", "arm", "baseline", "task") if column in wanted]
    labels = [column for column in ("budget", "labels") if column in wanted]
    kept = frame.select(wanted).with_columns(
        pl.col(texts).cast(pl.String),
        pl.col(labels).cast(pl.Int64),
        *(_null_unless_finite(column) for column in finite),
    )
    needed = [*texts, *labels, *finite]
    kept = kept.drop_nulls(needed)
    if kept.is_empty():
        raise SchemaError(f"The {name} hold no row to draw; each needs a value of {', '.join(needed)}.")
    return kept


def _null_unless_finite(column: str) -> pl.Expr:
    number = pl.col(column).cast(pl.Float64)
    return pl.when(number.is_finite()).then(number).alias(column)


def _groups(frame: pl.DataFrame, *by: str) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    """Return the groups in the order of their names, so that the order of the rows changes no picture."""
    return sorted(frame.group_by(*by), key=lambda group: group[0])


def _means_over_seeds(cells: pl.DataFrame, seed: int) -> pl.DataFrame:
    rows = []
    for (world, arm, budget), part in _groups(cells, "world", "arm", "budget"):
        values = part["value"].sort().to_numpy()
        interval = bootstrap_interval(values, np.random.default_rng(seed))
        rows.append(
            {
                "world": world,
                "arm": arm,
                "budget": budget,
                "budget_share": part["budget_share"].max(),
                "value": float(values.mean()),
                "low": interval.low,
                "high": interval.high,
                "seeds": len(values),
            }
        )
    return pl.DataFrame(rows)


def _budget_phrase(world: str, rows: pl.DataFrame) -> str:
    budget, share = rows.select("budget", "budget_share").row(0)
    return f"{world}, {budget:,} labels" + ("" if share is None else f" ({format_share(share)})")


def _with_phrases(rows: pl.DataFrame) -> pl.DataFrame:
    names = [f"{arm}, {budget:,} labels" for arm, budget in rows.select("arm", "budget").iter_rows()]
    return rows.with_columns(
        pl.Series("name", names, pl.String),
        pl.Series("p", [_p_phrase(value) for value in rows["p_value"]], pl.String),
        ((pl.col("low") > 0) | (pl.col("high") < 0)).alias("excludes_zero"),
    )


def _p_phrase(p_value: float | None) -> str:
    if p_value is None or math.isnan(p_value):
        return ""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _padded(low: float, high: float) -> list[float]:
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]


def _spearman(first: pl.Series, second: pl.Series) -> float | None:
    """Return the correlation of the ranks, ties by their mean rank; None where one side is constant."""
    one, other = first.rank("average").to_numpy(), second.rank("average").to_numpy()
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _seeds_phrase(means: pl.DataFrame) -> str:
    fewest, most = map(int, value_extent(means["seeds"]))
    if most == 1:
        return "One seed, so without intervals"
    seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    return f"Means over {seeds}, with 95 % intervals of the mean"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
