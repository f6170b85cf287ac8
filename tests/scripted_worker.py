"""A worker whose rows follow from the prompts, and the stage that it fills: run folders without a model.

As a program (``scripted_worker.py OUT ROWS SHARD_ROWS BATCH_S``) it fills a folder slowly, says ``ready``
after the first batch, and ends as `tasksel` does.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasksel.pool import load_pool
from tasksel.shard_run import ShardFormat
from tasksel.shard_stage import ShardedStage
from tasksel.shard_work import ShardPiece, WorkerStart

SCHEMA = pl.Schema({"id": pl.String(), "bytes": pl.Int64(), "numbers": pl.List(pl.Float32())})
BATCH_ROWS = 3
TOKENS_OF_A_ROW = 2


@dataclass
class ScriptedWorker:
    """Makes `BATCH_ROWS` rows at a time, and pauses before each batch."""

    batch_s: float = 0.0
    batches: int = 0
    starts: int = 0

    def start(self):
        self.starts += 1
        return WorkerStart({"device": "cpu"}, {"script": "1"}, SCHEMA)

    def work(self, tasks, stopped):
        for task in tasks:
            missing = [place for place in range(task.rows.height) if place not in task.done]
            for first in range(0, len(missing), BATCH_ROWS):
                if stopped.is_set():
                    return
                time.sleep(self.batch_s)
                places = missing[first : first + BATCH_ROWS]
                self.batches += 1
                yield ShardPiece(
                    task.number, places, make_rows(task.rows[places]), len(places) * TOKENS_OF_A_ROW
                )

    def close(self):
        pass


def make_rows(rows: pl.DataFrame) -> pl.DataFrame:
    lengths = rows["prompt"].str.len_bytes().cast(pl.Int64)
    numbers = [[length / 7, length / 3] for length in lengths]
    return pl.DataFrame({"id": rows["id"], "bytes": lengths, "numbers": numbers}, schema=SCHEMA)


def count(frame: pl.DataFrame) -> dict[str, int]:
    return {"rows": frame.height, "tokens": frame.height * TOKENS_OF_A_ROW}


def make_pool(n_rows: int = 20) -> pl.DataFrame:
    return pl.DataFrame({"prompt": [f"prompt {row} " + "word " * (row % 5) for row in range(n_rows)]})


def make_stage(run, *, pool=None, worker=None, shard_rows=4, settings=None, progress=None, announce=None):
    """Return a stage in ``RUN/scores``: 20 rows in 5 shards, unless told otherwise."""
    return ShardedStage(
        pool=load_pool(make_pool() if pool is None else pool),
        folder=Path(run) / "scores",
        noun="scores",
        verb="scored",
        model={"name": "script", "sha256": "0" * 64},
        settings={"length": 2, "device": "auto"} | (settings or {}),
        shard_rows=shard_rows,
        worker=ScriptedWorker() if worker is None else worker,
        shape=lambda schema: ShardFormat(schema, count),
        progress=progress,
        announce=announce,
    )


def main() -> None:
    from tasksel.cli_errors import reported_errors

    out, n_rows, shard_rows, batch_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

    def tell(rows_done: int, rows_total: int, tokens_done: int) -> None:
        if tokens_done:
            print("ready", flush=True)

    stage = make_stage(
        out,
        pool=make_pool(n_rows),
        worker=ScriptedWorker(batch_s),
        shard_rows=shard_rows,
        progress=tell,
        announce=lambda: print(
            "Finishing the batch; Ctrl-C again stops at once.", file=sys.stderr, flush=True
        ),
    )
    import typer

    try:
        with reported_errors(debug=False, stopped="Run the same command again to continue."):
            stage.finish()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


if __name__ == "__main__":
    main()
