"""What goes wrong becomes one paragraph and an exit code."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

import typer

from tasksel import terminal
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "EXIT_CODES",
    "INTERRUPTED",
    "MACHINE_FAILURE",
    "NOT_GOOD_ENOUGH",
    "USER_MISTAKE",
    "reported_errors",
]

DONE: Final = 0
MACHINE_FAILURE: Final = 1
USER_MISTAKE: Final = 2
NOT_GOOD_ENOUGH: Final = 3
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    DONE: "done",
    MACHINE_FAILURE: "the machine failed: a full disk, no memory",
    USER_MISTAKE: "a user's mistake: a flag, a file, a folder or a setting that is not allowed",
    NOT_GOOD_ENOUGH: "done, and not good enough: a gate failed, something is short, missing or damaged",
    INTERRUPTED: "stopped with Ctrl-C",
}
"""Every exit code of every verb, as ``tasksel --help`` and ``docs/terminal.md`` have them."""

_WRONG_PLACES: Final = {
    errno.EACCES: "may not be read or written by this user",
    errno.EPERM: "may not be read or written by this user",
    errno.EROFS: "stands on a disk that can only be read",
    errno.ENOENT: "is not there and cannot be made",
    errno.ENOTDIR: "has a file where a folder is wanted",
    errno.EISDIR: "is a folder, where a file is wanted",
    errno.EEXIST: "is a file, where a folder is wanted",
    errno.ENAMETOOLONG: "has a name that is too long for this disk",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENXIO: "is a pipe that nobody reads",
}
"""Errors of the operating system by which a file or folder is the wrong one, and what each says of it."""


@contextlib.contextmanager
def reported_errors(*, debug: bool, stopped: str) -> Iterator[None]:
    """Turn what goes wrong into one paragraph and an exit code; a traceback is for ``--debug``.

    Parameters
    ----------
    debug : bool
        Print the traceback before the paragraph.
    stopped : str
        What Ctrl-C leaves behind, as a sentence.
    """
    try:
        yield
    except TaskselError as error:
        _report(str(error), debug=debug)
        raise typer.Exit(USER_MISTAKE) from None
    except KeyboardInterrupt:
        if debug:
            terminal.print_traceback()
        typer.echo(f"Stopped. {stopped}", err=True)  # what was asked for is no error
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except (OSError, MemoryError) as error:
        place = _wrong_place(error)
        _report(place or _machine_failure(error), debug=debug)
        raise typer.Exit(USER_MISTAKE if place else MACHINE_FAILURE) from None


def _report(message: str, *, debug: bool) -> None:
    if debug:
        terminal.print_traceback()
    terminal.print_error(message if message.endswith((".", "?", "!")) else f"{message}.")


def _wrong_place(error: OSError | MemoryError) -> str | None:
    """Say what is wrong with the place that a user named; None where it is the machine that failed."""
    if isinstance(error, MemoryError) or error.filename is None:
        return None
    reason = _WRONG_PLACES.get(error.errno or 0)
    return None if reason is None else f"{_shortened(str(error.filename))} {reason}; choose another place."


def _shortened(name: str, most: int = 300) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 :]}"


def _machine_failure(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}. What was finished before is kept."
