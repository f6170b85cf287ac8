"""What changes between two selections, against sets of ids counted by hand."""

import json

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel_core.errors import ConfigError

SIZES = {"alpha": 60, "beta": 30, "gamma": 12, "delta": 3}
WEIGHTED = {"strategy": "weighted-task-diversity"}


@pytest.fixture(scope="module")
def pool():
    tasks = [name for name, size in SIZES.items() for _ in range(size)]
    level = {"alpha": 0.9, "beta": 0.5, "gamma": 0.2, "delta": 0.7}
    frame = pl.DataFrame(
        {
            "id": [f"{task}-{row}" for row, task in enumerate(tasks)],
            "task": tasks,
            "prompt": [f"{task} prompt {row}" for row, task in enumerate(tasks)],
        }
    )
    return frame.with_columns(confidence=pl.col("task").replace_strict(level))


def check(found, a, b):
    ids_a, ids_b = set(a.frame["id"]), set(b.frame["id"])
    assert (found.n_a, found.n_b, found.n_shared) == (len(ids_a), len(ids_b), len(ids_a & ids_b))
    assert found.jaccard == pytest.approx(len(ids_a & ids_b) / len(ids_a | ids_b))
    assert set(found.came_in["id"]) == ids_b - ids_a
    assert set(found.went_out["id"]) == ids_a - ids_b
    assert found.moved_by_quotas + found.moved_inside_tasks == len(ids_a - ids_b)
    assert found.came_in["rank"].is_sorted()
    for row in found.tasks.iter_rows(named=True):
        of_task = {each for each in ids_a & ids_b if each.startswith(f"{row['task']}-")}
        assert row["shared"] == len(of_task)
        assert row["change"] == row["quota_b"] - row["quota_a"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_another_seed_changes_prompts_and_no_quota(pool):
    a, b = (tasksel.select(pool, budget=30, seed=seed, **WEIGHTED) for seed in (0, 1))
    found = tasksel.diff(a, b)
    check(found, a, b)
    assert found.settings.rows() == [("seed", "0", "1")]
    assert (found.tasks["change"] == 0).all()
    assert found.moved_by_quotas == 0
    assert found.by_chance.expected == pytest.approx(30 * 30 / 105)
    available, quotas = (a.allocation[name].to_numpy() for name in ("available", "quota"))
    assert found.by_quotas.expected == pytest.approx((quotas**2 / available).sum())


def test_another_base_changes_quotas_and_keeps_the_order_inside_tasks(pool):
    a, b = (tasksel.select(pool, budget=30, base=base, **WEIGHTED) for base in (8, 0))
    found = tasksel.diff(a, b)
    check(found, a, b)
    assert found.settings["setting"].to_list() == ["base"]
    assert found.moved_inside_tasks == 0
    assert found.moved_by_quotas == found.went_out.height > 0
    assert found.tasks["change"].abs().is_sorted(descending=True)


def test_a_larger_budget_keeps_all(pool):
    a, b = (tasksel.select(pool, budget=budget) for budget in (20, 50))
    found = tasksel.diff(a, b)
    check(found, a, b)
    assert found.n_shared == 20
    assert found.went_out.is_empty()
    assert found.rank_correlation == pytest.approx(1.0)
    assert "The larger selection begins with the smaller one." in found.notes


def test_a_selection_does_not_differ_from_itself(pool):
    selection = tasksel.select(pool, budget=20)
    found = tasksel.diff(selection, selection)
    assert found.headline == "Both select the same 20 prompts."
    assert found.settings.is_empty()
    assert found.jaccard == 1.0


def test_another_strategy_shows_all_settings_that_differ(pool):
    a, b = tasksel.select(pool, budget=30), tasksel.select(pool, budget=30, strategy="random")
    found = tasksel.diff(a, b)
    check(found, a, b)
    assert found.settings["setting"][0] == "strategy"
    assert {"within", "base"} <= set(found.settings["setting"])


def test_another_model_shows_what_changed_in_confidence(pool):
    other = pool.with_columns(confidence=1 - pl.col("confidence"))
    scores = [frame.select("id", "confidence") for frame in (pool, other)]
    bare = pool.drop("confidence")
    a, b = (tasksel.select(bare, budget=30, scores=each, **WEIGHTED) for each in scores)
    found = tasksel.diff(a, b)
    check(found, a, b)
    row = found.tasks.filter(pl.col("task") == "alpha").row(0, named=True)
    assert row["confidence_a"] == pytest.approx(0.9)
    assert row["log_confidence_change"] == pytest.approx(np.log(0.1 / 0.9))
    assert any("different models or answers" in note for note in found.notes)


def test_other_metrics_do_not_compare(pool):
    tokens = pool.drop("confidence").with_columns(token_logprobs=pl.lit([-0.5, -0.1]))
    a, b = (
        tasksel.select(tokens, budget=30, metric=metric, **WEIGHTED) for metric in ("product", "min-token")
    )
    assert any("do not compare" in note for note in tasksel.diff(a, b).notes)


def test_selections_of_two_pools_are_matched_by_id(pool):
    a, b = tasksel.select(pool, budget=30), tasksel.select(pool.head(95), budget=30)
    found = tasksel.diff(a, b)
    check(found, a, b)
    assert found.by_chance is None
    assert any("The pools differ" in note for note in found.notes)


def test_a_pool_without_tasks():
    pool = pl.DataFrame({"prompt": [f"prompt {row}" for row in range(40)]})
    a, b = (tasksel.select(pool, budget=10, strategy="random", seed=seed) for seed in (0, 1))
    found = tasksel.diff(a, b)
    assert found.tasks["task"].to_list() == ["(all)"]
    assert found.tasks["shared"].to_list() == [found.n_shared]
    assert "task" not in found.came_in.columns


def test_folders_and_selections_compare_alike(pool, tmp_path):
    a, b = tasksel.select(pool, budget=30, **WEIGHTED), tasksel.select(pool, budget=30)
    a.save(tmp_path / "a")
    b.save(tmp_path / "b")
    from_folders = tasksel.diff(tmp_path / "a", tmp_path / "b").to_dict()
    assert from_folders == tasksel.diff(a, b).to_dict()
    with pytest.raises(ConfigError, match="holds no finished selection"):
        tasksel.diff(tmp_path / "a", tmp_path / "none")


def test_confidence_of_zero_is_no_nan_in_the_account(pool):
    zero = pool.with_columns(confidence=pl.when(pl.col("task") == "delta").then(0.0).otherwise(0.5))
    a, b = tasksel.select(zero, budget=30, **WEIGHTED), tasksel.select(pool, budget=30, **WEIGHTED)
    json.dumps(tasksel.diff(a, b).to_dict(), allow_nan=False)
