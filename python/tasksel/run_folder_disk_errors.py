"""Errors of the disk that libraries hide behind their own: found again, and named by the file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find_disk_error"]

_RUST: Final = re.compile(r"\(os error ([0-9]+)\)")
"""How Rust ends the text of such an error: polars and safetensors pass it on, and not always the number."""
_TORCH: Final = ("PytorchStreamWriter failed", "unexpected pos", "file write failed")
"""What `torch.save` says when it cannot write, without a reason."""


def find_disk_error(error: Exception, path: Path) -> OSError | None:
    """Return the error of the operating system that is behind another one, with the file; None where none is.

    Examples
    --------
    >>> from pathlib import Path
    >>> find_disk_error(RuntimeError("I/O error: File too large (os error 27)"), Path("weights"))
    OSError(27, 'File too large')
    >>> find_disk_error(RuntimeError("another thing"), Path("weights"))
    """
    if isinstance(error, TaskselError) or (isinstance(error, OSError) and error.errno is not None):
        return None
    text = str(error)
    number = _RUST.search(text)
    if number is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    if isinstance(error, RuntimeError) and any(sign in text for sign in _TORCH):
        return OSError(None, "It cannot be written, most often since the disk is full", str(path))
    return None
