"""How tasks are looked for: checked once, in the words that a user types."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tasksel.task_discovery.clustering import METHODS
from tasksel_core.errors import BudgetError, ConfigError

__all__ = ["DiscoverySettings", "automatic_min_size", "parse_n_tasks"]

MAX_TASKS: Final = 100_000
_RANGE: Final = re.compile(r"\s*(\d{1,9})\s*(?::\s*(\d{1,9})\s*)?")


@dataclass(frozen=True)
class DiscoverySettings:
    """What a discovery was asked for.

    Parameters
    ----------
    n_tasks : int, (int, int) or None
        Tasks, without "other": so many, the best number of a range, or of an automatic one.
    method : {"k-means", "hdbscan"}
        What clusters the prompts that share no template.
    min_size : int or None
        Prompts of the smallest task; by default `automatic_min_size`.
    templates : bool
        Whether prompts that share a template are a task of their own.
    seed : int
        Of every random choice.
    """

    n_tasks: int | tuple[int, int] | None = None
    method: str = "k-means"
    min_size: int | None = None
    templates: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_tasks", _checked_number(self.n_tasks))
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}; allowed: {', '.join(METHODS)}.")
        if self.method == "hdbscan" and self.n_tasks is not None:
            raise ConfigError(
                "HDBSCAN finds the number of tasks itself; --n-tasks (n_tasks=) goes with k-means."
            )
        if self.min_size is not None and not _is_whole(self.min_size, 1):
            raise BudgetError(
                f"min_size is {self.min_size!r}; allowed: a whole number of prompts, at least 1."
            )
        if not _is_whole(self.seed, 0) or self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed!r}; allowed: a whole number from 0 to 2**63 - 1.")


def automatic_min_size(n_rows: int) -> int:
    """Return the least size of a task among so many prompts: a quarter of the root, at least 5.

    Examples
    --------
    >>> automatic_min_size(300), automatic_min_size(10_000), automatic_min_size(1_000_000)
    (5, 25, 250)
    """
    return max(5, math.ceil(math.sqrt(n_rows) / 4))


def parse_n_tasks(text: str) -> int | tuple[int, int]:
    """Read ``40`` or ``10:300``.

    Raises
    ------
    ConfigError
        It is neither.

    Examples
    --------
    >>> parse_n_tasks("40"), parse_n_tasks("10:300")
    (40, (10, 300))
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"--n-tasks is {text!r}; allowed: a number, such as 40, or a range, such as 10:300."
        )
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _checked_number(number: Any) -> int | tuple[int, int] | None:
    if number is None:
        return None
    if _is_whole(number, 1) and number <= MAX_TASKS:
        return int(number)
    if isinstance(number, (tuple, list)) and len(number) == 2 and all(_is_whole(each, 1) for each in number):
        fewest, most = int(number[0]), int(number[1])
        if fewest <= most <= MAX_TASKS:
            return fewest, most
    raise ConfigError(
        f"n_tasks is {number!r}; allowed: a whole number from 1 to {MAX_TASKS:,}, or two of them, the "
        "smaller first."
    )


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least
