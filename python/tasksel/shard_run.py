"""The resumable loop over shards: what exists is checked and kept, what is missing is made and written."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import polars as pl

from tasksel.interruption import result_of, wait_for
from tasksel.run_folder import file_sha256
from tasksel.run_folder_shards import SHARD_GLOB
from tasksel.shard_files import (
    POSITION,
    DamagedShardError,
    ShardFile,
    partial_name,
    read_partial,
    read_shard,
    replies_name,
    shard_name,
    write_partial,
    write_shard,
)
from tasksel.shard_journal import JOURNAL_NAME, ShardJournal, ShardRecord
from tasksel.shard_progress import PROGRESS_NAME, Pace, ProgressFile
from tasksel.shard_work import ShardTask
from tasksel_core.errors import ResumeError, TaskselError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tasksel.shard_files import ShardPlan
    from tasksel.shard_work import ShardPiece, ShardWorker

__all__ = ["ShardFormat", "ShardProgress", "ShardRun"]

_PENDING_WRITES = 4
"""Shards that wait to be written before the next is made: more would only take memory."""


class ShardProgress(Protocol):
    """Called once before the first batch and again after each batch.

    The first call tells what was found finished; a rate or a time to go is that of what came since.
    """

    def __call__(self, rows_done: int, rows_total: int, tokens_done: int) -> None:
        """Take the rows made so far, the rows of the pool and the tokens that they took so far."""


@dataclass(frozen=True)
class ShardFormat:
    """What a shard of one kind holds.

    Attributes
    ----------
    schema : Schema
        Of its rows; ``id`` is the first column.
    count : callable
        Counts what the manifest tells, ``rows`` and ``tokens`` among it.
    check : callable
        Says what is wrong with the rows of a shard that was read; None where nothing is.
    """

    schema: pl.Schema
    count: Callable[[pl.DataFrame], dict[str, int]]
    check: Callable[[pl.DataFrame], str | None] = lambda _: None


@dataclass
class _OpenShard:
    """A shard that is being made."""

    n_rows: int
    pieces: list[pl.DataFrame] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    split_batches: int = 0
    n_found: int = 0

    def add(self, positions: pl.Series, frame: pl.DataFrame, split_batches: int) -> None:
        places = set(positions.to_list())
        if len(places) != frame.height or places & self.done or max(places, default=0) >= self.n_rows:
            raise TaskselError("Rows of a shard came twice, or not as they were asked for.")
        self.pieces.append(pl.DataFrame({POSITION: positions}).hstack(frame))
        self.done |= places
        self.split_batches += split_batches

    @property
    def is_whole(self) -> bool:
        return len(self.done) == self.n_rows

    def rows(self) -> pl.DataFrame:
        return pl.concat(self.pieces).sort(POSITION)


@dataclass
class ShardRun:
    """One run over the shards of a folder that the caller holds for itself.

    Parameters
    ----------
    folder : Path
        Of the stage.
    inputs : DataFrame
        ``id``, ``task`` and ``prompt`` of the pool.
    plan : ShardPlan
        Which rows stand in which shard.
    shape : ShardFormat
        What a shard holds.
    run_sha256 : str
        Of all that the rows depend on.
    again : str
        What happens to a damaged shard, as "scored".
    progress : ShardProgress, optional
        Called after each batch.

    Attributes
    ----------
    notes : list of str
        Damaged shards, by name.
    rows_reused : int
        Rows that were there.
    new_tokens : int
        Tokens of what was made.
    work_s : float
        Seconds of the work itself.
    """

    folder: Path
    inputs: pl.DataFrame
    plan: ShardPlan
    shape: ShardFormat
    run_sha256: str
    again: str
    progress: ShardProgress | None = None
    notes: list[str] = field(default_factory=list)
    rows_reused: int = 0
    new_tokens: int = 0
    work_s: float = 0.0
    _rows_done: int = 0
    _tokens_done: int = 0
    _open: dict[int, _OpenShard] = field(default_factory=dict)
    _started_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._progress_file = ProgressFile(self.folder / PROGRESS_NAME)

    def finish(self, worker: ShardWorker, stopped: threading.Event) -> None:
        """Make what is missing; raises KeyboardInterrupt where it was stopped before all was made."""
        self._refuse_foreign_names()
        self.journal = ShardJournal(self.folder / JOURNAL_NAME, self.run_sha256).open()
        missing = [number for number in range(self.plan.n_shards) if not self._is_there(number, stopped)]
        for number in missing:
            self._take_partial(number)
        try:
            self._report(0, 0)
            if missing:
                self._make(missing, worker, stopped)
        finally:
            self._progress_file.remove()

    @property
    def counts(self) -> dict[str, int]:
        """Sums over all shards."""
        total: Counter[str] = Counter()
        for record in self.journal.records.values():
            total.update(record.counts)
        return dict(total)

    def describe_shards(self) -> list[dict[str, str]]:
        """Return name and checksum of every shard, for the manifest."""
        names = [shard_name(number) for number in range(self.plan.n_shards)]
        return [{"name": name, "sha256": self.journal.records[name].sha256} for name in names]

    def _refuse_foreign_names(self) -> None:
        expected = {shard_name(number) for number in range(self.plan.n_shards)}
        for path in self.folder.glob(SHARD_GLOB):
            if path.name not in expected:
                raise ResumeError(
                    f"{path} does not belong to this run, which has {self.plan.n_shards} shards; remove it."
                )
            if path.exists() and not path.is_file():
                raise ResumeError(f"{path} is no file, but a shard has this name; remove it.")

    def _is_there(self, number: int, stopped: threading.Event) -> bool:
        """Tell whether a shard stands as it was written; one that is damaged is named."""
        if stopped.is_set():  # there may be thousands to check
            raise KeyboardInterrupt
        name = shard_name(number)
        path = self.folder / name
        record = self.journal.records.pop(name, None)
        if not path.exists():
            return False
        try:
            if record is None:
                record = self._read_record(path, number)
                self.journal.add(name, record)
            elif file_sha256(path) != record.sha256:
                raise DamagedShardError("it is not as it was written")
            else:
                self.journal.records[name] = record
        except DamagedShardError as damage:
            self.notes.append(f"{name} was damaged ({damage}) and is {self.again} again.")
            return False
        self.rows_reused += record.counts["rows"]
        self._rows_done += record.counts["rows"]
        self._tokens_done += record.counts.get("tokens", 0)
        return True

    def _read_record(self, path: Path, number: int) -> ShardRecord:
        found = read_shard(path, self._ids(number), self.run_sha256, self.shape.schema)
        wrong = self.shape.check(found.frame)
        if wrong is not None:
            raise DamagedShardError(wrong)
        return self._record(found)

    def _record(self, shard: ShardFile) -> ShardRecord:
        return ShardRecord(
            shard.sha256, {**self.shape.count(shard.frame), "split_batches": shard.split_batches}
        )

    def _ids(self, number: int) -> pl.Series:
        return self.inputs["id"].gather(self.plan.rows(number))

    def _take_partial(self, number: int) -> None:
        path = self.folder / partial_name(number)
        if not path.exists():
            return
        try:
            found = read_partial(path, self._ids(number), self.run_sha256, self.shape.schema)
        except DamagedShardError as damage:
            self.notes.append(
                f"{path.name}, what was finished of {shard_name(number)}, was damaged ({damage}) and is "
                f"{self.again} again."
            )
            path.unlink()
            return
        shard = _OpenShard(self.plan.n_rows(number))
        shard.add(found.frame[POSITION], found.frame.drop(POSITION), found.split_batches)
        shard.n_found = found.frame.height
        self._open[number] = shard
        self.rows_reused += found.frame.height
        self._rows_done += found.frame.height
        self._tokens_done += self.shape.count(found.frame.drop(POSITION)).get("tokens", 0)

    def _make(self, missing: list[int], worker: ShardWorker, stopped: threading.Event) -> None:
        self._started_s = time.monotonic()
        writes: list[Future[None]] = []
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tasksel-write") as writer:
            try:
                for number in [number for number, shard in self._open.items() if shard.is_whole]:
                    missing.remove(number)
                    writes.append(writer.submit(self._write, number, self._open.pop(number)))
                done = {number: frozenset(shard.done) for number, shard in self._open.items()}
                with contextlib.closing(worker.work(self._tasks(missing, done), stopped)) as pieces:
                    for piece in pieces:
                        if self._take(piece).is_whole:
                            shard = self._open.pop(piece.number)
                            writes.append(writer.submit(self._write, piece.number, shard))
                            _settle(writes, most=_PENDING_WRITES)
                _settle(writes, most=0)
            finally:
                self.work_s += time.monotonic() - self._started_s
                self._keep_partials()
                wait_for(writes)
        if self._open or len(self.journal.records) < self.plan.n_shards:
            if stopped.is_set():
                raise KeyboardInterrupt
            raise TaskselError(f"{len(self._open)} shards were not finished, and nothing says why.")

    def _tasks(self, missing: list[int], done: dict[int, frozenset[int]]) -> Iterator[ShardTask]:
        """Give the shards one after the other; their prompts become Python's when they are needed."""
        for number in missing:
            yield ShardTask(number, self.inputs[self.plan.rows(number)], done.get(number, frozenset()))

    def _take(self, piece: ShardPiece) -> _OpenShard:
        shard = self._open.setdefault(piece.number, _OpenShard(self.plan.n_rows(piece.number)))
        positions = pl.Series(POSITION, list(piece.positions), dtype=pl.UInt32)
        shard.add(positions, piece.frame, piece.split_batches)
        self.new_tokens += piece.n_tokens
        self._report(len(piece.positions), piece.n_tokens)
        return shard

    def _write(self, number: int, shard: _OpenShard) -> None:
        path = self.folder / shard_name(number)
        frame = shard.rows().drop(POSITION)
        n_splits = shard.split_batches
        sha256 = write_shard(path, frame, run_sha256=self.run_sha256, split_batches=n_splits)
        self.journal.add(path.name, self._record(ShardFile(frame, n_splits, sha256)), self._pace())
        for name in (partial_name(number), replies_name(number)):
            (self.folder / name).unlink(missing_ok=True)

    def _keep_partials(self) -> None:
        """Write what is finished of shards that are not; after an error this is the best that can be done."""
        for number, shard in self._open.items():
            if len(shard.done) > shard.n_found:
                with contextlib.suppress(OSError):  # the disk may be what ended the run
                    write_partial(
                        self.folder / partial_name(number),
                        shard.rows(),
                        run_sha256=self.run_sha256,
                        split_batches=shard.split_batches,
                    )

    def _pace(self) -> Pace:
        new_rows = self._rows_done - self.rows_reused
        return Pace(new_rows, self.new_tokens, time.monotonic() - self._started_s)

    def _report(self, n_rows: int, n_tokens: int) -> None:
        self._rows_done += n_rows
        self._tokens_done += n_tokens
        self._progress_file.tell(self._rows_done, self._tokens_done, self._pace())
        if self.progress is not None:
            self.progress(self._rows_done, len(self.plan.order), self._tokens_done)


def _settle(writes: list[Future[None]], *, most: int) -> None:
    """Wait until at most so many shards are not written; an error of one is raised here."""
    while writes and (len(writes) > most or writes[0].done()):
        result_of(writes[0])
        writes.pop(0)
