"""Charts: what they are written as, how they look in a page, and that names of strangers stay names."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tasksel.html_page
from hostile_texts import HOSTILE
from tasksel.allocation import Allocation
from tasksel.allocation_plots import MAX_ROWS, plot_confidence
from tasksel.charts import chart_title, inline_svg, save_chart
from tasksel.charts_style import ARM_COLOURS, PRESENTED
from tasksel.data_coverage.plots import plot_calibration, plot_gaps
from tasksel.embedding_plane import place_in_plane
from tasksel.selection_plots import covering_sentence, plot_covering, plot_map
from tasksel_core.errors import ConfigError, MissingExtraError, SchemaError

pytest.importorskip("vl_convert", reason="the extra plots is not installed")
STYLE = Path(tasksel.html_page.__file__).with_suffix(".css").read_text(encoding="utf-8")


def make_table(n_tasks, *, names=None, seed=0):
    rng = np.random.default_rng(seed)
    available = rng.integers(1, 2_000, n_tasks)
    picked = np.minimum(available, rng.integers(0, 40, n_tasks))
    log_confidence = -rng.exponential(2.0, n_tasks)
    weight = np.exp(-log_confidence)
    return pl.DataFrame(
        {
            "task": names or [f"task {number:03}" for number in range(n_tasks)],
            "available": available,
            "confidence": np.exp(log_confidence),
            "weight": weight / weight.sum(),
            "picked": picked,
            "capped": picked == available,
            "log_confidence": log_confidence,
        }
    )


def make_curve(n_labels):
    labels = np.arange(1, n_labels + 1)
    return pl.DataFrame({"labels": labels, "radius": 2.0 / np.sqrt(labels)})


def make_clusters(*, has_tasks=True):
    frame = pl.DataFrame(
        {
            "cluster": [3, 0, 1],
            "task": ["<b>sum", "rhyme", None],
            "real_share": [0.5, 0.3, 0.2],
            "synthetic_share": [0.1, 0.4, 0.5],
            "low": [0.05, 0.3, 0.4],
            "high": [0.2, 0.5, 0.6],
            "is_gap": [True, False, False],
        }
    )
    return frame if has_tasks else frame.drop("task")


def make_calibration():
    return pl.DataFrame({"missing": [0.0, 0.5, 0.9], "shortfall": [0.1, 0.5, 0.9], "deviation": [0.05] * 3})


VECTORS = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
CHARTS = {
    "quotas": lambda width: Allocation(make_table(20)).plot_quotas(width=width),
    "weights": lambda width: Allocation(make_table(20)).plot_weights(width=width),
    "confidence": lambda width: Allocation(make_table(20)).plot_confidence(width=width),
    "covering": lambda width: plot_covering(make_curve(900), 300, width=width),
    "map": lambda width: plot_map(VECTORS, np.arange(40), width=width),
    "gaps": lambda width: plot_gaps(make_clusters(), width=width),
    "calibration": lambda width: plot_calibration(make_calibration(), 0.3, 0.7, width=width),
}


@pytest.fixture(scope="module")
def drawn():
    """Draw each picture once: as it stands in a page."""
    return {name: inline_svg(make(640)) for name, make in CHARTS.items()}


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_in_a_page_is_svg_in_colours_that_the_page_names(drawn, name):
    svg = drawn[name]
    ET.fromstring(svg)
    colours = set(re.findall(r'\b(?:fill|stroke)="([^"]*)"', svg)) - {"none", "transparent"}
    assert colours
    for colour in colours:
        assert re.fullmatch(r"var\(--[a-z0-9-]+\)", colour), colour
    assert not re.search(r"<script|href|url\(|@import|style=", svg)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_has_the_width_that_was_asked_for(drawn, name):
    for width, svg in ((640, drawn[name]), (320, inline_svg(CHARTS[name](320)))):
        assert float(re.search(r'<svg[^>]* width="([\d.]+)"', svg)[1]) <= width + 20


@pytest.mark.parametrize("name", ["weights", "map"])
def test_the_same_chart_gives_the_same_bytes_without_its_title(drawn, name):
    chart = CHARTS[name](640)
    assert inline_svg(chart) == drawn[name]
    title, subtitle = chart_title(chart)
    assert title
    assert title not in drawn[name]  # the page shows it, where it can wrap
    assert all(subtitle)


def test_every_named_colour_has_a_value_by_light_and_by_dark():
    light, dark = (part.split("}")[0] for part in STYLE.split(":root {")[1:3])
    for name in sorted(set(PRESENTED.values())):
        assert f"--{name}:" in light
        assert f"--{name}:" in dark
    assert {PRESENTED[colour] for colour in ARM_COLOURS} == {f"series-{n}" for n in range(1, 8)}


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("place", [1, 2], ids=["light", "dark"])
def test_texts_and_series_can_be_told_from_their_ground(place):
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for what a picture is read from (1.4.11)."""
    block = STYLE.split(":root {")[place].split("}")[0]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
    for ground in ("paper", "raised"):
        for text in ("ink", "soft", "bad", "good", "fail", "link"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for series in ("random", *(f"series-{number}" for number in range(1, 8))):
        assert contrast(colours[series], colours["paper"]) >= 3, series


@pytest.mark.parametrize("kind", ["svg", "png", "html"])
def test_a_chart_is_written_as_what_its_name_ends_in(tmp_path, kind):
    path = tmp_path / f"chart.{kind}"
    save_chart(CHARTS["weights"](640), path)
    start = {"svg": b"<svg", "png": b"\x89PNG", "html": b"<!DOCTYPE html"}[kind]
    assert path.read_bytes().lstrip().startswith(start)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"allowed are \.html, \.png and \.svg"):
        save_chart(CHARTS["weights"](640), tmp_path / "chart.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_the_libraries_are_an_extra(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r'pip install "tasksel\[plots\]"'):
        Allocation(make_table(3)).plot_quotas()


# Of many tasks, of few, of strange ones


@pytest.mark.parametrize("n_tasks", [1, MAX_ROWS, MAX_ROWS + 1, 700])
def test_many_tasks_have_as_many_rows_as_can_be_read(n_tasks):
    svg = inline_svg(Allocation(make_table(n_tasks)).plot_quotas())
    labels = re.findall(r">(task \d+|[\d,]+ tasks between, median)<", svg)
    assert len(labels) == min(n_tasks, MAX_ROWS)
    assert any("between" in label for label in labels) == (n_tasks > MAX_ROWS)


def test_hostile_and_equal_beginnings_of_names_keep_their_rows():
    long = "a very long name of a task that is the same at its beginning, "
    names = [*HOSTILE[:-1], HOSTILE[-1], long + "one", long + "two", "", "two\nlines", "'+alert(1)+'", "\\"]
    svg = inline_svg(Allocation(make_table(len(names), names=names)).plot_quotas())
    root = ET.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "path", "line", "text", "circle", "rect"}
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert sum(text.startswith("a very long name") for text in texts) == 2
    assert max(map(len, texts)) < 60
    assert "[U+202E]" in "".join(texts)


def test_confidences_of_many_magnitudes_stand_on_an_axis_of_powers():
    table = make_table(5).with_columns(log_confidence=pl.Series([-1_500.0, -300.0, -20.0, -1.0, -np.inf]))
    chart = Allocation(table).plot_confidence()
    svg = inline_svg(chart)
    assert ">10⁻²⁰⁰<" in svg
    assert svg.count("<circle") == 5
    assert chart_title(chart)[1][1] == "1 with confidence 0 stands at the left edge"


def test_the_spread_of_a_task_is_drawn_beside_its_confidence():
    table = make_table(3)
    spread = table.select(
        "task",
        low=pl.col("log_confidence") - 1,
        median=pl.col("log_confidence"),
        high=pl.col("log_confidence") / 2,
    )
    _, subtitle = chart_title(plot_confidence(table, spread=spread))
    assert "middle half" in subtitle[1]


def test_without_scores_there_is_no_confidence_to_draw():
    table = make_table(3).with_columns(log_confidence=pl.lit(None, pl.Float64))
    with pytest.raises(SchemaError, match="without scores"):
        Allocation(table).plot_confidence()


def test_concentration_is_told_by_weight_or_by_labels():
    table = make_table(4).with_columns(weight=pl.Series([0.7, 0.1, 0.1, 0.1]))
    assert chart_title(Allocation(table).plot_weights())[0] == "1 task holds half of the weight"
    unweighted = table.with_columns(weight=pl.lit(None, pl.Float64), picked=pl.Series([5, 5, 5, 5]))
    title, subtitle = chart_title(Allocation(unweighted).plot_weights())
    assert title == "2 tasks hold half of the labels"
    assert "4.0 by labels" in subtitle[0]


def test_what_more_labels_buy_is_said_in_numbers():
    assert covering_sentence(make_curve(500), 500) == "The covering radius is 0.0894 with 500 labels"
    assert covering_sentence(make_curve(501), 500).startswith("The next 1 label would")
    assert covering_sentence(make_curve(500).clear(), 500) == "Covering radius by number of labels"
    assert covering_sentence(make_curve(3_000), 500).startswith("The next 1,000 labels would")
    with pytest.raises(SchemaError, match="no row"):
        plot_covering(make_curve(0), 5)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    chart = plot_covering(make_curve(200_000), 150_000)
    rows = max(chart.to_dict()["datasets"].values(), key=len)
    assert len(rows) <= 420
    labels = {row["labels"] for row in rows}
    assert {1, 150_000, 200_000} <= labels | {1}


def test_a_map_has_both_kinds_of_points_and_says_what_it_leaves_out():
    vectors = np.random.default_rng(1).normal(size=(4_000, 5)).astype(np.float32)
    chart = plot_map(vectors, np.arange(0, 4_000, 4))
    rows = next(iter(chart.to_dict()["datasets"].values()))
    counts = pl.DataFrame(rows)["kind"].value_counts().sort("kind")
    assert dict(counts.iter_rows()) == {"not selected": 1_500, "selected": 800}
    assert "more points than can be seen" in chart_title(chart)[1][0]


def test_places_in_the_plane_are_those_of_the_whole_set():
    vectors = np.random.default_rng(2).normal(size=(500, 3)) * [9.0, 4.0, 1.0]
    places, explained = place_in_plane(vectors, np.array([3, 1]))
    variances = np.sort(np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2)[::-1]
    assert explained == pytest.approx(variances[:2].sum() / variances.sum())
    assert places.shape == (2, 2)
    assert place_in_plane(np.ones((5, 4)), np.array([0]))[1] == 0.0


def test_clusters_are_named_by_their_tasks_where_there_are_any():
    svg = inline_svg(plot_gaps(make_clusters()))
    assert "3: &lt;b&gt;sum" in svg or "3: &lt;b>sum" in svg
    assert "cluster 3" in inline_svg(plot_gaps(make_clusters(has_tasks=False)))
    with pytest.raises(SchemaError, match="no cluster"):
        plot_gaps(make_clusters().clear())
    with pytest.raises(SchemaError, match="too few real rows"):
        plot_calibration(make_calibration(), None, None)
