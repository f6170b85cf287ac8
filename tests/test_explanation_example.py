"""One prompt: in or out, why, and from which budget on, against selections made at every budget."""

import json

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel.explanation_example import explain_example
from tasksel_core.errors import ConfigError

SIZES = {"alpha": 20, "beta": 9, "gamma": 4, "delta": 1}


@pytest.fixture(scope="module")
def pool():
    tasks = [name for name, size in SIZES.items() for _ in range(size)]
    confidence = np.random.default_rng(0).uniform(0.05, 0.95, len(tasks))
    frame = pl.DataFrame(
        {
            "id": [f"{task}-{row}" for row, task in enumerate(tasks)],
            "task": tasks,
            "prompt": [f"{task} prompt {row}" for row, task in enumerate(tasks)],
            "confidence": confidence,
        }
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def vectors(pool):
    return np.random.default_rng(2).standard_normal((pool.height, 4)).astype(np.float32)


RANKINGS = {
    "task-diversity": {"strategy": "task-diversity"},
    "weighted": {"strategy": "weighted-task-diversity", "base": 1},
    "random": {"strategy": "random"},
    "least-confident": {"strategy": "least-confident"},
    "k-center": {"strategy": "k-center"},
    "within k-center": {"strategy": "task-diversity", "within": "k-center"},
}


def select(pool, vectors, budget, **settings):
    needs_vectors = "k-center" in settings.values()
    return tasksel.select(pool, budget=budget, embeddings=vectors if needs_vectors else None, **settings)


@pytest.mark.parametrize("name", RANKINGS)
def test_a_ranking_takes_a_prompt_from_the_budget_that_is_its_rank(pool, vectors, name):
    settings = RANKINGS[name]
    whole = select(pool, vectors, pool.height, **settings).frame["id"].to_list()
    selection = select(pool, vectors, 12, **settings)
    for example_id in [whole[0], whole[11], whole[12], whole[20], whole[-1]]:
        found = explain_example(selection, example_id, pool=pool, embeddings=vectors)
        position = whole.index(example_id) + 1
        assert found.is_ranking
        assert found.enters_at == position
        assert found.is_in == (position <= 12)
        assert found.rank == (position if position <= 12 else None)
        tasks = [each.split("-")[0] for each in whole[:position]]
        assert found.place == tasks.count(example_id.split("-")[0])


@pytest.mark.parametrize("rounding", ["largest-remainder", "paper"])
def test_other_roundings_are_searched_and_said_to_be_no_ranking(pool, vectors, rounding):
    settings = {"strategy": "weighted-task-diversity", "base": 2, "rounding": rounding}
    selection = select(pool, vectors, 12, **settings)
    chosen = {budget: set(select(pool, vectors, budget, **settings).frame["id"]) for budget in range(1, 35)}
    for example_id in pool["id"].gather([0, 5, 9, 20, 33]):
        found = explain_example(selection, example_id, pool=pool)
        assert found.is_ranking is False
        assert example_id in chosen[found.enters_at]
        assert found.enters_at == 1 or example_id not in chosen[found.enters_at - 1]
        assert any("does not begin with a smaller one" in each for each in found.sentences)


def test_partitions_are_no_ranking_either(pool, vectors):
    settings = {"strategy": "k-center", "options": {"partitions": 3}}
    selection = tasksel.select(pool, budget=10, embeddings=vectors, **settings)
    out = next(each for each in pool["id"] if each not in set(selection.frame["id"]))
    found = explain_example(selection, out, pool=pool, embeddings=vectors)
    made = tasksel.select(pool, budget=found.enters_at, embeddings=vectors, **settings)
    assert out in set(made.frame["id"])


def test_why_a_prompt_is_out(pool, vectors):
    selection = select(pool, vectors, 12, strategy="weighted-task-diversity", base=1)
    out = next(each for each in pool["id"] if each not in set(selection.frame["id"]))
    found = explain_example(selection, out, pool=pool, embeddings=vectors)
    text = " ".join(found.sentences)
    assert found.sentences[0] == "Out: it is none of the 12 labels."
    assert f"gives {found.quota} of {found.available} prompts, ordered at random" in text
    assert f"It comes in at a budget of {found.enters_at}." in text
    row = pool["id"].to_list().index(out)
    assert found.confidence == pytest.approx(pool["confidence"][row])
    mates = pool.filter(pl.col("task") == found.task)["confidence"]
    assert found.confidence_place == int((mates < pool["confidence"][row]).sum()) + 1
    distances = np.linalg.norm(vectors[selection.rows] - vectors[row], axis=1)
    assert found.nearest_distance == pytest.approx(distances.min(), rel=1e-5)
    assert found.nearest_id == selection.frame["id"][int(distances.argmin())]
    json.dumps(found.to_dict(), allow_nan=False)


def test_without_the_pool_a_label_has_its_rank_and_another_id_is_not_known(pool, vectors):
    selection = select(pool, vectors, 12)
    found = explain_example(selection, selection.frame["id"][4])
    assert (found.is_in, found.rank, found.enters_at) == (True, 5, None)
    assert "cannot be told" in found.sentences[-1]
    with pytest.raises(ConfigError, match="Whether the pool has it is not known"):
        explain_example(selection, "no-such")


def test_an_unknown_id_is_refused_with_what_was_meant(pool, vectors):
    selection = select(pool, vectors, 12)
    with pytest.raises(ConfigError, match=r"no id 'alpha-119' in the pool. Did you mean 'alpha-19'\?"):
        explain_example(selection, "alpha-119", pool=pool)
    with pytest.raises(ConfigError, match="no id ''"):
        explain_example(selection, "", pool=pool)


def test_without_the_vectors_that_decided_only_the_budget_is_missing(pool, vectors):
    selection = select(pool, vectors, 12, strategy="k-center")
    found = explain_example(selection, pool["id"][0], pool=pool)
    assert found.enters_at is None
    assert "embeddings" in found.sentences[-1]


def test_a_selection_that_does_not_come_out_again_is_said(pool, vectors):
    selection = select(pool, vectors, 12)
    selection.manifest["settings"]["seed"] = 5
    found = explain_example(selection, pool["id"][0], pool=pool)
    assert found.enters_at is None
    assert "does not come out again" in found.sentences[-1]
