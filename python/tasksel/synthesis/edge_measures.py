"""What counts as very short, very long, blank, and as a date on no calendar."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.edge_places import ABSENT, limits_of

if TYPE_CHECKING:
    from tasksel.synthesis.edge_places import Place

__all__ = [
    "VERY_LONG_CHARS",
    "VERY_SHORT_CHARS",
    "is_blank",
    "is_impossible_date",
    "longest_allowed",
    "shortest_allowed",
]

VERY_SHORT_CHARS: Final = 12
VERY_LONG_CHARS: Final = 10_000
VERY_LONG_SHARE: Final = 0.9
"""Of the longest text that the schema allows, where that is shorter than `VERY_LONG_CHARS`."""

_CALENDAR_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?=$|[T ])", re.ASCII)


def shortest_allowed(place: Place) -> int:
    """Return the length up to which a text counts as very short."""
    limits = limits_of(place)
    ordinary = VERY_SHORT_CHARS if limits.high is None else min(VERY_SHORT_CHARS, int(limits.high) // 4)
    return max(int(limits.low or 0), ordinary, 1)


def longest_allowed(place: Place) -> int:
    """Return the length from which on a text counts as very long."""
    high = limits_of(place).high
    return VERY_LONG_CHARS if high is None else min(VERY_LONG_CHARS, math.ceil(VERY_LONG_SHARE * high))


def is_blank(value: Any) -> bool:
    """Return whether a value is absent, null, empty, or a text of spaces alone.

    Examples
    --------
    >>> [is_blank(value) for value in (None, " ", [], 0, False, "a")]
    [True, True, True, False, False, False]
    """
    if isinstance(value, str):
        return not value.strip()
    return value is ABSENT or value is None or value in ([], {})


def is_impossible_date(text: str) -> bool:
    """Return whether a text is written like a date that no calendar has.

    Examples
    --------
    >>> [is_impossible_date(text) for text in ("2023-02-30", "2024-02-29", "soon")]
    [True, False, False]
    """
    found = _CALENDAR_DATE.match(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    try:
        dt.date(year, month, day)
    except ValueError:
        return True
    return False
