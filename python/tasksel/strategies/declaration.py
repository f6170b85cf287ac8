"""How a strategy, a picker and their options are declared, here and in other packages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.strategies.problem import PickingProblem, Ranking, RankingProblem

__all__ = ["Need", "Option", "Picker", "Strategy", "check_option_names", "fill_options"]

Need = Literal["tasks", "confidence", "embeddings"]


@dataclass(frozen=True)
class Option:
    """A number that a strategy or picker takes besides what all of them take.

    Parameters
    ----------
    name : str
        What the user types before the equals sign of ``--option NAME=VALUE``.
    default : int or float
        Value when the user gives none; an int where only whole numbers are allowed.
    minimum, maximum : int or float
        Smallest and largest value allowed.
    summary : str
        One line for help texts.
    """

    name: str
    default: float
    minimum: float
    maximum: float
    summary: str

    def read(self, value: Any) -> float:
        """Return the number that `value` is or spells.

        Raises
        ------
        ConfigError
            It is none, or outside the range.

        Examples
        --------
        >>> Option("trade_off", 0.5, 0.0, 1.0, "weight of diversity").read("0.7")
        0.7
        """
        whole = isinstance(self.default, int)
        try:
            number = math.nan if isinstance(value, bool) else (int if whole else float)(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not self.minimum <= number <= self.maximum or (whole and number != float(value)):
            raise ConfigError(f"Option {self.name} is {value!r}; allowed: {self.allowed()}.")
        return number

    def allowed(self) -> str:
        """Return the range in words."""
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        if math.isinf(self.maximum):
            return f"{kind} of at least {self.minimum:g}"
        return f"{kind} from {self.minimum:g} to {self.maximum:g}"


@dataclass(frozen=True)
class Strategy:
    """A named ranking rule. Other packages add theirs through the entry point ``tasksel.strategies``.

    Parameters
    ----------
    name : str
        What the user types.
    summary : str
        One line for help texts.
    rank : callable
        `RankingProblem` -> `Ranking`.
    needs : frozenset of {"tasks", "confidence", "embeddings"}
        What the problem must carry; checked before `rank` is called.
    base : int, optional
        Default of the base quota; None where the strategy does not allocate over tasks. Of one that does,
        only how many rows of each task stand where in the ranking counts when the user chooses a picker:
        the rows themselves are then replaced by the picker's.
    metric : str, optional
        The confidence metric that the strategy is defined with; None takes the user's.
    options : tuple of Option
        Numbers that it takes besides.
    reference : str
        Where it was published.
    takes_labelled : bool
        Whether `rank` counts what is labelled already. Without it the problem is cut down to the other rows
        before, and they are ranked as if nothing were labelled.
    """

    name: str
    summary: str
    rank: Callable[[RankingProblem], Ranking]
    needs: frozenset[Need] = frozenset()
    base: int | None = None
    metric: str | None = None
    options: tuple[Option, ...] = ()
    reference: str = ""
    takes_labelled: bool = False


@dataclass(frozen=True)
class Picker:
    """A named order of the rows inside a task. Other packages add theirs through ``tasksel.pickers``.

    Parameters
    ----------
    name : str
        What the user types.
    summary : str
        One line for help texts.
    order : callable, optional
        `PickingProblem` -> `Ranking` of `quota` rows of the group, none twice. The first rows for a quota
        must be those for a smaller quota. It may be called from several threads at a time. None keeps the
        random order that allocating strategies deal in.
    needs : frozenset of {"confidence", "embeddings"}
        What the problem must carry.
    metric : str, optional
        The confidence metric that the picker is defined with; None takes that of the run.
    options : tuple of Option
        Numbers that it takes besides.
    reference : str
        Where it was published.
    takes_labelled : bool
        Whether `order` leaves out, and starts from, the rows of the group that are taken already. Without it
        the group is cut down to the others before.
    """

    name: str
    summary: str
    order: Callable[[PickingProblem], Ranking] | None
    needs: frozenset[Need] = frozenset()
    metric: str | None = None
    options: tuple[Option, ...] = ()
    reference: str = ""
    takes_labelled: bool = False


def fill_options(declared: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, float]:
    """Return the value of every option declared: the one given, read and checked, or the default.

    Raises
    ------
    ConfigError
        A value is no number or out of range.
    """
    return {
        option.name: option.read(given[option.name]) if option.name in given else option.default
        for option in declared
    }


def check_option_names(given: Mapping[str, Any], takers: tuple[Strategy | Picker, ...]) -> None:
    """Refuse an option that none of the takers declares.

    Raises
    ------
    ConfigError
        With the options that they have.
    """
    declared = [option for taker in takers for option in taker.options]
    unknown = [name for name in given if name not in {option.name for option in declared}]
    if not unknown:
        return
    with_options = [taker.name for taker in takers if taker.options] or [takers[0].name]
    names = " and ".join(dict.fromkeys(with_options))
    if not declared:
        raise ConfigError(f"There is no option {unknown[0]!r}: {names} has no options of its own.")
    allowed = "; ".join(
        f"{option.name} ({option.allowed()}, default {option.default:g})" for option in declared
    )
    hint = did_you_mean(unknown[0], [option.name for option in declared])
    raise ConfigError(f"There is no option {unknown[0]!r} of {names}; allowed: {allowed}.{hint}")
