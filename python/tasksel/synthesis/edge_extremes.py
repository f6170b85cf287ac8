"""Values at the ends of what computers represent, and texts that programs take for something else."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.edge_places import limits_of

if TYPE_CHECKING:
    from tasksel.synthesis.edge_places import Place

__all__ = ["DEEP_BRACKETS", "DEEP_LEVELS", "EXTREME_TOKENS", "HUGE_LIST", "LONG_DIGITS", "extreme_value"]

HUGE_NUMBER: Final = 2**31 - 1
TINY_NUMBER: Final = 1e-300
HUGE_LIST: Final = 1_000
DEEP_LEVELS: Final = 50
DEEP_BRACKETS: Final = 100
LONG_DIGITS: Final = 100
HUGE_SHARE: Final = 0.9
"""Of the largest list that the schema allows, where that is shorter than `HUGE_LIST`."""
MIN_HUGE_LIST: Final = 100
_TOKENS: Final = """
nan -nan inf +inf -inf infinity -infinity null nil none undefined n/a na true false -0 0x0 1e999 -1e999 1e-999
#ref! #n/a #div/0! {} [] nul con
"""
EXTREME_TOKENS: Final = frozenset(_TOKENS.split())
"""Texts that programs take for something else; compared in lower case."""

_EXTREME_YEARS: Final = frozenset({"0001", "9999", "0000"})
_EXTREME_DAYS: Final = frozenset({"1970-01-01", "1969-12-31", "1900-01-01", "2038-01-19", "2100-02-28"})
_LEAP_SECOND: Final = re.compile(r"T23:59:60")
_DIGITS: Final = re.compile(rf"[0-9]{{{LONG_DIGITS},}}")


def extreme_value(place: Place) -> str | None:
    """Return what is extreme about a value, as the end of a sentence, or None.

    Examples
    --------
    >>> from tasksel.synthesis.edge_places import find_places
    >>> [extreme_value(place) for place in find_places({"n": 2**63}, {})]
    [None, 'is a number of 2^31 - 1 or more, or of its negative or less']
    """
    find = {
        "text": _extreme_text,
        "choice": _extreme_number,
        "integer": _extreme_number,
        "number": _extreme_number,
        "date": _extreme_date,
        "list": _extreme_list,
        "object": _extreme_depth,
    }.get(place.kind)
    return None if find is None else find(place)


def _extreme_number(place: Place) -> str | None:
    value = place.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if abs(value) >= HUGE_NUMBER:
        return "is a number of 2^31 - 1 or more, or of its negative or less"
    if value == 0 and math.copysign(1, value) < 0:
        return "is a negative zero"
    return f"is a number below {TINY_NUMBER:g}" if 0 < abs(value) < TINY_NUMBER else None


def _extreme_date(place: Place) -> str | None:
    day = place.value[: len("2024-01-31")]
    is_extreme = day[:4] in _EXTREME_YEARS or day in _EXTREME_DAYS or _LEAP_SECOND.search(place.value)
    return "is a date at an end of what computers count" if is_extreme else None


def _extreme_text(place: Place) -> str | None:
    words = place.value.casefold().split()
    if words and all(word in EXTREME_TOKENS for word in words):
        return "is a text that programs take for something else"
    if _bracket_depth(place.value) >= DEEP_BRACKETS:
        return f"holds {DEEP_BRACKETS} brackets and more inside each other"
    return f"holds a number of {LONG_DIGITS} digits and more" if _DIGITS.search(place.value) else None


def _bracket_depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")}]":
            depth = max(depth - 1, 0)
    return deepest


def _extreme_list(place: Place) -> str | None:
    high = limits_of(place).high
    is_huge = len(place.value) >= HUGE_LIST
    if high is not None and len(place.value) >= max(HUGE_SHARE * high, MIN_HUGE_LIST):
        is_huge = True
    return f"has {len(place.value):,} elements" if is_huge else _extreme_depth(place)


def _extreme_depth(place: Place) -> str | None:
    level, levels = [place.value], 0
    while level and levels < DEEP_LEVELS:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, (dict, list)):
                inner.extend(value.values() if isinstance(value, dict) else value)
        level, levels = inner, levels + 1
    return f"is nested {DEEP_LEVELS} levels deep and more" if level else None
