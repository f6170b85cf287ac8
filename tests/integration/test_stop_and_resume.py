"""`tasksel score` and `tasksel embed` as programs, stopped with real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from tasksel.run_status import read_status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX"),
]

pytest.importorskip("transformers", reason="the extra hf is not installed")

N_ROWS = {"score": 400, "embed": 2000}
"""Enough that no verb is through before its first batch was seen and a signal sent, on a machine in use."""
VERBS = {
    "score": ("--max-new-tokens", 24, "--batch-tokens", 200, "--shard-rows", 100),
    "embed": ("--embed-from", "hidden", "--batch-tokens", 40, "--shard-rows", 100),
}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "COLUMNS": "80"}
FINISHING = "Finishing the batch; Ctrl-C again stops at once."
STOPPED = "Stopped. Run the same command again to continue."


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pools")
    for verb, n_rows in N_ROWS.items():
        prompts = [f"prompt {number} " + "word " * (number % 13) for number in range(n_rows)]
        pl.DataFrame({"prompt": prompts}).write_parquet(folder / f"{verb}.parquet")
    return folder


@pytest.fixture
def start(pools, tiny_model_folder, tmp_path):
    """Start a verb on ``RUN`` and wait for its first batch; the process ends with the test."""
    started = []

    def start_verb(verb):
        arguments = [verb, pools / f"{verb}.parquet", "--model", tiny_model_folder, "--out", tmp_path / "run"]
        arguments += ["--device", "cpu"]
        command = [sys.executable, "-m", "tasksel", *map(str, (*arguments, *VERBS[verb]))]
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        while not (tmp_path / "run").is_dir() or not rows_done(tmp_path / "run"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return process

    yield start_verb
    for process in started:
        process.kill()
        process.communicate()


def rows_done(run):
    folders = [path for path in run.iterdir() if (path / "settings.json").exists()]
    return sum(stage.rows_done for folder in folders for stage in read_status(folder, hashes=False).stages)


@pytest.mark.parametrize(("verb", "number"), [("score", signal.SIGINT), ("embed", signal.SIGTERM)])
def test_a_stopped_command_keeps_its_batches_and_goes_on(start, tmp_path, verb, number):
    process = start(verb)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert FINISHING in told
    assert told.endswith(f"{STOPPED}\n")
    (stage,) = read_status(tmp_path / "run").stages
    assert (stage.state, stage.is_in_order) == ("interrupted", True)
    assert 0 < stage.rows_done < N_ROWS[verb]
    assert stage.rows_partial > 0
    _, told = start(verb).communicate(timeout=300)
    (stage,) = read_status(tmp_path / "run").stages
    assert (stage.state, stage.rows_done) == ("finished", N_ROWS[verb]), told


def test_ctrl_c_twice_stops_within_the_batch(start, tmp_path):
    process = start("score")
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert told.endswith(f"{STOPPED}\n")
    assert "Traceback" not in told
    assert read_status(tmp_path / "run").is_in_order
