"""The arithmetic of a study: pairs, intervals, labels for the same figure. No model is run."""

import re
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from tasksel.intervals import sign_test
from tasksel.study.comparisons import ALL_WORLDS, compare_arms, measure_label_efficiency, summarise_arms
from tasksel.study.page import _render_efficiency


def make_cells(figures, *, metric="exact_match", labels=lambda budget: round(1000 * budget)):
    """Make one row for each (world, seed, arm, budget): macro."""
    rows = [
        {
            "world": world,
            "seed": seed,
            "arm": arm,
            "budget": budget,
            "labels": labels(budget),
            "metric": metric,
            "macro": value,
            "micro": value / 2,
        }
        for (world, seed, arm, budget), value in figures.items()
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def noisy():
    rng = np.random.default_rng(4)
    gain = {"random": 0.0, "uniform": 0.03, "same": 0.0}
    figures = {}
    for world in ("a", "b"):
        for seed in range(8):
            shared = rng.normal(0.5, 0.05)
            for arm, more in gain.items():
                noise = 0.0 if arm != "uniform" else rng.normal(0, 0.005)
                figures[world, seed, arm, 0.2] = shared + more + noise
    return make_cells(figures)


def test_differences_are_those_of_pairs(noisy):
    found = compare_arms(noisy, ["random"])
    for world in ("a", "b", ALL_WORLDS):
        row = found.filter(pl.col("world") == world, pl.col("arm") == "uniform").row(0, named=True)
        wide = noisy.pivot(on="arm", index=["world", "seed"], values="macro")
        wide = wide if world == ALL_WORLDS else wide.filter(pl.col("world") == world)
        difference = (wide["uniform"] - wide["random"]).to_numpy()
        assert row["pairs"] == len(difference)
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["low"] < difference.mean() < row["high"]
        # The draws differ by ten times as much as the arms: only pairs can tell.
        assert row["low"] > 0.02
        assert row["p_value"] == sign_test(wide["uniform"], wide["random"]).p_value


def test_equal_arms_are_tied(noisy):
    row = (
        compare_arms(noisy, ["random"])
        .filter(pl.col("arm") == "same", pl.col("world") == "a")
        .row(0, named=True)
    )
    assert (row["better"], row["worse"], row["tied"], row["p_value"]) == (0, 0, 8, 1.0)
    assert row["difference"] == row["low"] == row["high"] == 0.0


def test_the_order_of_the_rows_changes_nothing(noisy):
    shuffled = noisy.sample(fraction=1.0, shuffle=True, seed=3)
    keys = ["world", "arm"]
    assert compare_arms(shuffled, ["random"]).sort(keys).equals(compare_arms(noisy, ["random"]).sort(keys))
    assert summarise_arms(shuffled).sort(keys).equals(summarise_arms(noisy).sort(keys))


def test_a_lower_loss_is_better():
    losses = {("a", seed, arm, 0.2): loss for seed in (0, 1) for arm, loss in (("random", 3.0), ("x", 2.5))}
    cells = make_cells(losses, metric="loss")
    row = compare_arms(cells, ["random"]).row(0, named=True)
    assert row["difference"] == 0.5
    assert (row["better"], row["worse"]) == (2, 0)


def test_one_seed_has_no_interval():
    cells = make_cells({("a", 0, "random", 0.2): 0.4, ("a", 0, "x", 0.2): 0.5})
    assert compare_arms(cells, ["random"]).row(0, named=True)["low"] is None
    assert summarise_arms(cells)["macro_low"].null_count() == 2


def test_arms_without_a_seed_in_common_are_not_compared():
    cells = make_cells({("a", 0, "random", 0.2): 0.4, ("a", 1, "x", 0.2): 0.5})
    assert compare_arms(cells, ["random"]).is_empty()


def curve(labels):
    return 0.1 * np.log(labels)


@pytest.fixture
def curves():
    """Random follows a logarithm; the other arm is always as good as random with twice the labels."""
    rng = np.random.default_rng(0)
    figures = {}
    for seed in range(6):
        shared = rng.normal(0, 0.002)
        for budget in (0.1, 0.2, 0.4, 0.8):
            figures["a", seed, "random", budget] = curve(1000 * budget) + shared
            figures["a", seed, "double", budget] = curve(2000 * budget) + shared
    return make_cells(figures)


def test_labels_that_random_needs_are_read_off_its_curve(curves):
    found = measure_label_efficiency(curves, ["random"])
    rows = {row["budget"]: row for row in found.iter_rows(named=True)}
    for budget in (0.1, 0.2, 0.4):
        row = rows[budget]
        assert row["needed"] == pytest.approx(2000 * budget, rel=0.02)
        assert row["ratio"] == pytest.approx(2.0, rel=0.02)
        assert row["low"] <= row["needed"] <= row["high"] * (1 + 1e-9)
    assert rows[0.8]["needed"] is None  # beyond all that random was given
    assert rows[0.8]["outside"] == 1.0
    assert rows[0.8]["high"] == pytest.approx(800)


def test_several_worlds_have_the_geometric_mean_of_their_ratios(curves):
    other = curves.with_columns(pl.lit("b").alias("world"), (pl.col("macro") + 0.5).alias("macro"))
    found = measure_label_efficiency(pl.concat([curves, other]), ["random"])
    pooled = found.filter(pl.col("world") == ALL_WORLDS, pl.col("budget") == 0.2).row(0, named=True)
    assert pooled["ratio"] == pytest.approx(2.0, rel=0.02)
    assert pooled["labels"] is None


def test_a_baseline_that_lacks_a_cell_has_no_curve(curves):
    is_gone = (pl.col("arm") == "random") & (pl.col("budget") == 0.4) & (pl.col("seed") == 3)
    assert not measure_label_efficiency(curves, ["random"]).is_empty()
    assert measure_label_efficiency(curves.filter(~is_gone), ["random"]).is_empty()


def test_the_page_says_of_several_worlds_their_ratio_alone(curves):
    other = curves.with_columns(pl.lit("b").alias("world"))
    efficiency = measure_label_efficiency(pl.concat([curves, other]), ["random"])
    result = SimpleNamespace(efficiency=efficiency, study=SimpleNamespace(primary="exact_match"))
    lines = [line for line in _render_efficiency(result) if line.startswith("|") and "| 20" in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    needs = {row[0]: row[5] for row in cells}
    assert needs[ALL_WORLDS] == ""
    assert re.fullmatch(r"[34]\d\d \[[34]\d\d, 4\d\d\]", needs["a"])


def test_one_budget_has_no_curve(noisy):
    assert measure_label_efficiency(noisy, ["random"]).is_empty()
