"""What every reader promises, whatever it is given: a result that holds, or one readable sentence."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasksel.terminal import printable
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = ["BrokenPromiseError", "check", "check_sentence", "equal_frames", "outcome"]

Result = TypeVar("Result")

MOST_CHARS: Final = 4_000
"""Longest message of an error or note; a terminal shows a screen or two of it."""
_MACHINERY: Final = ("Traceback (most", "PanicException", "panicked at", "called `", "RUST_BACKTRACE", "0x7f")


class BrokenPromiseError(AssertionError):
    """A reader did what none may do."""


def check(holds: Any, what: str) -> None:
    """Raise `BrokenPromiseError` unless something holds."""
    if not holds:
        raise BrokenPromiseError(what)


def outcome(read: Callable[[], Result]) -> Result | str:
    """Return what a reader gives, or the sentence by which it refuses; let any other error out.

    Raises
    ------
    BrokenPromiseError
        The sentence is none.
    """
    try:
        return read()
    except TaskselError as error:
        again = pickle.loads(pickle.dumps(error))
        check(str(again) == str(error), "the error is another after a pickle")
        check_sentence(str(error))
        return str(error)


def check_sentence(text: str) -> None:
    """Check that a message is one readable paragraph that no terminal obeys."""
    shown = ascii(text[:300])
    check(text.strip(), "the message is empty")
    check(len(text) <= MOST_CHARS, f"the message has {len(text):,} characters: {shown}")
    check(printable(text, max_chars=MOST_CHARS) == text, f"the message holds control characters: {shown}")
    check(not any(word in text for word in _MACHINERY), f"the message speaks of machinery: {shown}")


def equal_frames(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Tell whether two frames hold the same under the same names and types; NaN is NaN."""
    return one.schema == other.schema and one.equals(other)
