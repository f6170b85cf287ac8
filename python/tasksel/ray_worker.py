"""Shards over a Ray cluster: workers there make whole shards, and the driver alone writes them."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tasksel.ray_cluster import check_n_workers
from tasksel.ray_stage import open_stage
from tasksel.shard_work import ShardPiece, ShardTask, WorkerStart
from tasksel_core import __version__
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Mapping

    from tasksel.ray_stage import RayStage
    from tasksel.shard_work import ShardWorker

__all__ = ["RayWorker"]


class _Order(NamedTuple):
    """A `ShardTask` on its way to a worker; its rows are an Arrow stream."""

    number: int
    rows: bytes
    done: frozenset[int]


class _Start(NamedTuple):
    """A `WorkerStart` on its way to the driver, with the worker's tasksel; the schema is an Arrow stream."""

    settings: Mapping[str, object]
    versions: Mapping[str, str]
    schema: bytes
    tasksel: str


class _Made(NamedTuple):
    """What a worker has made of a shard: all of its pieces as one, and none of them without an order."""

    start: _Start
    number: int = -1
    positions: tuple[int, ...] = ()
    rows: bytes = b""
    n_tokens: int = 0
    split_batches: int = 0


class RayWorker:
    """Spreads shards over the workers of a Ray cluster, or of a Ray that is started for it.

    Each worker makes one shard after the other, whole; of one that is killed, Ray repeats the shard that it
    was at. Shards come back to this process, so the cluster needs no folder that all machines see.

    Parameters
    ----------
    open_worker : callable
        Makes a `ShardWorker`; it and what it holds can be pickled.
    address : str, optional
        Of a running cluster; see `tasksel.ray_cluster.connect`.
    n_workers : int, optional
        Workers at a time; by default one for each GPU of the cluster, or two.
    needs_gpu : bool, default True
        Whether a worker is to have a GPU to itself, where there is one.

    Raises
    ------
    ConfigError
        `n_workers` is no number of workers.
    """

    def __init__(
        self,
        open_worker: Callable[[], ShardWorker],
        *,
        address: str | None = None,
        n_workers: int | None = None,
        needs_gpu: bool = True,
    ) -> None:
        check_n_workers(n_workers)
        self._open_worker = open_worker
        self._address = address
        self._n_workers = n_workers
        self._needs_gpu = needs_gpu
        self._stage: RayStage | None = None
        self._start: _Start | None = None

    def start(self) -> WorkerStart:
        """Connect, have the workers started, and return what the first of them tells.

        Raises
        ------
        ConfigError
            There is no such cluster, or a worker cannot start with these settings.
        MissingExtraError
            Ray is not installed here, or on a worker's machine what it runs on.
        """
        self._stage = open_stage(
            functools.partial(_ShardHandler, self._open_worker),
            address=self._address,
            n_workers=self._n_workers,
            needs_gpu=self._needs_gpu,
        )
        for _ in range(self._stage.n_workers):
            self._stage.submit(None)
        while (found := self._stage.next_reply()) is None:
            pass
        self._start = found[1].result.start
        assert self._start is not None  # noqa: S101 -- for type checkers
        _check_alike(self._start, self._start)
        schema = _read(self._start.schema).schema
        return WorkerStart(self._start.settings, self._start.versions, schema)

    def work(self, tasks: Iterable[ShardTask], stopped: threading.Event) -> Generator[ShardPiece, None, None]:
        """Make every row that is not done; see `ShardWorker`."""
        assert self._stage is not None  # noqa: S101 -- started
        assert self._start is not None  # noqa: S101 -- as above
        orders = (_Order(task.number, _written(task.rows), task.done) for task in tasks)
        for _, made in self._stage.map(orders, stopped):
            _check_alike(self._start, made.start)
            if made.positions:
                frame = _read(made.rows)
                yield ShardPiece(made.number, made.positions, frame, made.n_tokens, made.split_batches)

    def close(self) -> None:
        """Let the workers go, and disconnect; may be called twice."""
        if self._stage is not None:
            self._stage.close()
        self._stage = None


class _ShardHandler:
    """Makes shards in a worker process, with a `ShardWorker` of its own."""

    def __init__(self, open_worker: Callable[[], ShardWorker]) -> None:
        self._worker = open_worker()
        try:
            start = self._worker.start()
        except BaseException:
            self._worker.close()
            raise
        schema = _written(pl.DataFrame(schema=start.schema))
        self._start = _Start(dict(start.settings), dict(start.versions), schema, __version__)

    def __call__(self, order: _Order | None, stopped: threading.Event) -> _Made:
        """Make a shard; without an order, only tell of the start."""
        if order is None:
            return _Made(self._start)
        task = ShardTask(order.number, _read(order.rows), order.done)
        pieces = list(self._worker.work([task], stopped))
        if not pieces:
            return _Made(self._start, order.number)
        return _Made(
            self._start,
            order.number,
            tuple(position for piece in pieces for position in piece.positions),
            _written(pl.concat([piece.frame for piece in pieces])),
            sum(piece.n_tokens for piece in pieces),
            sum(piece.split_batches for piece in pieces),
        )

    def close(self) -> None:
        """Close the worker."""
        self._worker.close()


def _check_alike(first: _Start, other: _Start) -> None:
    """Refuse a worker whose rows would not be those of the first one, or of this process."""
    if other.tasksel != __version__:
        raise ConfigError(
            f"A worker of the cluster has tasksel {other.tasksel}, this process {__version__}; they must "
            "be the same."
        )
    pairs = [
        *((name, first.settings.get(name), value) for name, value in other.settings.items()),
        *((name, first.versions.get(name), value) for name, value in other.versions.items()),
    ]
    changed = [f"{name} {before} and {after}" for name, before, after in pairs if before != after]
    if changed:
        raise ConfigError(
            f"The workers of the cluster differ ({'; '.join(changed)}), and so would their rows; choose the "
            "setting yourself, or use machines that are alike."
        )


def _written(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_ipc_stream(content, compression="zstd")
    return content.getvalue()


def _read(content: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(content)
