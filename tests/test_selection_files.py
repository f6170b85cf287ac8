import json

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel.run_folder import file_sha256
from tasksel.selection_files import SelectionInputs, find_inputs, read_selection, replay
from tasksel_core.errors import ConfigError, ResumeError, SchemaError


@pytest.fixture
def pool(tmp_path):
    generator = np.random.default_rng(0)
    tasks = [f"{name},\n" for name, size in {"a": 30, "b": 9, "c": 1}.items() for _ in range(size)]
    frame = pl.DataFrame(
        {
            "kind": tasks,
            "prompt": [f"prompt {row}" for row in range(len(tasks))],
            "confidence": generator.random(len(tasks)),
        }
    )
    path = tmp_path / "pool.parquet"
    frame.write_parquet(path)
    np.save(tmp_path / "embeddings.npy", generator.standard_normal((len(tasks), 4), dtype=np.float32))
    return path


SETTINGS = [
    {"strategy": "random"},
    {"strategy": "task-diversity", "base": 2, "seed": 3},
    {"strategy": "weighted-task-diversity", "alpha": 0.5, "max_weight_ratio": 10.0, "task_mean": "geometric"},
    {"strategy": "weighted-task-diversity", "rounding": "largest-remainder", "base": 0},
    {"strategy": "task-diversity", "within": "k-center", "embeddings": "embeddings.npy"},
    {"strategy": "idds", "options": {"trade_off": 0.5}, "embeddings": "embeddings.npy"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings["strategy"])
def test_a_selection_is_read_back_and_made_anew(pool, settings):
    settings = dict(settings)
    if "embeddings" in settings:
        settings["embeddings"] = str(pool.parent / settings["embeddings"])
    out = pool.parent / "chosen"
    made = tasksel.select(pool, budget=12, task_column="kind", out=out, **settings)
    saved = read_selection(out)
    assert saved.frame.equals(made.frame)
    assert saved.allocation.equals(made.allocation)
    assert saved.settings == made.manifest["settings"]
    inputs = find_inputs(out)
    assert str(inputs.pool) == str(pool)
    again = replay(saved, inputs)
    assert again.frame.equals(made.frame)
    assert again.manifest == made.manifest
    larger = replay(saved, inputs, budget=20)
    assert larger.frame.height == 20
    if settings.get("rounding") is None:
        assert larger.rows[:12].tolist() == made.rows.tolist()
    other = replay(saved, inputs, seed=99)
    assert other.manifest["settings"]["seed"] == 99


def test_another_pool_is_refused(pool):
    out = pool.parent / "chosen"
    tasksel.select(pool, budget=5, task_column="kind", out=out)
    other = pool.with_name("other.parquet")
    pl.read_parquet(pool).head(20).write_parquet(other)
    with pytest.raises(SchemaError, match=r"other\.parquet is not the pool that .*chosen was made from"):
        replay(read_selection(out), SelectionInputs(pool=other))
    with pytest.raises(ConfigError, match="name it with --pool"):
        replay(read_selection(out), SelectionInputs())


def test_other_embeddings_are_refused(pool):
    out = pool.parent / "chosen"
    tasksel.select(
        pool, budget=5, strategy="k-center", embeddings=str(pool.parent / "embeddings.npy"), out=out
    )
    with pytest.raises(SchemaError, match="The embeddings are not those"):
        replay(read_selection(out), SelectionInputs(pool=pool, embeddings=np.ones((40, 4), np.float32)))


def test_a_job_says_where_the_inputs_are(pool):
    run = pool.parent / "run"
    out = run / "selections" / "first"
    tasksel.select(pool, budget=5, task_column="kind", out=out)
    inputs = {"pool": "../pool.parquet", "embeddings": "vector"}
    (run / "job.json").write_text(json.dumps({"format_version": 1, "inputs": inputs}))
    inputs = find_inputs(out)
    assert replay(read_selection(out), inputs).frame.height == 5
    assert inputs.embeddings == "vector"
    assert find_inputs(out, pool="mine.csv").pool == "mine.csv"


def test_what_is_no_selection_is_named(pool, tmp_path):
    with pytest.raises(ConfigError, match="holds no finished selection"):
        read_selection(tmp_path)
    (tmp_path / "manifest.json").write_text('{"stage": "score"}')
    with pytest.raises(ConfigError, match="of the stage 'score', not of a selection"):
        read_selection(tmp_path)
    (tmp_path / "manifest.json").write_text('{"stage": "select", "format_version": 99}')
    with pytest.raises(ResumeError, match="has format 99, this tasksel knows 1"):
        read_selection(tmp_path)


def test_a_changed_or_missing_file_is_named(pool):
    out = pool.parent / "chosen"
    tasksel.select(pool, budget=5, task_column="kind", out=out)
    with (out / "allocation.csv").open("a") as file:
        file.write("x,1,,,1,1,1,True,,0\n")
    with pytest.raises(ResumeError, match=r"allocation\.csv is not as it was written"):
        read_selection(out)
    (out / "allocation.csv").unlink()
    with pytest.raises(ResumeError, match=r"allocation\.csv is missing"):
        read_selection(out)


def test_a_file_that_a_manifest_vouches_for_and_that_is_none_is_named(pool):
    out = pool.parent / "chosen"
    tasksel.select(pool, budget=5, task_column="kind", out=out)
    (out / "selected.parquet").write_bytes(b"PAR1 and no more")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["selected.parquet"] = file_sha256(out / "selected.parquet")
    (out / "manifest.json").write_text(json.dumps(manifest))
    said = r"chosen/selected\.parquet cannot be read \(.*[^\n]\); restore it, or make it anew\.$"
    with pytest.raises(ResumeError, match=said):
        read_selection(out)


def test_an_allocation_that_a_manifest_vouches_for_and_that_is_none_is_named(pool):
    out = pool.parent / "chosen"
    tasksel.select(pool, budget=5, task_column="kind", out=out)
    (out / "allocation.csv").write_text("task,available\n1,many\n", encoding="utf-8")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["allocation.csv"] = file_sha256(out / "allocation.csv")
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResumeError, match=r"chosen cannot be read \(.*[^\n]\); make the selection anew\.$"):
        read_selection(out)
