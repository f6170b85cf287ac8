"""What goes wrong becomes one paragraph and an exit code."""

from __future__ import annotations

import contextlib
import traceback
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
    MACHINE_FAILURE: "the machine failed: a full disk, an unwritable folder, no memory",
    USER_MISTAKE: "a user's mistake: a flag, a file or a setting that is not allowed",
    NOT_GOOD_ENOUGH: "done, and not good enough: a gate failed, something is short, missing or damaged",
    INTERRUPTED: "stopped with Ctrl-C",
}
"""Every exit code of every verb, as ``tasksel --help`` and ``docs/terminal.md`` have them."""


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
            traceback.print_exc()
        typer.echo(f"Stopped. {stopped}", err=True)  # what was asked for is no error
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except (OSError, MemoryError) as error:
        _report(_machine_failure(error), debug=debug)
        raise typer.Exit(MACHINE_FAILURE) from None


def _report(message: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    terminal.print_error(message)


def _machine_failure(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}. What was finished before is kept."
