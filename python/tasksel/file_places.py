"""Places that a user names: what is wrong with one that is read, what one that is written would destroy."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NO_REGULAR_FILE", "expanded_home", "file_trouble", "is_folder", "refuse_overwriting"]

NO_REGULAR_FILE: Final = "is not a regular file"
"""Of a pipe, a socket, a device: reading it may never end."""

_TROUBLES: Final = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "does not exist",
    errno.ELOOP: "is a link that leads back to itself",
    errno.EACCES: "cannot be read (Permission denied)",
    errno.ENAMETOOLONG: "cannot be a file name (File name too long)",
}


def expanded_home(place: str | os.PathLike[str]) -> Path:
    """Return a place with ``~`` as the home folder; that of nobody is a name like any other.

    Examples
    --------
    >>> expanded_home("~nobody-of-that-name/x").as_posix()
    '~nobody-of-that-name/x'
    """
    path = Path(place)
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user
        return path


def file_trouble(path: Path) -> str | None:
    """Say why a path is no file that can be read, without opening what may never end; None where it is one.

    Parameters
    ----------
    path : Path
        Anything, also a name that no file can have.

    Examples
    --------
    >>> file_trouble(Path("no such file"))
    'does not exist'
    >>> file_trouble(Path("."))
    'is a folder'
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 -- Path.stat is not defined for every name
    except OSError as error:
        return _TROUBLES.get(error.errno or 0) or f"cannot be read ({error.strerror})"
    except ValueError:
        return "cannot be a file name (it holds NUL)"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if not stat.S_ISREG(mode):
        return NO_REGULAR_FILE
    return None if os.access(path, os.R_OK) else "cannot be read (Permission denied)"


def is_folder(place: str | os.PathLike[str]) -> bool:
    """Return whether a folder stands there; no name that a folder cannot have is an error.

    Examples
    --------
    >>> is_folder("."), is_folder("a" * 10_000), is_folder("")
    (True, False, False)
    """
    try:
        return stat.S_ISDIR(os.stat(place).st_mode)  # noqa: PTH116 -- Path("") is the folder of the process
    except (OSError, ValueError):
        return False


def refuse_overwriting(written: Iterable[str | os.PathLike[str]], read: Iterable[object]) -> None:
    """Refuse to write where something stands that is read.

    Parameters
    ----------
    written : iterable of path
        Files that are going to be written.
    read : iterable
        What is read; what is no path (frames, None) cannot be overwritten.

    Raises
    ------
    ConfigError
        One is both; the message names it.

    Examples
    --------
    >>> refuse_overwriting(["out/a.csv"], ["out/../out/a.csv", None])
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ConfigError: Writing out/a.csv would overwrite out/../out/a.csv, which is read; \
choose another place.
    """
    # Not Path.resolve, which raises RuntimeError where a link leads back to itself.
    places = {os.path.realpath(each): each for each in written}
    for source in read:
        if isinstance(source, (str, os.PathLike)):
            place = places.get(_real(source))
            if place is not None:
                raise ConfigError(
                    f"Writing {os.fspath(place)} would overwrite {os.fspath(source)}, which is read; choose "
                    "another place."
                )


def _real(source: str | os.PathLike[str]) -> str:
    try:
        return os.path.realpath(source)
    except ValueError:  # a name that holds NUL
        return os.fspath(source)
