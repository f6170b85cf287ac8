from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from tasksel.run_status import read_status
from tasksel.scoring import score

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are of POSIX systems"),
]

pytest.importorskip("transformers", reason="the extra hf is not installed")

FORK_SERVER = Path(__file__).with_name("stage_fork_server.py")
N_KILLS = int(os.environ.get("TASKSEL_KILLS", "20"))
"""Over both stages; `make chaos` has 200."""
SEED = int(os.environ.get("TASKSEL_KILL_SEED", "0"))
N_ROWS = 120
SETTINGS = {"max_new_tokens": 12, "batch_tokens": 200, "shard_rows": 4, "device": "cpu"}
SCORE = (
    "import sys, torch; torch.set_num_threads(1)\n"
    "from tasksel.scoring import score\n"
    f"score(sys.argv[1], model=sys.argv[2], out=sys.argv[3], **{SETTINGS!r})\n"
)
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "POLARS_MAX_THREADS": "1",
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    prompts = [f"prompt {number} " + "word " * (number % 13) for number in range(N_ROWS)]
    tasks = [f"task-{number % 7}" for number in range(N_ROWS)]
    pl.DataFrame({"prompt": prompts, "task": tasks}).write_parquet(path)
    return path


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.timeout(300 + 30 * N_KILLS)
@pytest.mark.parametrize(("stage", "name"), [("score", "scores"), ("embed", "embeddings")])
def test_kills_at_random_moments_change_no_byte(pool, tiny_model_folder, tmp_path, stage, name):
    n_kills = N_KILLS // 2
    arguments = [stage, str(pool), str(tiny_model_folder), str(tmp_path), str(n_kills), str(SEED)]
    result = subprocess.run(
        [sys.executable, str(FORK_SERVER), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=250 + 30 * N_KILLS,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    half_made = sum(0 < shards < report["n_shards"] for shards in report["shards_at_kill"])
    print(
        f"{stage}: seed {SEED}, {n_kills} kills, {half_made} of them in a half-made run, "
        f"{report['partials_at_kill']} with a partial shard, {report['leftovers_at_kill']} within a write, "
        f"{len(report['folders']) - 1} folders"
    )
    assert len(report["shards_at_kill"]) == n_kills
    assert half_made > 0
    whole, *killed = map(Path, report["folders"])
    expected = read_bytes(whole / name)
    assert sum(each.startswith("part-") for each in expected) == report["n_shards"] == N_ROWS / 6
    made = pl.read_parquet(whole / name / "part-*.parquet")
    assert made.height == made["id"].n_unique() == N_ROWS
    for folder in killed:
        assert read_bytes(folder / name) == expected
        assert read_status(folder).stages[0].state == "finished"


def test_a_killed_command_goes_on_where_it_stopped(pool, tiny_model_folder, tmp_path):
    command = [sys.executable, "-c", SCORE, str(pool), str(tiny_model_folder), str(tmp_path / "killed")]
    with subprocess.Popen(command, env=ENVIRONMENT) as process:
        try:
            while len(list((tmp_path / "killed").glob("scores/part-*"))) < 5:
                assert process.poll() is None, "the run ended before it was killed"
                time.sleep(0.05)
        finally:
            process.kill()
    assert process.returncode == -9
    assert not (tmp_path / "killed" / "scores" / "manifest.json").exists()
    status = read_status(tmp_path / "killed").stages[0]
    assert (status.state, status.is_in_order) == ("interrupted", True)
    assert status.shards_done >= 5
    summaries = [
        score(pool, model=str(tiny_model_folder), out=tmp_path / name, **SETTINGS)
        for name in ("killed", "whole")
    ]
    assert summaries[0].rows_reused >= status.rows_done > 0
    assert read_bytes(tmp_path / "killed" / "scores") == read_bytes(tmp_path / "whole" / "scores")
