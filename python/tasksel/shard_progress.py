"""How far a running process is, in a small file that others may read; it is gone when the run ends."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tasksel.run_folder_links import claim_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PROGRESS_NAME", "Pace", "ProgressFile", "RunningProgress", "read_progress"]

PROGRESS_NAME: Final = ".progress.json"
_EVERY_S: Final = 2.0


class Pace(NamedTuple):
    """How fast one process was, by a clock that nobody sets.

    Attributes
    ----------
    rows, tokens : int
        Made by it.
    seconds : float
        In which time.
    """

    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0


class RunningProgress(NamedTuple):
    """What a running process says of itself.

    Attributes
    ----------
    rows_done, tokens_done : int
        Of the whole stage, rows of shards that are under way included.
    pace : Pace
        Of the process.
    """

    rows_done: int
    tokens_done: int
    pace: Pace


@dataclass
class ProgressFile:
    """The file, rewritten every two seconds at most; that it cannot be written stops nothing.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    """

    path: Path
    _written_s: float = float("-inf")

    def tell(self, rows_done: int, tokens_done: int, pace: Pace) -> None:
        """Write it, unless that was done a moment ago."""
        now_s = time.monotonic()
        if now_s - self._written_s < _EVERY_S:
            return
        self._written_s = now_s
        content = {"rows_done": rows_done, "tokens_done": tokens_done, "session": pace._asdict()}
        # Renamed, so that nobody reads half of it, and not flushed: after a power loss it is stale.
        with contextlib.suppress(OSError):
            claim_file(self._temporary)
            self._temporary.write_text(json.dumps(content))
            self._temporary.replace(self.path)

    def remove(self) -> None:
        """Delete it; it speaks of a running process only."""
        for path in (self.path, self._temporary):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    @property
    def _temporary(self) -> Path:
        return self.path.with_name(f"{self.path.name}.tmp")


def read_progress(path: Path) -> RunningProgress | None:
    """Read what a running process says; None where it says nothing."""
    try:
        told = json.loads(path.read_text())
        pace = Pace(*(told["session"][name] for name in Pace._fields))
        return RunningProgress(int(told["rows_done"]), int(told["tokens_done"]), pace)
    except (OSError, ValueError, KeyError, TypeError):
        return None
