"""When rounds end before the last one: nothing gained, all covered, nothing left to spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasksel.toml_file import check_number, check_whole
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasksel.rounds.gains import Gain
    from tasksel.rounds.record import RoundRecord

__all__ = ["StoppingRules", "find_reason", "read_rules"]


@dataclass(frozen=True)
class StoppingRules:
    """When to stop; what is None never stops.

    Parameters
    ----------
    flat_after : int, optional
        Stop when this many rounds together gained less than `min_gain`, and no gain lies in the interval.
    min_gain : float
        In the unit of the metric.
    stop_radius : float, optional
        Stop when no prompt is farther than this from a labelled one.
    max_cost, max_tokens : float, optional
        Begin no round that would pass this, at the mean cost of a label so far.
    """

    flat_after: int | None = None
    min_gain: float = 0.01
    stop_radius: float | None = None
    max_cost: float | None = None
    max_tokens: float | None = None


def read_rules(keys: Mapping[str, Any]) -> StoppingRules:
    """Read the rules of ``[rounds]``.

    Raises
    ------
    ConfigError
        A value is out of range, or `min_gain` is set and nothing asks for it.
    """
    if "min_gain" in keys and "flat_after" not in keys:
        raise ConfigError("min_gain of [rounds] is of flat_after, which is not set.")
    if "flat_after" in keys:
        check_whole("flat_after of [rounds]", keys["flat_after"], 1)
    check_number("min_gain of [rounds]", keys.get("min_gain", 0.01), 0)
    for name in ("stop_radius", "max_cost", "max_tokens"):
        if name in keys:
            check_number(f"{name} of [rounds]", keys[name], 0)
    names = StoppingRules.__dataclass_fields__
    return StoppingRules(**{name: keys[name] for name in names if name in keys})


def find_reason(
    rules: StoppingRules,
    rounds: Sequence[RoundRecord],
    gain_over: Callable[[int, int], Gain],
    next_labels: float | None,
) -> str | None:
    """Say why no further round is wanted, or return None.

    Parameters
    ----------
    rules : StoppingRules
        Asked in the order of their fields.
    rounds : sequence of RoundRecord
        Those that have ended, the one without labels first if it was evaluated.
    gain_over : callable
        ``(earlier, later) -> Gain`` of two rounds by their numbers.
    next_labels : float, optional
        How many labels the next round would have; None where that is not known.
    """
    last = rounds[-1]
    flat = _flat(rules, rounds, gain_over)
    if flat is not None:
        return flat
    if rules.stop_radius is not None and last.radius is not None and last.radius <= rules.stop_radius:
        return f"the covering radius is {last.radius:.4g}, and {rules.stop_radius:g} was asked for"
    for name, limit in (("cost", rules.max_cost), ("tokens", rules.max_tokens)):
        said = None if limit is None else _spent(name, limit, rounds, next_labels)
        if said is not None:
            return said
    return None


def _flat(
    rules: StoppingRules, rounds: Sequence[RoundRecord], gain_over: Callable[[int, int], Gain]
) -> str | None:
    """Go by gain and interval: a small gain that is surely one goes on, and so does an unsure large one."""
    evaluated = [each for each in rounds if each.figure is not None]
    if rules.flat_after is None or len(evaluated) <= rules.flat_after:
        return None
    earlier, later = evaluated[-1 - rules.flat_after], evaluated[-1]
    gain = gain_over(earlier.number, later.number)
    if gain.mean >= rules.min_gain or gain.low > 0:
        return None
    over = "the last round" if rules.flat_after == 1 else f"the last {rules.flat_after} rounds"
    return f"{over} gained {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], less than {rules.min_gain:g}"


def _spent(name: str, limit: float, rounds: Sequence[RoundRecord], next_labels: float | None) -> str | None:
    spent = sum(getattr(each, name) or 0.0 for each in rounds)
    labels = rounds[-1].labels
    of = "in money" if name == "cost" else "tokens"
    if spent >= limit:
        return f"{spent:,.2f} {of} are spent, and the limit is {limit:,g}"
    if not labels or next_labels is None:
        return None
    expected = spent / labels * next_labels
    if spent + expected <= limit:
        return None
    return f"another round would cost about {expected:,.2f} {of}, {spent:,.2f} of {limit:,g} are spent"
