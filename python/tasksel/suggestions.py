"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest_name"]


def nearest_name(name: object, allowed: Iterable[object]) -> str | None:
    """Return the allowed name that is most like `name`, whatever its case, or None where none is.

    Examples
    --------
    >>> nearest_name("K-Centre", ["random", "k-center"])
    'k-center'
    >>> nearest_name("x", ["random", "k-center"]) is None
    True
    """
    by_lower_case: dict[str, str] = {}
    for each in map(str, allowed):
        by_lower_case.setdefault(each.lower(), each)
    near = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def did_you_mean(name: object, allowed: Iterable[object]) -> str:
    """Return `` Did you mean 'x'?`` with its leading space, or an empty text; for the end of a sentence.

    Examples
    --------
    >>> "There is no metric 'prodct'." + did_you_mean("prodct", ["product", "entropy"])
    "There is no metric 'prodct'. Did you mean 'product'?"
    """
    near = nearest_name(name, allowed)
    return "" if near is None else f" Did you mean {near!r}?"
