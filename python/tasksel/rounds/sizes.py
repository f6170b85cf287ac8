"""How a budget is spread over rounds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.toml_file import check_number, check_whole
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUDGET_UNITS", "RoundSizes", "read_sizes"]

BUDGET_UNITS: Final = {"budget": "selected", "budget_tokens": "label_tokens", "budget_cost": "label_cost"}
"""Budgets of ``[select]``, each with the figure of a selection that says how much of it was spent."""
_MOST_ROUNDS: Final = 10_000
"""More than anybody waits for; each has a folder of its own."""
_ROOM: Final = 1e-9
"""Shares such as three times 1/3 end a hair above 1."""


@dataclass(frozen=True)
class RoundSizes:
    """What may have been spent after each round.

    Parameters
    ----------
    budget : str
        Key of ``[select]``: in prompts, in tokens or in money.
    goals : tuple of float
        After each round, with all before it; rising.
    """

    budget: str
    goals: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many rounds there are at most."""
        return len(self.goals)

    def settings(self, number: int, spent: float) -> dict[str, Any]:
        """Return the budget of a round, counted from 1, as ``[select]`` has it.

        Examples
        --------
        >>> RoundSizes("budget", (10.0, 30.0)).settings(2, spent=9)
        {'budget': 21}
        """
        left = self.goals[number - 1] - spent
        return {self.budget: round(left) if self.budget == "budget" else left}


def read_sizes(rounds: Mapping[str, Any], select: Mapping[str, Any]) -> RoundSizes:
    """Read ``n``, ``sizes`` and ``share`` of ``[rounds]`` and the budget of ``[select]``.

    Raises
    ------
    ConfigError
        They contradict each other, or do not say how large a round is.

    Examples
    --------
    >>> read_sizes({"n": 3}, {"budget": 10}).goals
    (3.0, 7.0, 10.0)
    >>> read_sizes({"sizes": [5, 20]}, {}).goals
    (5.0, 25.0)
    """
    n = rounds.get("n")
    if n is not None:
        check_whole("n of [rounds]", n, 1)
        if n > _MOST_ROUNDS:
            raise ConfigError(f"n of [rounds] is past {_MOST_ROUNDS:,}; at most so many rounds are allowed.")
    if "sizes" in rounds:
        return _of_sizes(rounds, select, n)
    named = [name for name in BUDGET_UNITS if name in select]
    if len(named) != 1:
        raise ConfigError("[select] has no budget, and [rounds] no sizes; one of them is wanted.")
    shares = _of_share(rounds["share"], n) if "share" in rounds else _equal_shares(n)
    amount = select[named[0]]
    goals = [min(total, 1.0) * amount for total in itertools.accumulate(shares)]
    if named[0] == "budget":
        goals = [float(round(goal)) for goal in goals]
        if min(later - earlier for earlier, later in itertools.pairwise([0.0, *goals])) < 1:
            raise ConfigError(
                f"budget = {amount} is too little for {len(goals)} rounds of at least one label."
            )
    return RoundSizes(named[0], tuple(goals))


def _of_sizes(rounds: Mapping[str, Any], select: Mapping[str, Any], n: int | None) -> RoundSizes:
    if "share" in rounds:
        raise ConfigError("sizes and share of [rounds] exclude each other; leave one out.")
    given = rounds["sizes"]
    if not isinstance(given, list):
        if n is None:
            raise ConfigError("[rounds] has one size for all rounds and no n; how many rounds, is wanted.")
        given = [given] * n
    for each in given:
        check_whole("A size in sizes of [rounds]", each, 1)
    _check_number("sizes", given, n)
    goals = tuple(float(total) for total in itertools.accumulate(given))
    for name in BUDGET_UNITS:
        if name in select and (name != "budget" or select[name] != goals[-1]):
            raise ConfigError(
                f"sizes of [rounds] are {goals[-1]:g} labels together, and {name} of [select] says "
                f"{select[name]:g}; leave {name} out."
            )
    return RoundSizes("budget", goals)


def _of_share(given: Any, n: int | None) -> list[float]:
    if not isinstance(given, list):
        if n is None:
            raise ConfigError("[rounds] has one share for all rounds and no n; how many rounds, is wanted.")
        given = [given] * n
    for each in given:
        check_number("A share in share of [rounds]", each, 0, 1)
        if not each:
            raise ConfigError("A share in share of [rounds] is 0; a number above 0 is wanted.")
    _check_number("share", given, n)
    if sum(given) > 1 + _ROOM:
        raise ConfigError(f"The shares of [rounds] sum to {sum(given):g}; at most 1 is wanted.")
    return list(given)


def _equal_shares(n: int | None) -> list[float]:
    if n is None:
        raise ConfigError("[rounds] says neither n nor sizes nor share; n = 3, for example, is wanted.")
    return [1 / n] * n


def _check_number(name: str, given: list[Any], n: int | None) -> None:
    if not given:
        raise ConfigError(f"{name} of [rounds] is empty; one entry a round is wanted.")
    if n is not None and n != len(given):
        raise ConfigError(f"{name} of [rounds] has {len(given)} entries, and n says {n}; leave n out.")
