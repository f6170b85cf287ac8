"""Gates: a figure, what it must reach, whether it does, and what so many rows can prove at all.

A gate fails where the figure itself is on the wrong side of its threshold; the interval says how
sure that is.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.intervals import Interval, wilson_interval
from tasksel.synthesis.power import rate_check_power, rows_for_rate_check
from tasksel.wording import counted
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "GATES",
    "Gate",
    "GateRule",
    "figure_gate",
    "find_rule",
    "rate_gate",
    "read_rules",
    "unmeasured_gate",
]


@dataclass(frozen=True)
class GateRule:
    """What a gate demands.

    Parameters
    ----------
    name : str
        Its name; what follows a colon is a dimension or an edge category.
    threshold : float
        From 0 to 1.
    at_least : bool
        Whether the figure must reach the threshold, or may not exceed it.
    meaning : str
        What the figure is.
    """

    name: str
    threshold: float
    at_least: bool
    meaning: str


GATES: Final[Mapping[str, GateRule]] = {
    name: GateRule(name, threshold, at_least, meaning)
    for name, threshold, at_least, meaning in (
        ("completeness", 0.98, True, "planned examples that have a record"),
        ("answered", 0.98, True, "records with a response, where the configuration makes one"),
        ("schema_validity", 0.98, True, "items that the JSON Schema takes"),
        ("agreement", 0.9, True, "records whose realised value is the requested one, of each dimension"),
        (
            "distribution",
            0.05,
            True,
            "p-value, after Holm, that realised counts come from the planned shares",
        ),
        ("language", 0.95, True, "texts in the expected language, of those whose language is clear"),
        ("length", 0.9, True, "texts within the middle 98 % of the real lengths"),
        ("exact_duplicates", 0.01, False, "texts that repeat an earlier one but for case and space"),
        ("near_duplicates", 0.05, False, "texts that nearly repeat an earlier one (Jaccard of 0.8)"),
        ("embedding_duplicates", 0.1, False, "texts whose nearest other one has a cosine of 0.95"),
        ("copies", 0.01, False, "texts that repeat a real row: whole, nearly, or 13 words of it"),
        ("embedding_copies", 0.05, False, "texts whose nearest real row has a cosine of 0.95"),
        ("personal_data", 0.0, False, "texts with personal data that is not reserved for examples"),
        ("edge", 0.9, True, "edge cases whose property holds, of each category"),
        ("edge_share", 0.9, True, "planned edge cases that have a record"),
        ("coverage", 0.85, True, "coverage-equivalent of the real embeddings"),
    )
}
"""The gates there are, with the thresholds that hold where ``[gates]`` names none."""

_COLONS: Final = ("agreement", "distribution", "edge")


@dataclass(frozen=True)
class Gate:
    """What became of one gate.

    Attributes
    ----------
    name, threshold, at_least, meaning
        As in `GateRule`.
    outcome : str
        ``passed``, ``failed`` or ``not measured``.
    value : float or None
        The figure.
    n_rows : int
        Rows that it is of.
    interval : Interval or None
        95 % interval of the figure.
    reason : str
        Why it was not measured, or what to know about the figure.
    proof : dict or None
        What this number of rows can prove: ``true_rate`` (of failures), ``power`` (to fail at that rate),
        ``rows_for_power_80`` and ``sentence``.
    """

    name: str
    threshold: float
    at_least: bool
    meaning: str
    outcome: str
    value: float | None = None
    n_rows: int = 0
    interval: Interval | None = None
    reason: str = ""
    proof: dict[str, Any] | None = None

    @property
    def is_proven(self) -> bool:
        """Whether the whole interval is on the side that the figure is on."""
        if self.interval is None or self.value is None:
            return False
        low, high = self.interval
        return not (low < self.threshold <= high if self.at_least else low <= self.threshold < high)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        content = dataclasses.asdict(self) | {"is_proven": self.is_proven}
        content["interval"] = None if self.interval is None else list(self.interval)
        return content


def read_rules(given: Mapping[str, float], subjects: Mapping[str, Iterable[str]]) -> dict[str, GateRule]:
    """Return the rules with the thresholds of a configuration.

    Parameters
    ----------
    given : mapping of str to float
        ``[gates]`` of the configuration.
    subjects : mapping of str to iterable of str
        What may stand behind the colon of ``agreement``, ``distribution`` and ``edge``.

    Returns
    -------
    dict of str to GateRule
        Name -> rule: all of `GATES`, and each that was named with a colon.

    Raises
    ------
    ConfigError
        There is no such gate, or a threshold is no share.

    Examples
    --------
    >>> rules = read_rules({"agreement:tone": 0.7}, {"agreement": ["tone"]})
    >>> rules["agreement:tone"].threshold, rules["agreement"].threshold
    (0.7, 0.9)
    """
    rules = dict(GATES)
    for name, threshold in given.items():
        base, colon, subject = name.partition(":")
        known = base in GATES and (not colon or subject in tuple(subjects.get(base, ())))
        if not known:
            with_colons = [f"{each}:{one}" for each in _COLONS for one in subjects.get(each, ())]
            raise ConfigError(f"There is no gate {name!r}; allowed are {', '.join((*GATES, *with_colons))}.")
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise ConfigError(f"{name} of [gates] is {threshold!r}; a number from 0 to 1 is wanted.")
        rules[name] = dataclasses.replace(GATES[base], name=name, threshold=float(threshold))
    return rules


def find_rule(rules: Mapping[str, GateRule], base: str, subject: str) -> GateRule:
    """Return the rule of a subject: its own, or that of all, under the name with the colon."""
    name = f"{base}:{subject}"
    return dataclasses.replace(rules.get(name, rules[base]), name=name)


def rate_gate(rule: GateRule, count: int, n_rows: int, *, reason: str = "") -> Gate:
    """Judge a share of rows.

    Parameters
    ----------
    rule : GateRule
        What is demanded.
    count, n_rows : int
        Rows that the figure counts, of how many; of no rows nothing is measured.
    reason : str
        What to know about the figure.

    Returns
    -------
    Gate

    Examples
    --------
    >>> gate = rate_gate(GATES["schema_validity"], 97, 100)
    >>> gate.outcome, gate.is_proven, gate.proof["sentence"]
    ('failed', False, '100 rows see a failure rate of 4 % with power .77; 106 are wanted for .80.')
    """
    if n_rows == 0:
        return unmeasured_gate(rule, reason or "there are no such rows")
    value = count / n_rows
    passed = value >= rule.threshold - 1e-12 if rule.at_least else value <= rule.threshold + 1e-12
    return Gate(
        **dataclasses.asdict(rule),
        outcome="passed" if passed else "failed",
        value=value,
        n_rows=n_rows,
        interval=wilson_interval(count, n_rows),
        reason=reason,
        proof=_prove_rate(rule, n_rows),
    )


def figure_gate(
    rule: GateRule,
    value: float,
    n_rows: int,
    *,
    interval: Interval | None = None,
    reason: str = "",
    proof: dict[str, Any] | None = None,
) -> Gate:
    """Judge a figure that is no share of rows: a p-value, a coverage."""
    if not math.isfinite(value):
        return unmeasured_gate(rule, f"the figure is {value}")
    passed = value >= rule.threshold if rule.at_least else value <= rule.threshold
    return Gate(
        **dataclasses.asdict(rule),
        outcome="passed" if passed else "failed",
        value=float(value),
        n_rows=n_rows,
        interval=interval,
        reason=reason,
        proof=proof,
    )


def unmeasured_gate(rule: GateRule, reason: str) -> Gate:
    """Return a gate that nothing can be said of, and why."""
    return Gate(**dataclasses.asdict(rule), outcome="not measured", reason=reason)


def describe_power(n_rows: int, what: str, power: float, wanted_rows: int | None) -> str:
    """Say what rows can prove, in one sentence."""
    said = f"{counted(n_rows, 'row sees', 'rows see')} {what} with power {_power(power)}"
    if wanted_rows is None:
        return f"{said}; a million would not do for .80."
    return f"{said}." if wanted_rows <= n_rows else f"{said}; {wanted_rows:,} are wanted for .80."


def _power(power: float) -> str:
    return ">.99" if power > 0.995 else f"{power:.2f}".removeprefix("0")


def _prove_rate(rule: GateRule, n_rows: int) -> dict[str, Any]:
    """Say with which power the gate would notice twice the failures that it allows, or a point more."""
    allowed = round(1 - rule.threshold if rule.at_least else rule.threshold, 12)
    true = min(1.0, max(2 * allowed, allowed + 0.01))
    power = rate_check_power(n_rows, allowed, true)
    wanted = rows_for_rate_check(allowed, true)
    return {
        "true_rate": true,
        "power": power,
        "rows_for_power_80": wanted,
        "sentence": describe_power(n_rows, f"a failure rate of {true * 100:.3g} %", power, wanted),
    }
