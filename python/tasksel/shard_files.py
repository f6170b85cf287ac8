"""Shards: which rows of a pool stand in which, and the Parquet files that hold what became of them.

Which shard a row is in follows from the pool and `shard_rows` alone, so that it is known without a tokenizer,
by every worker and in every later run. A shard is written whole or not at all; what an interrupted run had
finished of one stands in a file beside it, which is no shard and is deleted when the shard is whole.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from tasksel.run_folder import bytes_sha256
from tasksel.run_folder_seals import BrokenSealError, check_seal, write_sealed_frame

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = [
    "POSITION",
    "DamagedShardError",
    "ShardFile",
    "ShardPlan",
    "check_shard",
    "count_shards",
    "partial_name",
    "plan_shards",
    "read_partial",
    "read_shard",
    "replies_name",
    "shard_name",
    "write_partial",
    "write_shard",
]

POSITION: Final = "position"
"""Column of a partial shard: places of its rows in the whole one."""
_RUN_KEY: Final = "tasksel.run_sha256"
_SPLIT_KEY: Final = "tasksel.split_batches"


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """The rows of a pool, longest prompt first, in shards of equally many rows.

    The longest come first, so that a lack of memory shows at once and the time to go, guessed from the rows
    so far, is rather too long than too short; and like lengths come together, which a batch wants.

    Parameters
    ----------
    order : ndarray of int64, shape (n_rows,)
        Pool rows.
    shard_rows : int
        Rows of each shard; the last one has what is left.
    """

    order: npt.NDArray[np.int64]
    shard_rows: int

    @property
    def n_shards(self) -> int:
        """How many there are."""
        return count_shards(len(self.order), self.shard_rows)

    def rows(self, number: int) -> npt.NDArray[np.int64]:
        """Return the pool rows of a shard."""
        return self.order[number * self.shard_rows : (number + 1) * self.shard_rows]

    def n_rows(self, number: int) -> int:
        """Return how many rows a shard has."""
        return min(self.shard_rows, len(self.order) - number * self.shard_rows)


def count_shards(n_rows: int, shard_rows: int) -> int:
    """Return how many shards so many rows make.

    Examples
    --------
    >>> [count_shards(n_rows, 3) for n_rows in (0, 3, 4)]
    [0, 1, 2]
    """
    return -(-n_rows // shard_rows)


def plan_shards(prompts: pl.Series, shard_rows: int) -> ShardPlan:
    """Deal the rows of a pool into shards by the bytes of their prompts.

    Parameters
    ----------
    prompts : Series of String
        Null counts as empty.
    shard_rows : int
        Rows of a shard.

    Examples
    --------
    >>> plan = plan_shards(pl.Series(["a", "ccc", "bb", "d"]), 3)
    >>> [plan.rows(number).tolist() for number in range(plan.n_shards)]
    [[1, 2, 0], [3]]
    """
    lengths = prompts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
    return ShardPlan(np.argsort(-lengths, kind="stable"), shard_rows)


class DamagedShardError(Exception):
    """A shard file is not what the run would have written; its text says why."""


class ShardFile(NamedTuple):
    """What stands in a shard file.

    Attributes
    ----------
    frame : DataFrame
        The rows.
    split_batches : int
        Batches that did not fit into the device's memory when it was made.
    sha256 : str
        Of the bytes that these were read from.
    """

    frame: pl.DataFrame
    split_batches: int
    sha256: str


def shard_name(number: int) -> str:
    """Return the file name of a shard by its number from 0."""
    return f"part-{number:05d}.parquet"


def partial_name(number: int) -> str:
    """Return the name of the file with what is finished of a shard."""
    return f".part-{number:05d}.partial.parquet"


def replies_name(number: int) -> str:
    """Return the name of the file with raw replies to the prompts of a shard that is not whole yet."""
    return f".part-{number:05d}.replies.jsonl"


def write_shard(path: Path, frame: pl.DataFrame, *, run_sha256: str, split_batches: int) -> str:
    """Write a shard whole or not at all, its run in its metadata; returns the hash of the file."""
    return write_sealed_frame(path, frame, metadata={_RUN_KEY: run_sha256, _SPLIT_KEY: str(split_batches)})


def write_partial(path: Path, frame: pl.DataFrame, *, run_sha256: str, split_batches: int) -> None:
    """Write what is finished of a shard: its columns and `POSITION`."""
    write_shard(path, frame, run_sha256=run_sha256, split_batches=split_batches)


def read_shard(path: Path, expected_ids: pl.Series, run_sha256: str, schema: pl.Schema) -> ShardFile:
    """Read a shard of an earlier run.

    Raises
    ------
    DamagedShardError
        It cannot be read whole, or holds something else than this run would have written.
    """
    found = _read(path, run_sha256)
    if found.frame.schema != schema:
        raise DamagedShardError("it has other columns")
    if not found.frame["id"].equals(expected_ids.alias("id")):
        raise DamagedShardError("it holds other ids")
    return found


def read_partial(path: Path, expected_ids: pl.Series, run_sha256: str, schema: pl.Schema) -> ShardFile:
    """Read what an interrupted run had finished of a shard; errors as in `read_shard`."""
    found = _read(path, run_sha256)
    frame = found.frame
    if frame.schema != pl.Schema([(POSITION, pl.UInt32()), *schema.items()]):
        raise DamagedShardError("it has other columns")
    positions = frame[POSITION]
    if positions.is_duplicated().any() or not (positions < len(expected_ids)).all():
        raise DamagedShardError("its rows are not those of the shard")
    if not expected_ids.gather(positions).equals(frame["id"], check_names=False):
        raise DamagedShardError("it holds other ids")
    return found


def check_shard(path: Path, run_sha256: str) -> int:
    """Check a shard or what is finished of one by its own checksum, whatever it holds, and count its rows.

    Raises
    ------
    DamagedShardError
        It is not as it was written, or belongs to another run.
    """
    content = _read_content(path, run_sha256)
    return int(pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item())


def _read(path: Path, run_sha256: str) -> ShardFile:
    content = _read_content(path, run_sha256)
    metadata = pl.read_parquet_metadata(io.BytesIO(content))
    frame = pl.read_parquet(io.BytesIO(content))
    return ShardFile(frame, int(metadata[_SPLIT_KEY]), bytes_sha256(content))


def _read_content(path: Path, run_sha256: str) -> bytes:
    """Return bytes that are as they were written; nothing is parsed before that is known."""
    try:
        content = path.read_bytes()
        check_seal(content)
    except OSError as error:
        raise DamagedShardError(f"it cannot be read: {error.strerror or error}") from error
    except BrokenSealError as error:
        raise DamagedShardError(str(error)) from error
    if pl.read_parquet_metadata(io.BytesIO(content)).get(_RUN_KEY) != run_sha256:
        raise DamagedShardError("it belongs to another run")
    return content
