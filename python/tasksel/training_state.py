"""What a training leaves on the disk while it runs: checkpoints, whole or absent, and the loss curve."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from tasksel.run_folder import atomic_path, emptied_folder, read_json, write_json
from tasksel.run_folder_durability import flush_tree, move_folder
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = [
    "CHECKPOINT_PREFIX",
    "LOSS_NAME",
    "CheckpointWriter",
    "LossRow",
    "find_checkpoint",
    "list_checkpoints",
    "read_loss_rows",
    "write_loss_csv",
]

CHECKPOINT_PREFIX = "checkpoint-"
LOSS_NAME = "loss.csv"
_PROGRESS_NAME = "progress.json"
_SAVING_NAME = ".checkpoint.tmp"


@dataclass(frozen=True)
class LossRow:
    """One step of a training.

    Attributes
    ----------
    step : int
        From 1.
    epoch : float
        Passes over the selection after this step.
    learning_rate : float
        That this step was taken with.
    loss : float
        Mean cross-entropy of the step's response tokens in nats, before the step.
    tokens : int
        How many response tokens that are, end tokens included.
    """

    step: int
    epoch: float
    learning_rate: float
    loss: float
    tokens: int


@dataclass
class CheckpointWriter:
    """Puts checkpoints into a run folder, each with one rename, and keeps the newest alone.

    Attributes
    ----------
    folder : Path
        The run folder.
    every_s : float
        Seconds between two checkpoints; 0 is after every step.
    """

    folder: Path
    every_s: float
    _saved_s: float = field(default_factory=time.monotonic)
    _saved_step: int = 0

    def is_due(self, step: int) -> bool:
        """Tell whether the last checkpoint is old enough for one after `step`, which has none yet."""
        return step != self._saved_step and time.monotonic() - self._saved_s >= self.every_s

    @contextlib.contextmanager
    def begin(self, step: int, rows: Sequence[LossRow]) -> Iterator[Path]:
        """Give a folder for ``checkpoint-STEP`` to be made in; then add `rows`, and put it in its place."""
        saving = self.folder / _SAVING_NAME
        name = f"{CHECKPOINT_PREFIX}{step}"
        with emptied_folder(saving, self.folder / name):
            yield saving
        write_json(saving / name / _PROGRESS_NAME, {"rows": [asdict(row) for row in rows]})
        flush_tree(saving / name)
        older = list_checkpoints(self.folder)
        move_folder(saving / name, self.folder / name)  # on the disk before those go that it replaces
        saving.rmdir()
        for path in older:
            shutil.rmtree(path)
        self._saved_s, self._saved_step = time.monotonic(), step


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, oldest first."""
    return sorted(folder.glob(f"{CHECKPOINT_PREFIX}*"), key=lambda path: int(path.name.rpartition("-")[2]))


def find_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint, and remove what a kill has left of an unfinished one."""
    shutil.rmtree(folder / _SAVING_NAME, ignore_errors=True)
    checkpoints = list_checkpoints(folder)
    return checkpoints[-1] if checkpoints else None


def read_loss_rows(checkpoint: Path) -> list[LossRow]:
    """Return the steps up to a checkpoint.

    Raises
    ------
    ResumeError
        The checkpoint is damaged.
    """
    content = read_json(checkpoint / _PROGRESS_NAME)
    try:
        return [LossRow(**row) for row in content["rows"]]
    except (KeyError, TypeError) as error:
        raise ResumeError(f"{checkpoint} is damaged ({error}); delete it.") from error


def write_loss_csv(path: Path, rows: Sequence[LossRow]) -> None:
    """Write one line a step: step, epoch, learning_rate, loss, tokens."""
    frame = pl.DataFrame([asdict(row) for row in rows])
    with atomic_path(path) as temporary:
        frame.write_csv(temporary)
