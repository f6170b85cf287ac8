"""Who makes the rows of a shard: the protocol between a resumable run and what it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from typing import Any

    import polars as pl

__all__ = ["ShardPiece", "ShardTask", "ShardWorker", "WorkerStart"]


class ShardTask(NamedTuple):
    """A shard to make.

    Attributes
    ----------
    number : int
        Of the shard, from 0.
    rows : DataFrame
        ``id``, ``task`` and ``prompt`` of all its rows, in the order of the shard.
    done : frozenset of int
        Positions that exist already.
    """

    number: int
    rows: pl.DataFrame
    done: frozenset[int] = frozenset()


class ShardPiece(NamedTuple):
    """Some rows of a shard.

    Attributes
    ----------
    number : int
        Of the shard.
    positions : sequence of int
        Which of its rows.
    frame : DataFrame
        What became of them, in the order of `positions`.
    n_tokens : int
        Tokens that it took, for rates.
    split_batches : int
        Batches that were halved for want of memory since the piece before.
    """

    number: int
    positions: Sequence[int]
    frame: pl.DataFrame
    n_tokens: int
    split_batches: int = 0


class WorkerStart(NamedTuple):
    """What is known once a worker is ready.

    Attributes
    ----------
    settings : mapping
        With ``auto`` replaced by what it meant; JSON-compatible.
    versions : mapping of str to str
        Of what the rows are made with.
    schema : Schema
        Of the rows.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    schema: pl.Schema


class ShardWorker(Protocol):
    """Makes shards, in this process or elsewhere."""

    def start(self) -> WorkerStart:
        """Load what is needed; called once, before `work`."""

    def work(self, tasks: Iterable[ShardTask], stopped: threading.Event) -> Generator[ShardPiece, None, None]:
        """Make every row that is not done.

        Parameters
        ----------
        tasks : iterable of ShardTask
            Taken when there is room for the next, from any thread.
        stopped : threading.Event
            Once set, what is under way is finished and given, and nothing new is begun.

        Yields
        ------
        ShardPiece
            In any order, each position once.
        """

    def close(self) -> None:
        """Let go of everything; may be called twice."""
