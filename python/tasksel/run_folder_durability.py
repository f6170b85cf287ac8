"""What a loss of power must not undo: names of files, which a disk keeps apart from what stands in them.

A file whose bytes are flushed can still be lost with its name; a rename that was not flushed can be undone,
or be there while an older one is not. So a folder is flushed after a name in it has changed and before
anything is done that relies on it: before what it replaces is deleted, and before a caller hears that it is
there.
"""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["create_folder", "flush_file", "flush_folder", "flush_tree", "move_folder"]

_UNABLE: Final = (errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)
"""Of a disk that cannot flush a folder, as some of networks, or of a folder that may be written, not read."""


def flush_file(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; nothing where there is no way to ask for that.

    Windows cannot open a folder, and some disks cannot flush one.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _UNABLE:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Flush all files below a folder and their names, so that a rename after it is not there without them."""
    for path in folder.rglob("*"):
        if path.is_file():
            flush_file(path)
        elif path.is_dir():
            flush_folder(path)
    flush_folder(folder)


def create_folder(folder: Path) -> None:
    """Make a folder with its parents where they are missing; when this returns, all of them are on the disk.

    The name of a folder that is there already is flushed too: a process that was killed may have made it a
    moment ago.

    Raises
    ------
    OSError
        A file is in the place of one, or the disk is full or may not be written.
    """
    missing = list(itertools.takewhile(lambda each: not each.is_dir(), (folder, *folder.parents)))
    flush_folder((missing[-1].parent if missing else folder).parent)
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        flush_folder(each.parent)


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder; when this returns, no loss of power brings the old name back."""
    source.rename(target)
    flush_folder(target.parent)
    if source.parent != target.parent:
        flush_folder(source.parent)
