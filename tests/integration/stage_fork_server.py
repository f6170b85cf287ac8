"""Stages in children that are killed at random moments; the imports are paid once, before the forks.

Usage: ``python stage_fork_server.py STAGE POOL MODEL OUT KILLS SEED``; prints one JSON object. Nothing here
may start threads (of polars, torch or tokenizers) before a fork: they would be missing in the child.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers.models.llama.modeling_llama  # noqa: F401 - imported before the forks, not in each

from tasksel.embedding_run import embed
from tasksel.run_folder import MANIFEST_NAME
from tasksel.scoring import score

FOLDERS = {"score": "scores", "embed": "embeddings"}
STOPPED = 130


def run_stage(stage: str, pool: Path, model: str, out: Path) -> None:
    if stage == "score":
        score(pool, model=model, out=out, max_new_tokens=12, batch_tokens=100, shard_rows=6, device="cpu")
    else:
        embed(pool, model=model, out=out, embed_from="hidden", batch_tokens=60, shard_rows=6, device="cpu")


@dataclass
class ForkServer:
    """Children that fill folders, and what was found in those when they were killed."""

    stage: str
    pool: Path
    model: str
    out: Path
    shards_at_kill: list[int] = field(default_factory=list)
    partials_at_kill: int = 0
    leftovers_at_kill: int = 0

    def fork(self, run: Path) -> int:
        """Start a child and return its process id at once."""
        process_id = os.fork()
        if process_id:
            return process_id
        exit_code = 1
        try:
            torch.set_num_threads(1)
            run_stage(self.stage, self.pool, self.model, run)
            exit_code = 0
        except KeyboardInterrupt:
            exit_code = STOPPED
        finally:
            os._exit(exit_code)

    def finish(self, run: Path) -> None:
        """Fill a folder to its end."""
        assert os.waitpid(self.fork(run), 0)[1] == 0

    def find(self, run: Path, pattern: str) -> list[Path]:
        return list((run / FOLDERS[self.stage]).glob(pattern))

    def measure_whole_run(self, run: Path) -> tuple[float, float]:
        """Fill a folder uninterrupted; return how long the start and one shard take."""
        started_s = time.monotonic()
        self.finish(run)
        whole_s = time.monotonic() - started_s
        written_s = sorted(path.stat().st_mtime for path in self.find(run, "part-*"))
        shard_s = (written_s[-1] - written_s[0]) / (len(written_s) - 1)
        return whole_s - len(written_s) * shard_s, shard_s

    def kill(self, run: Path, number: signal.Signals, delay_s: float, n_new_shards: int) -> bool:
        """Start a child, wait for shards of its own and then for a while, and end it.

        Returns
        -------
        bool
            Whether the end came before the child's own.
        """
        n_shards = len(self.find(run, "part-*")) + n_new_shards
        process_id = self.fork(run)
        while len(self.find(run, "part-*")) < n_shards:
            ended_id, status = os.waitpid(process_id, os.WNOHANG)
            if ended_id:
                assert status == 0
                return False
            time.sleep(0.0005)
        time.sleep(delay_s)
        os.kill(process_id, number)
        status = os.waitpid(process_id, 0)[1]
        if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != STOPPED:
            assert status == 0
            return False
        self.shards_at_kill.append(len(self.find(run, "part-*")))
        self.partials_at_kill += bool(self.find(run, ".part-*.partial.parquet"))
        self.leftovers_at_kill += bool(self.find(run, ".*.tmp"))
        return True


def main() -> None:
    stage, pool, model, out, n_kills, seed = sys.argv[1:]
    server, dice = ForkServer(stage, Path(pool), model, Path(out)), random.Random(int(seed))
    folders = [server.out / "whole", server.out / "killed-1"]
    start_s, shard_s = server.measure_whole_run(folders[0])
    while len(server.shards_at_kill) < int(n_kills):
        number = signal.SIGTERM if dice.random() < 0.25 else signal.SIGKILL
        # By turns after some shards and after some time: a busy machine may start no child within the time
        # that the first one took.
        by_shards = len(server.shards_at_kill) % 2 == 0
        longest_s, n_new_shards = (shard_s, dice.randint(1, 4)) if by_shards else (start_s + 3 * shard_s, 0)
        is_killed = server.kill(folders[-1], number, dice.uniform(0.0, longest_s), n_new_shards)
        if not is_killed or server.find(folders[-1], MANIFEST_NAME):  # the next go to a new folder
            folders.append(server.out / f"killed-{len(folders)}")
    for folder in folders[1:]:
        server.finish(folder)
    report = {
        "folders": [str(folder) for folder in folders],
        "n_shards": len(server.find(folders[0], "part-*")),
        "shards_at_kill": server.shards_at_kill,
        "partials_at_kill": server.partials_at_kill,
        "leftovers_at_kill": server.leftovers_at_kill,
        "start_s": start_s,
        "shard_s": shard_s,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
