"""Scores in children that are killed at random moments; the imports are paid once, before the forks.

Usage: ``python scoring_fork_server.py POOL MODEL OUT KILLS SEED``; prints one JSON object. Nothing here may
start threads (of polars, torch or tokenizers) before a fork: they would be missing in the child.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import transformers.models.llama.modeling_llama  # noqa: F401 - imported before the forks, not in each

from tasksel.scoring import score

SETTINGS = {"max_new_tokens": 12, "batch_tokens": 200, "shard_rows": 4, "device": "cpu"}


def fork_scoring(pool: Path, model: str, out: Path) -> int:
    """Score in a child and return its process id at once."""
    process_id = os.fork()
    if process_id:
        return process_id
    exit_code = 1
    try:
        torch.set_num_threads(1)
        score(pool, model=model, out=out, **SETTINGS)
        exit_code = 0
    finally:
        os._exit(exit_code)


def find_shards(out: Path) -> list[Path]:
    return list((out / "scores").glob("part-*"))


def measure_whole_run(pool: Path, model: str, out: Path) -> tuple[float, float]:
    """Score uninterrupted; return how long the start and one shard take."""
    started_s = time.monotonic()
    assert os.waitpid(fork_scoring(pool, model, out), 0)[1] == 0
    whole_s = time.monotonic() - started_s
    written_s = sorted(path.stat().st_mtime for path in find_shards(out))
    shard_s = (written_s[-1] - written_s[0]) / (len(written_s) - 1)
    return whole_s - len(written_s) * shard_s, shard_s


def main() -> None:
    pool, model, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    n_kills, delays = int(sys.argv[4]), random.Random(int(sys.argv[5]))
    folders = [out / "whole", out / "killed-1"]
    start_s, shard_s = measure_whole_run(pool, model, folders[0])
    shards_at_kill: list[int] = []
    leftovers = 0
    while len(shards_at_kill) < n_kills:
        process_id = fork_scoring(pool, model, folders[-1])
        time.sleep(delays.uniform(0.0, start_s + 3 * shard_s))
        os.kill(process_id, signal.SIGKILL)
        status = os.waitpid(process_id, 0)[1]
        if os.WIFSIGNALED(status):
            shards_at_kill.append(len(find_shards(folders[-1])))
            leftovers += len(list(folders[-1].glob("scores/.*.tmp")))
        else:  # faster than its killer: the remaining kills go to a new folder
            assert status == 0
            folders.append(out / f"killed-{len(folders)}")
    for folder in folders[1:]:
        assert os.waitpid(fork_scoring(pool, model, folder), 0)[1] == 0
    report = {
        "folders": [str(folder) for folder in folders],
        "n_shards": len(find_shards(folders[0])),
        "shards_at_kill": shards_at_kill,
        "leftovers": leftovers,
        "start_s": start_s,
        "shard_s": shard_s,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
