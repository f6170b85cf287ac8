"""Files of a run folder by a name that others know: never written through a link, never read outside it.

A folder may come from a stranger, or stand where others can write. A link in it must not lead what is written
to another file, and a name in one of its files must not lead out of it.
"""

from __future__ import annotations

import errno
import os
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, Final

from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claim_file", "listed_path", "open_for_appending"]

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_OWN: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_ORDINARY_MODE: Final = 0o666
"""Less the process's umask, as everywhere."""


def claim_file(path: Path) -> None:
    """Make an empty file that is ours, whatever stood under its name before.

    Parameters
    ----------
    path : Path
        What a killed process or anybody else has left there is removed; where it is a link, the link is.

    Raises
    ------
    OSError
        It cannot be removed, or somebody else makes it at the same moment.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, _OWN, _ORDINARY_MODE))


def open_for_appending(path: Path, *, is_buffered: bool = True) -> IO[bytes]:
    """Open a file for appending bytes, and make it where it is not there.

    Parameters
    ----------
    path : Path
        The file.
    is_buffered : bool
        Collect what is written until it is flushed.

    Raises
    ------
    ResumeError
        It is a link.
    OSError
        The folder cannot be written to.
    """
    try:
        # Path.open knows no opener.
        return open(path, "ab", buffering=-1 if is_buffered else 0, opener=_open_no_link)
    except OSError as error:
        if error.errno != errno.ELOOP or not path.is_symlink():
            raise
        raise ResumeError(
            f"{path} is a symbolic link, and what is written there would land in another file; remove it."
        ) from error


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_LINK, _ORDINARY_MODE)


def listed_path(folder: Path, name: str, listed_in: Path) -> Path:
    """Return the place of a file that a manifest lists, in its folder.

    Parameters
    ----------
    folder : Path
        Where it stands.
    name : str
        As the manifest says.
    listed_in : Path
        The manifest, for the error.

    Raises
    ------
    ResumeError
        The name leads out of the folder, or is none.
    """
    foreign = PureWindowsPath(name)  # knows the separators of both systems, and drives
    is_inside = bool(foreign.parts) and not foreign.anchor and ".." not in foreign.parts and "\0" not in name
    if not is_inside:
        raise ResumeError(
            f"{listed_in} lists the file {name!r}, which would lie outside of its folder; whoever made this "
            "folder did not make it with tasksel."
        )
    return folder / PurePosixPath(name)
