"""Rounds that are killed anywhere end as if they had not been."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from tasksel.run_folder import read_json
from tasksel.toy_world import make_toy_holdout, make_toy_pool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX systems"),
]

pytest.importorskip("peft", reason="the extra hf is not installed")

ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "POLARS_MAX_THREADS": "1",
}
N_KILLS = 4
TEXT = """
model = "demo"
device = "cpu"
[pool]
path = "pool.parquet"
[score]
max_new_tokens = 3
[select]
budget = 36
strategy = "weighted-task-diversity"
[train]
r = 4
epochs = 2
batch_size = 12
checkpoint_every_s = 0
[evaluate]
pool = "holdout.parquet"
max_new_tokens = 3
[rounds]
n = 3
scores = "trained"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    import polars as pl

    folder = tmp_path_factory.mktemp("rounds")
    pool = make_toy_pool(0, n_tasks=3, largest=20)
    pool.write_parquet(folder / "pool.parquet")
    held_out = make_toy_holdout(0, n_per_task=2).filter(pl.col("task").is_in(pool["task"].unique().implode()))
    held_out.write_parquet(folder / "holdout.parquet")
    (folder / "job.toml").write_text(TEXT)
    return folder


def start(world, out):
    command = [
        sys.executable,
        "-m",
        "tasksel",
        "rounds",
        str(world / "job.toml"),
        "--out",
        str(out),
        "--quiet",
    ]
    return subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True)


def run_to_the_end(world, out):
    process = start(world, out)
    assert process.wait(timeout=300) == 0


def files_of(out):
    """Give what must be the same: the tables, each selection, each label, each adapter."""
    wanted = (
        "selected.parquet",
        "labelled.parquet",
        "prompts.parquet",
        "round.json",
        "adapter_model.safetensors",
    )
    found = {
        path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.name in wanted
    }
    return found | {
        name: (out / name).read_bytes() for name in ("rounds.csv", "rounds.json", "manifest.json")
    }


def newest(out):
    return max((path.stat().st_mtime_ns for path in out.rglob("*") if path.exists()), default=0)


def test_rounds_that_are_killed_again_and_again_end_as_those_that_were_not(world, tmp_path):
    run_to_the_end(world, tmp_path / "whole")
    out, rng = tmp_path / "killed", random.Random(0)
    for _ in range(N_KILLS):
        process, before = start(world, out), newest(out)
        while process.poll() is None and newest(out) == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 1.5))
        process.kill()
        process.wait()
    run_to_the_end(world, out)
    whole, killed = files_of(tmp_path / "whole"), files_of(out)
    assert killed.keys() == whole.keys()
    assert [name for name in whole if killed[name] != whole[name]] == []
    assert len(read_json(out / "rounds.json")["rounds"]) == 4
