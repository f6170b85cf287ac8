from __future__ import annotations

import re
import sys

import numpy as np
import polars as pl
import pytest

from tasksel.intervals import bootstrap_interval
from tasksel.study.plots import (
    plot_differences,
    plot_gains_by_confidence,
    plot_label_efficiency,
    plot_scores_by_budget,
    save_chart,
)
from tasksel_core.errors import ConfigError, MissingExtraError, SchemaError

ARMS = ["k-center", "random", "task-diversity"]
WORLDS = ["dolly", "toy"]
EXTRA = "the extra plots is not installed"


@pytest.fixture(scope="module")
def altair():
    pytest.importorskip("vl_convert", reason=EXTRA)
    return pytest.importorskip("altair", reason=EXTRA)


def make_cells(*, budgets=(50, 100, 400), arms=ARMS, worlds=WORLDS, seeds=4):
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        [
            {
                "world": world,
                "arm": arm,
                "budget": budget,
                "budget_share": budget / 1000,
                "seed": seed,
                "value": 0.2 + budget / 1000 + 0.05 * rng.random(),
            }
            for world in worlds
            for arm in arms
            for budget in budgets
            for seed in range(seeds)
        ]
    )


def make_pairs():
    rows = [
        ("dolly", "k-center", "random", 100, 0.02, 0.01, 0.03, 0.0004),
        ("dolly", "task-diversity", "random", 100, -0.02, -0.05, 0.01, None),
        ("toy", "k-center", "random", 100, -0.02, -0.05, -0.01, 0.03),
    ]
    names = ["world", "arm", "baseline", "budget", "difference", "low", "high", "p_value"]
    return pl.DataFrame(rows, schema=names, orient="row")


def make_tasks():
    return pl.DataFrame(
        {
            "task": list("abcde"),
            "confidence": [0.9, 0.8, 0.8, 0.2, 0.1],
            "gain": [0.0, 0.1, -0.1, 0.3, 0.2],
            "labels": [5, 6, 7, 8, 9],
        }
    )


def make_efficiency():
    rows = [
        ("dolly", "k-center", 100, 150.0, 120.0, 200.0),
        ("dolly", "task-diversity", 100, 90.0, 60.0, None),
        ("dolly", "task-diversity", 400, float("inf"), 500.0, float("inf")),
        ("toy", "k-center", 100, 80.0, 70.0, 90.0),
    ]
    names = ["world", "arm", "budget", "labels_random_needs", "low", "high"]
    return pl.DataFrame(rows, schema=names, orient="row")


CHARTS = {
    "scores": (plot_scores_by_budget, make_cells),
    "differences": (plot_differences, make_pairs),
    "gains": (plot_gains_by_confidence, make_tasks),
    "efficiency": (plot_label_efficiency, make_efficiency),
}


def draw(chart, folder, name="chart.svg"):
    save_chart(chart, folder / name)
    return (folder / name).read_text(encoding="utf-8")


def marks(svg, kind):
    """Give what the marks of one kind say to a screen reader."""
    return re.findall(rf'aria-label="([^"]*)"[^>]*aria-roledescription="{kind}"', svg)


def datasets(chart):
    return list(chart.to_dict()["datasets"].values())


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_valid_and_the_same_for_rows_in_any_order(altair, name, tmp_path):
    plot, make = CHARTS[name]
    chart = plot(make())
    chart.to_dict(validate=True)
    first = draw(chart, tmp_path)
    draw(plot_gains_by_confidence(make_tasks()), tmp_path, "other.svg")
    shuffled = make().sample(fraction=1.0, shuffle=True, seed=1)
    assert draw(plot(shuffled), tmp_path) == first
    assert re.findall(r"<svg[^>]* width=\"(\d+)", first)
    assert int(re.findall(r"<svg[^>]* width=\"(\d+)", first)[0]) <= 720


@pytest.mark.parametrize("name", CHARTS)
def test_no_picture_asks_a_host_for_anything(altair, name, tmp_path):
    plot, make = CHARTS[name]
    chart = plot(make())
    assert not re.search(r"(?:href|src)=|url\(|@import|<script", draw(chart, tmp_path))
    page = draw(chart, tmp_path, "chart.html")
    tags = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert tags.count("<script") >= 1
    assert not re.search(r"\s(?:src|href)=|url\(|@import", tags)
    save_chart(chart, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


# Scores by budget


def test_every_arm_has_a_line_and_a_band_in_every_world(altair, tmp_path):
    svg = draw(plot_scores_by_budget(make_cells()), tmp_path)
    for kind in ("line mark", "area mark"):
        said = marks(svg, kind)
        assert sorted(label.rpartition("arm: ")[2] for label in said) == sorted(ARMS * len(WORLDS))
    assert "Means over 4 seeds" in svg
    for tick in ("50", "5 %", "400", "40 %"):
        assert f">{tick}<" in svg


def test_means_and_intervals_are_ours(altair):
    cells = make_cells()
    drawn = next(rows for rows in datasets(plot_scores_by_budget(cells)) if rows[0]["world"] == "toy")
    row = next(row for row in drawn if (row["arm"], row["budget"]) == ("random", 100))
    values = cells.filter(world="toy", arm="random", budget=100)["value"].sort()
    assert row["value"] == pytest.approx(values.mean())
    low, high = bootstrap_interval(values, np.random.default_rng(0))
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_random_alone_is_grey_and_dashed(altair, tmp_path):
    svg = draw(plot_scores_by_budget(make_cells()), tmp_path)
    lines = re.findall(r'<path aria-label="[^"]*"[^>]*aria-roledescription="line mark"[^>]*>', svg)
    for line in lines:
        is_random = "arm: random" in line
        assert ('stroke="#767676"' in line) == is_random
        assert ('stroke-dasharray="5,4"' in line) == is_random


def test_a_single_budget_has_points_with_error_bars(altair, tmp_path):
    svg = draw(
        plot_scores_by_budget(make_cells(budgets=[100]), value_name="loss", lower_is_better=True), tmp_path
    )
    assert marks(svg, "line mark") == []
    assert len(marks(svg, "rule mark")) == len(ARMS) * len(WORLDS)
    assert "toy, 100 labels (10 %)" in svg
    assert "loss (lower is better)" in svg


def test_many_arms_differ_in_colour_or_shape(altair):
    chart = plot_scores_by_budget(make_cells(arms=[f"arm {number:02}" for number in range(30)]))
    points = chart.to_dict()["concat"][0]["layer"][2]["encoding"]
    looks = zip(points["color"]["scale"]["range"], points["shape"]["scale"]["range"], strict=True)
    assert len(set(looks)) == 30


def test_cells_that_failed_are_left_out(altair):
    cells = make_cells().with_columns(
        value=pl.when(pl.col("seed") == 0).then(None).otherwise(pl.col("value")),
        budget_share=pl.lit(None),
    )
    chart = plot_scores_by_budget(cells.filter((pl.col("seed") < 2) | (pl.col("arm") == "random")))
    assert "Means over 1 to 3 seeds" in chart.to_dict()["title"]["subtitle"][0]
    alone = plot_scores_by_budget(cells.filter(seed=1)).to_dict()
    assert alone["title"]["subtitle"] == ["One seed, so without intervals"]


# The others


def test_differences_are_filled_where_zero_is_excluded(altair, tmp_path):
    chart = plot_differences(make_pairs(), value_name="macro likelihood")
    svg = draw(chart, tmp_path)
    points = re.findall(
        r'<path aria-label="([^"]*)"[^>]*aria-roledescription="point"[^>]*fill="([^"]*)"', svg
    )
    assert len(points) == 3
    assert [fill for _, fill in points].count("white") == 1
    assert "Macro likelihood against random" in svg
    assert "p &lt; 0.001" in svg
    assert "p = 0.030" in svg


def test_several_baselines_have_panels_of_their_own(altair, tmp_path):
    pairs = pl.concat([make_pairs(), make_pairs().with_columns(baseline=pl.lit("size-proportional"))])
    svg = draw(plot_differences(pairs), tmp_path)
    for title in ("dolly, against random", "toy, against size-proportional"):
        assert f">{title}<" in svg


def test_spearmans_rho_stands_in_the_title(altair):
    title = plot_gains_by_confidence(make_tasks()).to_dict()["title"]["text"]
    one, other = make_tasks()["confidence"].rank("average"), make_tasks()["gain"].rank("average")
    rho = np.corrcoef(one, other)[0, 1]
    assert title.endswith(f"{rho:.2f}".replace("-", "\N{MINUS SIGN}"))
    constant = make_tasks().with_columns(gain=pl.lit(0.1))
    assert plot_gains_by_confidence(constant).to_dict()["title"]["text"].endswith("not defined")


def test_confidences_of_many_magnitudes_stand_on_a_logarithmic_axis(altair, tmp_path):
    tiny = make_tasks().with_columns(confidence=10.0 ** (-100 * pl.col("confidence")))
    svg = draw(plot_gains_by_confidence(tiny), tmp_path)
    assert len(marks(svg, "point")) == 5
    assert "log scale" in svg


def test_what_random_never_reached_is_hollow_at_the_edge(altair, tmp_path):
    svg = draw(plot_label_efficiency(make_efficiency()), tmp_path)
    points = re.findall(
        r'<path aria-label="([^"]*)"[^>]*aria-roledescription="point"[^>]*fill="([^"]*)"', svg
    )
    assert len(points) == 4
    assert [fill for _, fill in points].count("white") == 1
    assert "random did not get there" in svg
    reached = make_efficiency().filter(pl.col("labels_random_needs").is_finite())
    assert "did not get there" not in draw(plot_label_efficiency(reached), tmp_path)


# What is refused


@pytest.mark.parametrize("name", CHARTS)
def test_missing_columns_and_empty_frames_are_named(altair, name):
    plot, make = CHARTS[name]
    last = make().columns[-1]
    with pytest.raises(SchemaError, match=f"lack {last}; they have"):
        plot(make().drop(last))
    with pytest.raises(SchemaError, match="no row to draw"):
        plot(make().clear())


def test_other_endings_are_refused_and_nothing_is_left(altair, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in '\.pdf'; allowed are \.html, \.png and \.svg"):
        save_chart(plot_gains_by_confidence(make_tasks()), tmp_path / "chart.pdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_the_libraries_are_an_extra(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"tasksel\[plots\]"):
        plot_gains_by_confidence(make_tasks())
