"""The verb: what a person sees in 80 columns, JSON, exit codes, a user's mistakes in one sentence."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from planted_tasks import planted_pool
from tasksel.cli import app
from tasksel.terminal_tasks import _granularity_table

runner = CliRunner()


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    frame, vectors = planted_pool()
    frame = frame.with_columns(pl.col("prompt").str.replace("xyzzy", "\x1b[31mred\x1b[0m [bold]"))
    frame.write_parquet("pool.parquet")
    np.save("vectors.npy", vectors)
    return ["tasks", "pool.parquet", "--embeddings", "vectors.npy"]


def run(*arguments):
    return runner.invoke(app, [str(each) for each in arguments])


def test_a_person_sees_tasks_the_reason_and_what_is_next(pool):
    result = run(*pool, "--out", "pool2.parquet")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    flat = " ".join(result.stdout.split())
    for said in ("7 tasks (3 with a template)", "Why so many:", "Translate to French: …", "chosen", "found"):
        assert said in flat
    assert "tasksel select pool2.parquet --budget N" in flat
    assert "\x1b" not in result.stdout
    assert pl.read_parquet("pool2.parquet")["task"].n_unique() == 8


def test_json_is_one_object(pool):
    result = run(*pool, "--json", "--budget", 30)
    content = json.loads(result.stdout)
    assert content["figures"]["tasks"] == 7
    assert content["settings"]["budget"] == 30
    assert len(content["tasks"]) == 8
    assert content["out"] is None


def test_without_out_nothing_is_written(pool, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(*pool)
    assert "No pool was written" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_quiet_prints_nothing(pool):
    result = run(*pool, "--quiet", "--out", "pool2.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")


def test_new_prompts_get_tasks_by_using(pool):
    run(*pool, "--out", "pool2.parquet", "--model-out", "model", "--quiet")
    result = run(*pool, "--using", "model", "--out", "again.parquet")
    assert result.exit_code == 0, result.output
    one, two = (pl.read_parquet(name)["task"] for name in ("pool2.parquet", "again.parquet"))
    assert one.equals(two)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--n-tasks", "many"], "--n-tasks is 'many'; allowed: a number, such as 40, or a range"),
        (["--n-tasks", "9:3"], "smaller first"),
        (["--method", "dbscan"], "allowed: k-means, hdbscan"),
        (["--min-size", "0"], "min_size is 0"),
        (["--out", "pool.parquet"], "would overwrite pool.parquet"),
        (["--out", "pool2.csv"], "allowed: .parquet and .jsonl"),
        (["--using", "nowhere"], "no folder nowhere"),
        (["--using", "nowhere", "--n-tasks", "3"], "--n-tasks says how tasks are found"),
        (["--tag-model", "namer"], "belong together"),
        (["--tag-endpoint", "ftp://x", "--tag-model", "n", "--out", "p.jsonl"], "http:// or https://"),
        (["--tag-endpoint", "http://x/v1", "--tag-model", "n"], "replies are kept"),
        (["--scores", "nowhere.parquet"], "nowhere.parquet"),
        (["--embeddings", "nowhere.npy"], "no embeddings file"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(pool, arguments, said):
    result = run(*pool, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_debug_shows_the_traceback(pool):
    assert "Traceback" in run(*pool, "--min-size", "0", "--debug").stderr


def test_weights_that_are_known_stand_beside_each_granularity():
    row = {"tasks": 8, "smallest": 1, "median": 2.0, "largest": 9, "effective_tasks": 6.5, "capped": 0}
    row |= {"labels_per_task": 3.0, "effective_tasks_weight": 4.25, "largest_weight_share": 0.375}
    console = Console(file=io.StringIO(), width=120)
    console.print(_granularity_table(pl.DataFrame([{**row, "is_found": True}])))
    assert console.file.getvalue().splitlines()[-1].split() == [
        *("8", "1", "2", "9", "6.5", "3", "0", "4.2", "37.5%", "found")
    ]
