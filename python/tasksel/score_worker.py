"""An engine makes the rows of score shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tasksel.engines import ShardPrompts
from tasksel.score_shards import EMBEDDING, SCORES_SCHEMA, build_frame
from tasksel.shard_work import ShardPiece, WorkerStart

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterable, Iterator

    from tasksel.engines import AnsweredBatch, Engine
    from tasksel.shard_work import ShardTask

__all__ = ["ScoreWorker"]


@dataclass
class ScoreWorker:
    """Makes score shards with an engine.

    Parameters
    ----------
    engine : Engine
        Closed with the worker.
    """

    engine: Engine

    def start(self) -> WorkerStart:
        """Start the engine."""
        start = self.engine.start()
        schema = SCORES_SCHEMA
        if start.hidden_dimensions is not None:
            schema = pl.Schema({**schema, EMBEDDING: pl.Array(pl.Float32, start.hidden_dimensions)})
        return WorkerStart({"engine": self.engine.name, **start.settings}, start.versions, schema)

    def work(self, tasks: Iterable[ShardTask], stopped: threading.Event) -> Generator[ShardPiece, None, None]:
        """Have every prompt answered; see `ShardWorker`."""
        rows: dict[int, pl.DataFrame] = {}
        left: dict[int, int] = {}

        def prompts() -> Iterator[ShardPrompts]:
            for task in tasks:
                rows[task.number] = task.rows
                left[task.number] = task.rows.height - len(task.done)
                texts = task.rows["prompt"].fill_null("").to_list()
                yield ShardPrompts(task.number, texts, task.done)

        splits = 0
        for batch in self.engine.answer(prompts(), stopped):
            splits_before, splits = splits, getattr(self.engine, "split_batches", 0)
            yield self._piece(batch, rows[batch.number], splits - splits_before)
            left[batch.number] -= len(batch.positions)
            if not left[batch.number]:
                del rows[batch.number], left[batch.number]

    def _piece(self, batch: AnsweredBatch, rows: pl.DataFrame, split_batches: int) -> ShardPiece:
        frame = build_frame(rows[list(batch.positions)], batch.answers)
        n_tokens = int(frame["token_logprobs"].list.len().cast(pl.Int64).sum())
        return ShardPiece(batch.number, batch.positions, frame, n_tokens, split_batches)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()
