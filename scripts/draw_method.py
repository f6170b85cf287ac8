"""Draw docs/pictures: how confidence becomes a selection, on runs of the demo model over toy prompts.

``python scripts/draw_method.py`` scores three toy pools (ten seconds of one core), draws every picture
of docs/method.md and writes ``figures.json`` beside them: the numbers that the page quotes. Needs the extras
``hf`` and ``plots``. The same versions of the model libraries give the same pictures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

import tasksel
import tasksel_core
from tasksel.charts import finish_chart, import_altair, save_chart
from tasksel.charts_style import ARM_COLOURS
from tasksel.toy_world import make_long_answer_pool, make_toy_pool

FOLDER: Final = Path(__file__).parents[1] / "docs" / "pictures"
BUDGET: Final = 80
RANDOM_SEEDS: Final = range(5)
BLUE, ORANGE, GREEN, PURPLE = ARM_COLOURS[:4]
GREY: Final = "#9AA0A6"
PALE: Final = "#C9CDD2"
RULES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("product", {}),
    ("alpha 0.5", {"alpha": 0.5}),
    ("ratio cap 10", {"max_weight_ratio": 10.0}),
    ("length-normalised", {"metric": "length-normalized"}),
)


@dataclass(frozen=True)
class Scored:
    """A pool with its scores and vectors.

    Parameters
    ----------
    pool : pl.DataFrame
        Canonical columns.
    run : Path
        Run folder with scores and hidden states.
    """

    pool: pl.DataFrame
    run: Path

    def select(self, **options: Any) -> tasksel.Selection:
        """Select by the weighted rule, unless another is named."""
        options = {"strategy": "weighted-task-diversity", "budget": BUDGET, **options}
        return tasksel.select(self.pool, scores=self.run, **options)

    def answers(self) -> pl.DataFrame:
        """Give id, task and tokens of each answer, in the pool's order."""
        shards = pl.read_parquet(self.run / "scores" / "part-*.parquet")
        return self.pool.select("id").join(shards, on="id", how="left", maintain_order="left")


def score(pool: pl.DataFrame, run: Path) -> Scored:
    """Let the demo model answer a pool, with the embeddings of its prompts from the same pass."""
    tasksel.score(pool, model="demo", out=run, max_new_tokens=16, embed_from="hidden")
    return Scored(tasksel.read_pool(pool), run)


def draw_quotas(alt: Any, small: Scored) -> Any:
    """Draw confidence, weight and quota of each task: the three steps side by side."""
    table = small.select().allocation.with_columns(
        pl.col("weight") * 100, rest=pl.col("quota") - pl.col("base")
    )
    order = table.sort("confidence")["task"].to_list()
    axis = alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=220))
    bare = alt.Y("task:N", sort=order, title=None, axis=None)

    def panel(column: str, title: str, place: Any, colour: str, width: int) -> Any:
        chart = alt.Chart(alt.Data(values=table.to_dicts())).properties(width=width, height=260)
        return chart.mark_bar(color=colour).encode(x=alt.X(f"{column}:Q", title=title), y=place)

    long = table.unpivot(["base", "rest"], index=["task", "available"], variable_name="part")
    names = {"base": "base", "rest": "by weight"}
    long = long.with_columns(pl.col("part").replace(names), first=pl.col("part") == "rest")
    colours = alt.Scale(domain=list(names.values()), range=[GREY, BLUE])
    quotas = (
        alt.Chart(alt.Data(values=long.to_dicts()))
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=f"labels of a budget of {BUDGET}"),
            y=bare,
            color=alt.Color("part:N", scale=colours, title=None, legend=alt.Legend(orient="right")),
            order=alt.Order("first:N"),
        )
        .properties(width=220, height=260)
    )
    panels = [
        panel("confidence", "confidence C of the task", axis, PURPLE, 170),
        panel("weight", "weight, proportional to 1 / C, %", bare, ORANGE, 170),
        quotas,
    ]
    return finish_chart(
        alt,
        alt.hconcat(*panels, spacing=14),
        "Confidence, weight, quota",
        ["Every task gets a base of five labels; the rest follows the weights, in whole numbers."],
    )


def draw_turns(alt: Any, small: Scored) -> Any:
    """Draw which task each rank comes from."""
    selection = small.select()
    n_base = int(selection.allocation["base"].sum())
    order = selection.allocation.sort("confidence")["task"].to_list()
    rows = selection.frame.select("rank", "task").with_columns(
        part=pl.when(pl.col("rank") <= n_base).then(pl.lit("base")).otherwise(pl.lit("by weight"))
    )
    colours = alt.Scale(domain=["base", "by weight"], range=[GREY, BLUE])
    points = (
        alt.Chart(alt.Data(values=rows.to_dicts()))
        .mark_circle(size=52, opacity=1)
        .encode(
            x=alt.X("rank:Q", title="rank: label from left to right", scale=alt.Scale(nice=False)),
            y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=220, grid=True)),
            color=alt.Color("part:N", scale=colours, title=None),
        )
        .properties(width=600, height=260)
    )
    return finish_chart(
        alt,
        points,
        "Tasks take turns",
        [
            f"First the base: {n_base} labels, one of each task a turn. Then each label goes to the task",
            "whose weight is the largest for what it has. What stands left of any rank is a selection.",
        ],
    )


def quotas_by_budget(small: Scored, rounding: str) -> pl.DataFrame:
    """Give the quota of each task for every budget."""
    table = small.select().allocation
    weights, available = table["weight"].to_numpy(), table["available"].to_numpy()
    frames = []
    for budget in range(int(available.sum()) + 1):
        quotas = tasksel_core.allocate(weights, available, budget, rounding=rounding)
        frames.append(pl.DataFrame({"budget": budget, "task": table["task"], "quota": quotas}))
    return pl.concat(frames)


def count_losses(quotas: pl.DataFrame) -> int:
    """Count how often a larger budget takes a label from a task."""
    change = quotas.sort("budget").select(pl.col("quota").diff().over("task"))["quota"]
    return int((change < 0).sum())


def draw_prefixes(alt: Any, small: Scored, losses: dict[str, int]) -> Any:
    """Draw the quotas of all tasks for every budget."""
    rows = quotas_by_budget(small, "webster")
    shown = ["formats/json-pair", "string/double-each", "lookup/capital"]
    rows = rows.with_columns(
        name=pl.when(pl.col("task").is_in(shown)).then("task").otherwise(pl.lit("other tasks"))
    )
    colours = alt.Scale(domain=[*shown, "other tasks"], range=[BLUE, ORANGE, GREEN, PALE])
    lines = (
        alt.Chart(alt.Data(values=rows.to_dicts()))
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("budget:Q", title="budget, in labels"),
            y=alt.Y("quota:Q", title="labels of the task"),
            detail="task:N",
            color=alt.Color("name:N", scale=colours, title=None),
        )
        .properties(width=600, height=260)
    )
    others = ", ".join(f"{name} {n} times" for name, n in losses.items() if name != "webster")
    return finish_chart(
        alt,
        lines,
        "A larger budget takes no label from any task",
        [f"So one order serves every budget. Other roundings take labels back on the way: {others}."],
    )


def draw_concentration(alt: Any, large: Scored, other: Scored) -> tuple[Any, dict[str, Any]]:
    """Draw how much of the weight the heaviest tasks hold, by each rule; give the figures too."""
    panels, figures = [], {}
    for world, scored in (("tasks it knows", large), ("tasks it does not know", other)):
        rows, figures[world] = weight_curves(scored)
        names = [*figures[world], "uniform"]
        colours = alt.Scale(domain=names, range=[ORANGE, GREEN, PURPLE, BLUE, GREY])
        lines = (
            alt.Chart(alt.Data(values=rows))
            .mark_line(strokeWidth=2)
            .encode(
                x=alt.X("tasks:Q", title="tasks, heaviest first", scale=alt.Scale(nice=False)),
                y=alt.Y("share:Q", title="share of all weight, %", scale=alt.Scale(domain=[0, 100])),
                color=alt.Color("rule:N", scale=colours, sort=names, title=None),
            )
            .properties(width=270, height=260, title=f"{rows[-1]['tasks']} {world}")
        )
        panels.append(lines)
    chart = finish_chart(
        alt,
        alt.hconcat(*panels, spacing=24),
        "How concentrated the weights are",
        ["The further a line lies above the grey one, the fewer tasks share the labels."],
    )
    return chart, figures


def weight_curves(scored: Scored) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Give the share of the k heaviest tasks by each rule, and its effective number of tasks."""
    rows, figures = [], {}
    for name, options in RULES:
        selection = scored.select(**options)
        weights = np.sort(selection.allocation["weight"].to_numpy())[::-1]
        figures[name] = {
            "effective_tasks": round(selection.manifest["figures"]["effective_tasks_weight"], 1),
            "largest_share": round(float(weights[0]), 3),
        }
        total = np.concatenate([[0.0], np.cumsum(weights)])
        rows += [{"rule": name, "tasks": k, "share": share * 100} for k, share in enumerate(total.tolist())]
    n_tasks = int(rows[-1]["tasks"])
    rows += [{"rule": "uniform", "tasks": k, "share": 100 * k / n_tasks} for k in range(n_tasks + 1)]
    return rows, figures


def draw_radii(alt: Any, large: Scored) -> tuple[Any, dict[str, float]]:
    """Draw the covering radius of k-center, uniform and random selections for every budget."""
    vectors = np.array(large.answers()["embedding"].to_list(), dtype=np.float32)
    budget = 600
    curves = {
        "k-center": [tasksel_core.k_center_greedy(vectors, budget)[1]],
        "task-diversity": [radii_of(large, vectors, "task-diversity", budget, seed) for seed in RANDOM_SEEDS],
        "random": [radii_of(large, vectors, "random", budget, seed) for seed in RANDOM_SEEDS],
    }
    rows = [
        {"strategy": name, "budget": place + 1, "radius": float(radius)}
        for name, several in curves.items()
        for place, radius in enumerate(np.mean(several, axis=0))
    ]
    colours = alt.Scale(domain=list(curves), range=[GREEN, BLUE, GREY])
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("budget:Q", title="budget, in labels", scale=alt.Scale(nice=False)),
            y=alt.Y("radius:Q", title="covering radius", scale=alt.Scale(zero=False)),
            color=alt.Color("strategy:N", scale=colours, sort=list(curves), title=None),
        )
        .properties(width=560, height=280)
    )
    chart = finish_chart(
        alt,
        lines,
        "How far the farthest prompt is from a selected one",
        [f"{len(vectors):,} toy prompts, hidden states of the demo model; means of five seeds."],
    )
    return chart, {name: round(float(np.mean(several, axis=0)[-1]), 2) for name, several in curves.items()}


def radii_of(scored: Scored, vectors: Any, strategy: str, budget: int, seed: int) -> Any:
    """Give the covering radius of every prefix of a selection."""
    rows = scored.select(strategy=strategy, budget=budget, seed=seed).rows
    return tasksel_core.covering_radii(vectors, vectors[rows])


def draw_all(folder: Path, small: Scored, large: Scored, other: Scored) -> dict[str, Any]:
    """Write every picture and figures.json; give the figures."""
    alt = import_altair()
    folder.mkdir(parents=True, exist_ok=True)
    roundings = ("webster", "largest-remainder", "paper")
    losses = {name: count_losses(quotas_by_budget(small, name)) for name in roundings}
    concentration, shares = draw_concentration(alt, large, other)
    radii, last = draw_radii(alt, large)
    pictures = {
        "quotas": draw_quotas(alt, small),
        "turns": draw_turns(alt, small),
        "prefixes": draw_prefixes(alt, small, losses),
        "concentration": concentration,
        "radii": radii,
    }
    for name, chart in pictures.items():
        save_chart(chart, folder / f"{name}.svg")
    figures = {"labels_taken_back": losses, "concentration": shares, "radius_at_600": last}
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    (folder / "figures.json").write_text(text, encoding="utf-8")
    return figures


def main(arguments: list[str] | None = None) -> None:
    """Score the pools in a temporary folder, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures")
    folder = parser.parse_args(arguments).out
    with tempfile.TemporaryDirectory() as runs:
        small = score(make_toy_pool(0, n_tasks=12, largest=90, smallest=6), Path(runs) / "small")
        large = score(make_toy_pool(0), Path(runs) / "large")
        other = score(make_long_answer_pool(0, largest=12, smallest=4), Path(runs) / "other")
        print(json.dumps(draw_all(folder, small, large, other), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
