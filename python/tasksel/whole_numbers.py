"""Settings that are numbers: whole ones, as they go into a manifest, and finite ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_whole_numbers", "is_finite_number"]


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number between the limits of a float64; booleans are none.

    Examples
    --------
    >>> [is_finite_number(value) for value in (0.5, True, float("nan"), 10**400)]
    [True, False, False, False]
    """
    # math.isfinite raises at an integer that is no float64.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def check_whole_numbers(numbers: Mapping[str, Any], *, at_least: int = 1) -> None:
    """Refuse settings that are not whole numbers of at least `at_least`.

    Parameters
    ----------
    numbers : mapping of str to int
        By the name of the setting. Booleans are no numbers here, and neither are those of numpy, which JSON
        does not know.
    at_least : int
        The smallest that is allowed.

    Raises
    ------
    ConfigError
        Names the first that is wrong.

    Examples
    --------
    >>> check_whole_numbers({"shard_rows": 4096, "max_tokens": 256})
    >>> check_whole_numbers({"shard_rows": 0.5})
    Traceback (most recent call last):
    ...
    tasksel_core.errors.ConfigError: shard_rows is 0.5; a whole number of at least 1 is wanted.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ConfigError(f"{name} is {value!r}; a whole number of at least {at_least} is wanted.")
