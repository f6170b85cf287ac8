"""Numbers and errors of others as words of a sentence."""

from __future__ import annotations

__all__ = ["counted", "first_line"]


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
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
