"""Tasks of a pool: planted ones are found, what is odd is set aside, equal inputs give equal bytes."""

from __future__ import annotations

import json
import os

import numpy as np
import polars as pl
import pytest

import tasksel
from planted_tasks import N_PER_TASK, agreement, planted_pool
from tasksel.task_discovery import OTHER, assign_tasks, discover_tasks, load_task_model
from tasksel_core.errors import BudgetError, ConfigError, MissingExtraError, SchemaError


@pytest.fixture(scope="module")
def planted():
    return planted_pool()


@pytest.fixture(scope="module")
def found(planted):
    frame, vectors = planted
    return discover_tasks(frame, embeddings=vectors)


def test_planted_tasks_are_found_with_templates_first(planted, found):
    frame, _ = planted
    assert agreement(found.frame["task"], frame["truth"]) > 0.99
    kinds = dict(found.tasks["kind"].value_counts().iter_rows())
    assert kinds == {"template": 3, "cluster": 4, "other": 1}
    assert found.tasks["task"][-1] == OTHER
    assert found.tasks.filter(kind="template")["template"].sort().to_list() == [
        "Summarize the text below. …",
        "Translate to French: …",
        "… Is this review positive?",
    ]


def test_names_are_telling_unique_and_safe(found):
    names = found.tasks["task"].to_list()
    assert len({name.casefold() for name in names}) == len(names)
    assert any("French" in name for name in names)
    for topic in ("pasta", "football"):
        assert any(topic in terms for terms in found.tasks["terms"].to_list())
    assert all(char.isalnum() or char in " ,'-&+()" for name in names for char in name)


def test_examples_are_three_different_prompts_of_the_task(found):
    by_id = dict(found.frame.select("id", "task").iter_rows())
    for row in found.tasks.iter_rows(named=True):
        assert len({*row["examples"]}) == 3
        assert {by_id[each] for each in row["example_ids"]} == {row["task"]}


def test_why_so_many_is_said_with_its_curve(found):
    assert "3 templates" in found.reason
    chosen = found.curve.filter("is_chosen").row(0, named=True)
    assert chosen["clusters"] in (4, 5)  # the fifth holds what is odd, and is too small to stay
    assert chosen["is_stable"]
    assert f"{chosen['clusters']} is the largest whose silhouette" in found.reason


def test_granularity_is_nested_counts_and_shows_weights(planted):
    frame, vectors = planted
    confidence = np.where(frame["truth"] == "taxes", 1e-6, 0.5)
    scores = frame.select("id").with_columns(confidence=pl.Series(confidence))
    report = discover_tasks(frame, embeddings=vectors, budget=60, scores=scores).granularity
    assert report["tasks"].to_list() == [7, 10, 30, 100]
    assert report["is_found"].to_list() == [True, False, False, False]
    assert (report["smallest"] <= report["median"]).all()
    assert (report["median"] <= report["largest"]).all()
    assert report["effective_tasks"].is_sorted()
    assert report["largest"].is_sorted(descending=True)
    assert report["largest_weight_share"][0] > 0.99


def test_fewer_tasks_than_templates_merge_the_nearest(planted):
    frame, vectors = planted
    found = discover_tasks(frame, embeddings=vectors, n_tasks=2)
    assert found.n_tasks == 2
    assert "merged" in found.tasks["kind"].to_list()
    assert len(found.model.templates) == 3
    assert len(discover_tasks(frame, embeddings=vectors, n_tasks=(1, 3)).model.tasks) == 3


@pytest.mark.parametrize("asked", [7, (5, 9)])
def test_a_number_or_a_range_counts_templates(planted, asked):
    frame, vectors = planted
    assert discover_tasks(frame, embeddings=vectors, n_tasks=asked).n_tasks == 7


def test_without_templates_everything_is_clustered(planted):
    frame, vectors = planted
    found = discover_tasks(frame, embeddings=vectors, n_tasks=7, templates=False)
    assert {*found.tasks["kind"]} <= {"cluster", "other"}
    assert agreement(found.frame["task"], frame["truth"]) > 0.95


def test_hdbscan_finds_them_too(planted):
    pytest.importorskip("sklearn", reason="the extra tasks is not installed")
    frame, vectors = planted
    found = discover_tasks(frame, embeddings=vectors, method="hdbscan")
    assert agreement(found.frame["task"], frame["truth"]) > 0.95
    assert found.curve is None


def test_without_scikit_learn_the_extra_is_named(planted, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    frame, vectors = planted
    with pytest.raises(MissingExtraError, match=r"tasksel\[tasks\]"):
        discover_tasks(frame, embeddings=vectors, method="hdbscan")


def test_small_clusters_go_to_their_nearest(planted):
    frame, vectors = planted
    found = discover_tasks(frame, embeddings=vectors, n_tasks=40, min_size=20)
    sizes = found.tasks.filter(pl.col("kind") != OTHER)["prompts"]
    assert sizes.min() >= 20
    assert any("fewer than 20 prompts" in note for note in found.notes)


def test_other_holds_what_is_empty_or_far(planted):
    frame, vectors = planted
    frame = frame.with_columns(
        prompt=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("")).otherwise("prompt")
    )
    vectors = vectors.copy()
    vectors[5] = 0.0
    found = discover_tasks(frame, embeddings=vectors)
    other = found.frame.with_row_index().filter(task=OTHER)
    assert {0, 1, 2} <= {*other["index"]}
    assert {*frame.with_row_index().filter(truth="odd")["index"]} <= {*other["index"]}
    # Of the ordinary prompts with a topic few are far from all.
    assert other.height < 30


def test_old_tasks_and_all_other_columns_stay(planted):
    frame, vectors = planted
    given = frame.with_columns(task=pl.col("truth"), task_before=pl.lit("x"), nested=pl.lit([1, 2]))
    found = discover_tasks(given, embeddings=vectors)
    assert found.frame["task_before_2"].to_list() == frame["truth"].to_list()
    assert found.frame.columns[:3] == ["id", "task", "prompt"]
    assert found.frame["nested"].to_list() == [[1, 2]] * frame.height
    assert any("task_before" in note for note in found.notes)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_files_are_the_same_bytes_and_a_pool(planted, tmp_path, suffix):
    frame, vectors = planted
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        discover_tasks(frame, embeddings=vectors, out=tmp_path / name / f"pool2.{suffix}", seed=3)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in files])
    assert written[0] == written[1]
    assert {str(path) for path, _ in written[0]} == {
        "pool2-tasks/centers.npy",
        "pool2-tasks/manifest.json",
        "pool2-tasks/tasks.json",
        "pool2.manifest.json",
        f"pool2.{suffix}",
    }
    chosen = tasksel.select(tmp_path / "one" / f"pool2.{suffix}", budget=16, strategy="task-diversity")
    assert chosen.frame["task"].n_unique() == 8


def test_the_manifest_names_inputs_and_holds_no_paths(planted, tmp_path):
    frame, vectors = planted
    frame.write_parquet(tmp_path / "pool.parquet")
    np.save(tmp_path / "vectors.npy", vectors)
    out = tmp_path / "pool2.parquet"
    found = discover_tasks(tmp_path / "pool.parquet", embeddings=tmp_path / "vectors.npy", out=out)
    manifest = json.loads((tmp_path / "pool2.manifest.json").read_text())
    assert manifest["pool"]["name"] == "pool.parquet"
    assert manifest["embeddings"]["name"] == "vectors.npy"
    assert manifest["figures"]["tasks"] == 7
    assert len(manifest["files"]["pool2.parquet"]) == 64
    assert str(tmp_path) not in json.dumps(manifest)
    assert {**found.to_dict(), "files": manifest["files"]} == manifest


def test_new_prompts_get_the_same_tasks(planted, found, tmp_path):
    frame, vectors = planted
    saved = discover_tasks(frame, embeddings=vectors, out=tmp_path / "pool2.parquet")
    again = assign_tasks(frame, tmp_path / "pool2-tasks", embeddings=vectors)
    assert again.frame["task"].equals(saved.frame["task"])
    new, new_vectors = planted_pool(seed=0, n_per_task=2 * N_PER_TASK)
    assigned = assign_tasks(new, load_task_model(tmp_path / "pool2-tasks"), embeddings=new_vectors)
    assert agreement(assigned.frame["task"], new["truth"]) > 0.97
    assert {*assigned.frame["task"]} <= {*saved.frame["task"]}
    assert any("not known" in note for note in assigned.notes)


def test_a_text_with_a_template_needs_no_near_vector(planted, found):
    _, vectors = planted
    frame = pl.DataFrame({"prompt": ["Translate to French: whatever", "", "nonsense"]})
    assigned = assign_tasks(frame, found.model, embeddings=-vectors[:3])
    assert "French" in assigned.frame["task"][0]
    assert assigned.frame["task"][1] == OTHER


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_tiny_pools_have_a_task(n_rows):
    frame = pl.DataFrame({"prompt": [f"prompt {number}" for number in range(n_rows)]})
    found = discover_tasks(frame, embeddings=np.eye(n_rows, 8, dtype=np.float32) + 0.1)
    assert found.frame["task"].null_count() == 0
    assert found.n_tasks >= 1


def test_a_pool_of_nothing_but_empty_prompts_is_other():
    frame = pl.DataFrame({"prompt": ["", None, " "]})
    found = discover_tasks(frame, embeddings=np.ones((3, 4), dtype=np.float32))
    assert found.frame["task"].to_list() == [OTHER] * 3
    assert found.n_tasks == 0


def test_one_prompt_many_times_and_equal_vectors():
    frame = pl.DataFrame({"prompt": ["the same"] * 60})
    found = discover_tasks(frame, embeddings=np.ones((60, 4), dtype=np.float32))
    assert found.tasks["prompts"].to_list() == [60]


def test_hostile_prompts_do_not_reach_names():
    rng = np.random.default_rng(0)
    hostile = ["\x1b[31m<script>alert(1)</script>", "../../etc/passwd", "\u202egnihton", "task\x00name"]
    prompts = [f"{hostile[number % 4]} {number}" for number in range(80)]
    vectors = np.eye(4, 8)[np.arange(80) % 4] + 0.05 * rng.standard_normal((80, 8))
    found = discover_tasks(pl.DataFrame({"prompt": prompts}), embeddings=vectors, n_tasks=4)
    for name in found.tasks["task"]:
        assert name.isprintable()
        assert not {*name} & {*"<>/\\.\x1b\u202e\x00"}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"n_tasks": 0}, ConfigError, "n_tasks is 0"),
        ({"n_tasks": (9, 3)}, ConfigError, "smaller first"),
        ({"n_tasks": True}, ConfigError, "n_tasks is True"),
        ({"method": "kmeans"}, ConfigError, "k-means, hdbscan"),
        ({"method": "hdbscan", "n_tasks": 3}, ConfigError, "HDBSCAN finds the number"),
        ({"min_size": 0}, BudgetError, "min_size is 0"),
        ({"budget": 0}, BudgetError, "budget is 0"),
        ({"seed": -1}, ConfigError, "seed is -1"),
        ({"out": "pool.csv"}, ConfigError, ".parquet and .jsonl"),
        ({"out": "nowhere/pool.parquet"}, ConfigError, "no folder nowhere"),
        ({"embeddings": "nowhere.npy"}, SchemaError, "no embeddings file"),
    ],
)
def test_a_mistake_is_a_sentence(planted, arguments, error, said):
    frame, vectors = planted
    with pytest.raises(error) as raised:
        discover_tasks(frame, **{"embeddings": vectors, **arguments})
    assert said in str(raised.value)


def test_embeddings_that_are_not_finite_are_refused(planted):
    frame, vectors = planted
    vectors = vectors.copy()
    vectors[7, 0] = np.nan
    with pytest.raises(SchemaError, match=r"row 8 holds NaN"):
        discover_tasks(frame, embeddings=vectors)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pool_is_written_to_a_file_and_nothing_else(planted, tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    for name, said in (("folder", "is a folder"), ("pipe", "is not a regular file")):
        with pytest.raises(
            ConfigError, match=rf"{name}\.parquet {said}; allowed: a file to write the pool to"
        ):
            discover_tasks(planted[0], embeddings=planted[1], out=tmp_path / f"{name}.parquet")


def test_an_input_is_never_overwritten(planted, tmp_path):
    frame, vectors = planted
    frame.write_parquet(tmp_path / "pool.parquet")
    before = (tmp_path / "pool.parquet").read_bytes()
    with pytest.raises(ConfigError, match="would overwrite"):
        discover_tasks(tmp_path / "pool.parquet", embeddings=vectors, out=tmp_path / "pool.parquet")
    assert (tmp_path / "pool.parquet").read_bytes() == before
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text('{"stage": "select"}')
    with pytest.raises(ConfigError, match="something else than a task model"):
        discover_tasks(frame, embeddings=vectors, out=tmp_path / "new.parquet", model_out=tmp_path / "run")


def test_jsonl_cannot_hold_bytes_and_says_so(planted, tmp_path):
    frame, vectors = planted
    with pytest.raises(SchemaError, match=r"write a \.parquet file"):
        discover_tasks(
            frame.with_columns(raw=pl.lit(b"\xff")), embeddings=vectors, out=tmp_path / "pool2.jsonl"
        )
    assert not (tmp_path / "pool2.manifest.json").exists()
