from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from tasksel.scoring import score

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are of POSIX systems"),
]

pytest.importorskip("transformers", reason="the extra hf is not installed")

FORK_SERVER = Path(__file__).with_name("scoring_fork_server.py")
N_KILLS = 20
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
    prompts = [f"prompt {number} " + "word " * (number % 13) for number in range(200)]
    tasks = [f"task-{number % 7}" for number in range(200)]
    pl.DataFrame({"prompt": prompts, "task": tasks}).write_parquet(path)
    return path


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in (folder / "scores").iterdir() if path.name != ".lock"}


def test_twenty_kills_at_random_moments_change_no_byte(pool, tiny_model_folder, tmp_path):
    arguments = [str(pool), str(tiny_model_folder), str(tmp_path), str(N_KILLS), "0"]
    result = subprocess.run(
        [sys.executable, str(FORK_SERVER), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert len(report["shards_at_kill"]) == N_KILLS
    assert any(0 < shards < report["n_shards"] for shards in report["shards_at_kill"]), (
        "no kill hit half a run"
    )
    whole, *killed = map(Path, report["folders"])
    expected = read_bytes(whole)
    assert sum(name.startswith("part-") for name in expected) == report["n_shards"] > N_KILLS
    scored = pl.read_parquet(whole / "scores" / "part-*.parquet")
    assert scored.height == scored["id"].n_unique() == 200
    for folder in killed:
        assert read_bytes(folder) == expected


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
    summaries = [
        score(pool, model=str(tiny_model_folder), out=tmp_path / name, **SETTINGS)
        for name in ("killed", "whole")
    ]
    assert summaries[0].rows_reused > 0
    assert read_bytes(tmp_path / "killed") == read_bytes(tmp_path / "whole")
