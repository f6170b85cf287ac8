"""Numbers and errors of others as words of a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["counted", "first_line", "listed", "printable"]

_LINE_CHARS = 1_000
"""Longest line of another's error that is quoted."""
_NAME_CHARS = 60
"""Longest name that is listed whole."""


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun, and with a verb where one is given.

    Parameters
    ----------
    number : int
        How many there are.
    singular : str
        For one.
    plural : str, optional
        For any other number; by default the singular with an s.

    Examples
    --------
    >>> counted(1, "row"), counted(0, "row"), counted(1200, "row has", "rows have")
    ('1 row', '0 rows', '1,200 rows have')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error that says something, or the name of its class.

    Examples
    --------
    >>> first_line(ValueError("no such column\nResolved plan until failure: ..."))
    'no such column'
    >>> first_line(KeyError())
    'KeyError'
    """
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return printable(said, max_chars=_LINE_CHARS)


def listed(names: Iterable[str], *, most: int = 20, nothing: str = "none") -> str:
    r"""Return names for a sentence: in quotes, long ones cut, of many the first ones.

    Examples
    --------
    >>> listed(["id", "a\n"]), listed(map(str, range(9)), most=2), listed([])
    ("'id', 'a\\n'", "'0', '1' and 7 more", 'none')
    """
    given = list(names)
    cut = (name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…" for name in given[:most])
    shown = ", ".join(map(repr, cut))
    more = f" and {len(given) - most:,} more" if len(given) > most else ""
    return f"{shown}{more}" if given else nothing


def printable(text: str, *, max_chars: int = 200) -> str:
    r"""Return `text` on one line without control characters, so that data cannot steer the terminal.

    Examples
    --------
    >>> print(printable("a\x1b[31mb\nc"))
    a\x1b[31mb\nc
    """
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "…"
