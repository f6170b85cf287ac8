from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tasksel.evaluation_figures import overall_figures, task_figures
from tasksel.intervals import wilson_interval

EXAMPLES = pl.DataFrame(
    {
        "task": ["b"] * 8 + ["a"] * 2 + ["c"],
        "correct": [True] * 6 + [False] * 2 + [True, False] + [False],
        "f1": [0.5] * 8 + [1.0, 0.0] + [0.25],
    }
)


def test_every_task_has_its_means_and_wilson_intervals():
    table = task_figures(EXAMPLES, ["correct", "f1"])
    assert table.columns == ["task", "examples", "correct", "correct_low", "correct_high", "f1"]
    assert table.select("task", "examples", "correct", "f1").rows() == [
        ("b", 8, 0.75, 0.5),
        ("a", 2, 0.5, 0.5),
        ("c", 1, 0.0, 0.25),
    ]
    assert table.row(0)[3:5] == wilson_interval(6, 8)


def test_the_best_task_is_first_where_low_is_good_too():
    losses = EXAMPLES.rename({"f1": "loss"})
    assert task_figures(losses, ["loss"])["task"].to_list() == ["c", "a", "b"]
    assert task_figures(losses, ["correct", "loss"])["task"].to_list() == ["b", "a", "c"]


def test_macro_and_micro_are_means_over_tasks_and_examples():
    figures = overall_figures(EXAMPLES, ["correct", "f1"])
    assert figures["correct"]["macro"]["mean"] == pytest.approx((0.75 + 0.5 + 0) / 3)
    assert figures["correct"]["micro"]["mean"] == pytest.approx(7 / 11)
    assert (figures["correct"]["micro"]["low"], figures["correct"]["micro"]["high"]) == wilson_interval(7, 11)
    assert figures["f1"]["micro"]["mean"] == pytest.approx(EXAMPLES["f1"].mean())
    for metric in figures.values():
        for each in metric.values():
            assert 0 <= each["low"] <= each["mean"] <= each["high"] <= 1


def test_the_order_of_rows_changes_nothing():
    shuffled = EXAMPLES.sample(fraction=1.0, shuffle=True, seed=3)
    assert overall_figures(shuffled, ["correct", "f1"]) == overall_figures(EXAMPLES, ["correct", "f1"])
    assert task_figures(shuffled, ["correct", "f1"]).equals(task_figures(EXAMPLES, ["correct", "f1"]))


def test_one_example_is_a_whole_evaluation():
    figures = overall_figures(EXAMPLES.head(1), ["correct", "f1"])
    assert figures["f1"]["macro"] == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_another_seed_moves_only_the_intervals():
    rng = np.random.default_rng(0)
    many = pl.DataFrame({"task": [f"t{row}" for row in range(30)], "f1": rng.random(30)})
    one, other = (overall_figures(many, ["f1"], seed=seed)["f1"]["macro"] for seed in (0, 1))
    assert one["mean"] == other["mean"]
    assert one["low"] == pytest.approx(other["low"], abs=0.05)
    assert one != other
