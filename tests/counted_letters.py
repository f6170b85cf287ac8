"""A stage without a model, for tests: it counts letters, and dies or fails where it is told to."""

from __future__ import annotations

import functools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasksel.backends import choose_backend
from tasksel.pool import load_pool
from tasksel.shard_run import ShardFormat
from tasksel.shard_stage import ShardedStage
from tasksel.shard_work import ShardPiece, WorkerStart
from tasksel_core.errors import ConfigError

SCHEMA = pl.Schema({"id": pl.String, "n_letters": pl.UInt32})


@dataclass
class LetterCounter:
    """A `ShardWorker`; one piece a row.

    It writes the numbers of the shards that it begins into ``LOG/PID``.
    """

    log: Path
    row_s: float = 0.0
    kill_at: int | None = None
    fail_at: int | None = None

    def start(self):
        return WorkerStart({"unit": "letters"}, {}, SCHEMA)

    def work(self, tasks, stopped):
        for task in tasks:
            with (self.log / str(os.getpid())).open("a") as log:
                log.write(f"{task.number}\n")
            for position in range(task.rows.height):
                if stopped.is_set():
                    return
                if position in task.done:
                    continue
                time.sleep(self.row_s)
                rows = task.rows[[position]]
                frame = rows.select("id", n_letters=pl.col("prompt").str.len_chars())
                yield ShardPiece(task.number, [position], frame, n_tokens=1)
                self._end(task.number)

    def _end(self, number):
        if number == self.fail_at:
            raise ConfigError("The letters are too small.")
        if number == self.kill_at and not (self.log / "killed").exists():
            (self.log / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self):
        pass


def count_letters(pool, folder, *, backend="local", n_workers=None, progress=None, **settings):
    """Finish the stage and return it."""
    worker = choose_backend(backend, functools.partial(LetterCounter, **settings), n_workers=n_workers)
    stage = ShardedStage(
        pool=load_pool(pool),
        folder=folder,
        noun="counts",
        verb="counted",
        model={"name": "letters", "sha256": "0" * 64},
        settings={"unit": "auto"},
        shard_rows=4,
        worker=LetterCounter(**settings) if worker is None else worker,
        shape=lambda schema: ShardFormat(schema, lambda frame: {"rows": frame.height}),
        progress=progress,
    )
    stage.finish()
    return stage
