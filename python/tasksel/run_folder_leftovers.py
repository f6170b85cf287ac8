"""Names of files that are being written, and what a killed process leaves under such a name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_leftovers", "temporary_path"]

_RANDOM_BYTES: Final = 8
_LEFTOVER: Final = re.compile(rf"\..+\.[0-9]+\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.tmp")


def temporary_path(path: Path) -> Path:
    """Return where a file is written before it is renamed to `path`.

    Nobody who can write into the folder knows the name beforehand and can lay a link there.
    """
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(_RANDOM_BYTES).hex()}.tmp")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left of files that they were writing; nobody else may write there.

    Examples
    --------
    >>> from pathlib import Path
    >>> temporary_path(Path("manifest.json")).touch()
    >>> remove_leftovers(Path())
    >>> list(Path().glob(".manifest.json.*"))
    []
    """
    for path in folder.glob(".*.tmp"):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)
