"""Jobs and rounds that are killed anywhere end as if they had not been."""

from __future__ import annotations

import os
from dataclasses import dataclass

import polars as pl
import pytest

from kill_loop import ForkServer, kill_again_and_again
from kill_verbs import Verb, read_files
from tasksel.run_folder import read_json
from tasksel.toy_world import make_toy_holdout, make_toy_pool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are of POSIX systems"),
]

pytest.importorskip("peft", reason="the extra hf is not installed")

ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "POLARS_MAX_THREADS": "1",
}
N_KILLS = 6
JOB = """
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
"""
ROUNDS = """
[rounds]
n = 3
scores = "trained"
"""
COMPARED = (
    "selected.parquet",
    "labelled.parquet",
    "prompts.parquet",
    "round.json",
    "rounds.csv",
    "rounds.json",
    "adapter_model.safetensors",
    "part-00000.parquet",
    "results.json",
)
"""Others hold how long something took."""


@dataclass
class JobVerb(Verb):
    """``run`` and ``rounds``: a job is half made from its first stage on."""

    def is_half_made(self, run):
        return any(run.iterdir()) and not self.is_done(run)

    def outputs(self, run):
        return {
            name: content for name, content in read_files(run).items() if name.rpartition("/")[2] in COMPARED
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    pool = make_toy_pool(0, n_tasks=3, largest=20)
    pool.write_parquet(folder / "pool.parquet")
    held_out = make_toy_holdout(0, n_per_task=2).filter(pl.col("task").is_in(pool["task"].unique().implode()))
    held_out.write_parquet(folder / "holdout.parquet")
    (folder / "run.toml").write_text(JOB + "[labels]\n")
    (folder / "rounds.toml").write_text(JOB + ROUNDS)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ForkServer(ENVIRONMENT, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "most_steps"), [("run", 20), ("rounds", 200)])
def test_jobs_that_are_killed_again_and_again_end_as_those_that_were_not(
    server, world, tmp_path, name, most_steps
):
    command = [name, world / f"{name}.toml", "--out", "RUN", "--quiet"]
    verb = JobVerb(name, ".", command, most_steps=most_steps)
    report = kill_again_and_again(server, verb, tmp_path, n_kills=N_KILLS, seed=0)
    print(report)
    assert report.differing == []
    assert report.half_made > 0 or N_KILLS < 12  # a few may all miss
    if name == "rounds":
        assert len(read_json(tmp_path / "killed-1" / "rounds.json")["rounds"]) == 4
