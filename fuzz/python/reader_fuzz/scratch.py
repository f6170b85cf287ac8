"""Folders for the files of one input, in memory where the system has such a place."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["scratch_folder"]

_MEMORY: Final = Path("/dev/shm")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder that is gone after the block; to flush a file in it costs nothing on Linux."""
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=_MEMORY if in_memory else None) as folder:
        yield Path(folder)
