"""What goes wrong becomes one paragraph and an exit code."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING

import typer

from tasksel import terminal
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["INTERRUPTED", "MACHINE_FAILURE", "USER_MISTAKE", "reported_errors"]

USER_MISTAKE = 2
MACHINE_FAILURE = 1
INTERRUPTED = 130


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
