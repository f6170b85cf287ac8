"""Worlds made of a file: sizes, holdouts, embeddings, and what is wrong with them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasksel.study.config import WorldConfig
from tasksel.study.draws import Draw
from tasksel.study.worlds import SOURCE_ROW, open_world
from tasksel_core.errors import ConfigError, ResumeError, SchemaError


@pytest.fixture
def answered(tmp_path):
    rows = [
        {"id": f"{task}-{number}", "task": task, "prompt": f"{task} {number}?", "response": str(number)}
        for task in ("sum", "echo", "next", "last")
        for number in range(20)
    ]
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "mine.parquet")
    return frame


def config(**settings):
    given = {"path": "mine.parquet", "report": (0,), "holdout_per_task": 4, "largest": 16, "smallest": 2}
    return WorldConfig("mine", kind="file", **{**given, **settings})


def sizes(pool):
    return sorted(pool["task"].value_counts()["count"].to_list())


def test_sizes_fall_by_equal_factors_or_by_a_power_of_the_rank(answered, tmp_path):
    assert sizes(open_world(config(), tmp_path).make_pool(0)) == [2, 4, 8, 16]
    assert sizes(open_world(config(exponent=1.0), tmp_path).make_pool(0)) == [4, 5, 8, 16]
    assert sizes(open_world(config(exponent=0.0, largest=100), tmp_path).make_pool(0)) == [16] * 4


def test_the_holdout_is_the_same_whatever_the_sizes_and_never_in_the_pool(answered, tmp_path):
    world, other = open_world(config(), tmp_path), open_world(config(largest=9), tmp_path)
    for seed in range(3):
        assert world.make_holdout(seed).equals(other.make_holdout(seed))
        assert not set(world.make_holdout(seed)["id"]) & set(world.make_pool(seed)["id"])
    assert not world.make_holdout(0).equals(world.make_holdout(1))


def test_a_share_of_the_tasks(answered, tmp_path):
    world = open_world(config(n_tasks=2), tmp_path)
    assert world.make_pool(3)["task"].n_unique() == 2
    assert set(world.make_pool(3)["task"]) == set(world.make_holdout(3)["task"])


def test_embeddings_follow_their_rows(answered, tmp_path):
    np.save(tmp_path / "vectors.npy", np.arange(80, dtype=np.float32)[:, None])
    draw = Draw(open_world(config(embeddings="vectors.npy"), tmp_path), 0, tmp_path / "draw")
    draw.prepare(frozenset({"embeddings"}))
    assert draw.embeddings[:, 0].tolist() == draw.pool[SOURCE_ROW].to_list()
    found = answered.with_row_index().join(draw.pool.select("id"), on="id", how="right")["index"]
    assert draw.embeddings[:, 0].tolist() == found.to_list()


def test_embeddings_of_a_table_follow_their_ids(answered, tmp_path):
    table = answered.select("id", embedding=pl.int_range(pl.len()).cast(pl.Float32).reshape((-1, 1)))
    table.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(tmp_path / "vectors.parquet")
    draw = Draw(open_world(config(embeddings="vectors.parquet"), tmp_path), 0, tmp_path / "draw")
    draw.prepare(frozenset({"embeddings"}))
    assert draw.embeddings[:, 0].tolist() == draw.pool[SOURCE_ROW].to_list()


def test_a_model_is_a_folder_beside_the_study_or_a_name(answered, tmp_path):
    (tmp_path / "mine").mkdir()
    assert open_world(config(model="mine"), tmp_path).model == str(tmp_path / "mine")
    assert open_world(config(model="owner/name"), tmp_path).model == "owner/name"


def test_a_world_of_long_answers():
    world = open_world(
        WorldConfig("long", kind="long-answers", report=(0,), n_tasks=3, holdout_per_task=2), Path()
    )
    pool, holdout = world.make_pool(0), world.make_holdout(0)
    assert set(holdout["task"]) == set(pool["task"])
    assert holdout.height == 6
    assert pool["response"].str.split(" ").list.len().mean() > 3


def test_too_few_embeddings_are_refused(answered, tmp_path):
    np.save(tmp_path / "few.npy", np.zeros((3, 2), dtype=np.float32))
    draw = Draw(open_world(config(embeddings="few.npy"), tmp_path), 0, tmp_path / "draw")
    with pytest.raises(SchemaError, match=r"few\.npy has the shape \(3, 2\)"):
        draw.prepare(frozenset({"embeddings"}))


def test_a_draw_that_was_tampered_with_is_refused(answered, tmp_path):
    draw = Draw(open_world(config(), tmp_path), 0, tmp_path / "draw")
    draw.prepare(frozenset())
    draw.pool.head(3).write_parquet(draw.pool_path)
    with pytest.raises(ResumeError, match="is not what world 'mine' draws with seed 0 now"):
        Draw(draw.world, 0, tmp_path / "draw").prepare(frozenset())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout_per_task": 20}, "has fewer than 21 different answered prompts"),
        ({"n_tasks": 5}, "n_tasks is 5; mine.parquet has 4 tasks"),
        ({"embeddings": "none.npy"}, "there are no embeddings in"),
        ({"model": "./none"}, "there is no model in"),
        ({"model": "~nobody-of-that-name/x"}, "there is no model in .*~nobody-of-that-name/x"),
        (
            {"embeddings": "~nobody-of-that-name/x.npy"},
            "there are no embeddings in .*~nobody-of-that-name/x.npy",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(answered, tmp_path, settings, message):
    with pytest.raises((ConfigError, SchemaError), match=message):
        open_world(config(**settings), tmp_path)


def test_a_file_without_responses_or_tasks_is_refused(answered, tmp_path):
    for column in ("response", "task"):
        answered.drop(column).write_parquet(tmp_path / "mine.parquet")
        with pytest.raises(SchemaError, match=f"has no column {column}"):
            open_world(config(), tmp_path)
