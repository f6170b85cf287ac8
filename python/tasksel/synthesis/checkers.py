"""Which value of a level or dimension a record really has: rules and patterns, and what all checkers share.

A checker gives every record one of the allowed values, `OTHER` (a value that is not allowed), `SEVERAL` (more
than one fits), `ABSENT` (there is none) or None (the checker cannot say).
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.config import CheckConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tasksel.endpoint import Endpoint
    from tasksel.synthesis.config import SynthesisConfig

__all__ = [
    "ABSENT",
    "OTHER",
    "SEVERAL",
    "CheckedDimension",
    "Confusion",
    "Evidence",
    "JudgeAccess",
    "Realised",
    "checked_dimensions",
    "find_by_pattern",
    "find_by_rule",
    "normalised_value",
    "read_items",
]

ABSENT: Final = "(none)"
OTHER: Final = "(other)"
SEVERAL: Final = "(several)"
MAX_MATCHES: Final = 100
"""Matches of a pattern that are looked at in one text."""
_MARKS: Final = re.compile(r"[\s_\-]+")


@dataclass(frozen=True)
class CheckedDimension:
    """A level or dimension, its values, and how it is checked.

    Parameters
    ----------
    name : str
        Its column in plan and records.
    values : tuple of str
        What is allowed.
    description : str
        What a judge is told.
    check : CheckConfig or None
        None where nothing says how.
    is_level : bool
        Whether it is a level of the strata.
    """

    name: str
    values: tuple[str, ...]
    description: str = ""
    check: CheckConfig | None = None
    is_level: bool = False


@dataclass(frozen=True, eq=False)
class Confusion:
    """How a fallible checker takes one value for another, counted where the truth is known.

    Parameters
    ----------
    values : tuple of str
        The values it knows.
    counts : ndarray of int64, shape (n_values, n_values)
        True value x found value.
    """

    values: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class JudgeAccess:
    """Where a judging model is asked.

    Parameters
    ----------
    endpoint : Endpoint
        Any OpenAI-compatible one.
    model : str
        Name of the model.
    concurrency : int
        Requests at a time.
    """

    endpoint: Endpoint
    model: str
    concurrency: int = 4


@dataclass(frozen=True, eq=False)
class Evidence:
    """What checkers may look at.

    Parameters
    ----------
    records : pl.DataFrame
        With ``prompt``, ``response`` and ``item``.
    items : list of dict or None
        The item of each record, None where there is none or it cannot be read.
    folder : Path
        Where raw replies of a judge are kept.
    vectors : ndarray of float32, shape (n_records, n_dimensions), optional
    real : pl.DataFrame, optional
        Labelled real rows.
    real_vectors : ndarray of float32, shape (n_real, n_dimensions), optional
    judge : JudgeAccess, optional
    seed : int
        Of folds and draws.
    """

    records: pl.DataFrame
    items: list[Any]
    folder: Path
    vectors: NDArray[np.float32] | None = None
    real: pl.DataFrame | None = None
    real_vectors: NDArray[np.float32] | None = None
    judge: JudgeAccess | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Realised:
    """What a checker found.

    Attributes
    ----------
    values : list of str or None
        One a record; empty where the checker could not work.
    reason : str
        Why it could not, or what to know about it.
    account : dict
        Figures of the checker itself.
    confusion : Confusion or None
        Of a checker that is fallible and knows how much.
    """

    values: list[str | None]
    reason: str = ""
    account: dict[str, Any] = field(default_factory=dict)
    confusion: Confusion | None = None


def checked_dimensions(config: SynthesisConfig) -> list[CheckedDimension]:
    """List levels and dimensions with their checks.

    One without a check is checked by rule where the item's schema has a property of its name.
    """
    found = [
        CheckedDimension(
            name,
            tuple(values),
            str(config.strata.descriptions.get(name, "")),
            config.strata.checks.get(name) or _default_check(config, name),
            is_level=True,
        )
        for name, values in config.strata.levels.items()
    ]
    return found + [
        CheckedDimension(
            each.name, tuple(each.values), each.description, each.check or _default_check(config, each.name)
        )
        for each in config.dimensions
    ]


def _default_check(config: SynthesisConfig, name: str) -> CheckConfig | None:
    named = [each for each in config.schema.get("properties", {}) if each.casefold() == name.casefold()]
    return CheckConfig("rule", field=named[0]) if named else None


def read_items(records: pl.DataFrame) -> list[Any]:
    """Parse the column ``item``; None where it is null or is no JSON."""
    return [_parsed(text) for text in records["item"].to_list()]


def _parsed(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def find_by_rule(dimension: CheckedDimension, evidence: Evidence) -> Realised:
    """Read each record's value from a field of the item, as far as spelling may differ.

    Parameters
    ----------
    dimension : CheckedDimension
        Whose check has the kind ``rule``.
    evidence : Evidence
        Records and items.

    Returns
    -------
    Realised
    """
    known = {normalised_value(value): value for value in dimension.values}
    found: list[str | None] = []
    for value in _fields(dimension, evidence):
        text = None if value is None else normalised_value(value)
        found.append(known.get(text, OTHER) if text else ABSENT)
    return Realised(found)


def find_by_pattern(dimension: CheckedDimension, evidence: Evidence) -> Realised:
    """Search each record's field for the pattern of every value; more than one that fits is `SEVERAL`.

    What stands inside a longer match of another value does not count: "phone" in "headphones" is no phone.

    Parameters
    ----------
    dimension : CheckedDimension
        Whose check has the kind ``regex``. A value without a pattern is never found.
    evidence : Evidence
        Records and items.

    Returns
    -------
    Realised
    """
    assert dimension.check is not None  # noqa: S101 - the caller chose by its kind
    patterns = {value: re.compile(pattern) for value, pattern in dimension.check.patterns.items()}
    found: list[str | None] = []
    for value in _fields(dimension, evidence):
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        fitting = _fitting(text, patterns)
        found.append(fitting[0] if len(fitting) == 1 else SEVERAL if fitting else ABSENT)
    lacking = [value for value in dimension.values if value not in patterns]
    reason = f"no pattern for {', '.join(lacking)}" if lacking else ""
    return Realised(found, reason)


def _fitting(text: str, patterns: Mapping[str, re.Pattern[str]]) -> list[str]:
    """List the values with a match that is not part of a longer match of another value."""
    spans = {
        name: [match.span() for match in itertools.islice(pattern.finditer(text), MAX_MATCHES)]
        for name, pattern in patterns.items()
    }

    def is_free(name: str, start: int, end: int) -> bool:
        others = (span for other, found in spans.items() if other != name for span in found)
        return not any(low <= start and end <= high and high - low > end - start for low, high in others)

    return [name for name, found in spans.items() if any(is_free(name, *span) for span in found)]


def _fields(dimension: CheckedDimension, evidence: Evidence) -> Sequence[Any]:
    """Give what the check looks at: a field of the item, or the record's prompt or response."""
    name = "prompt" if dimension.check is None else dimension.check.field
    items = [item if isinstance(item, dict) else {} for item in evidence.items]
    if any(name in item for item in items) or name not in evidence.records.columns:
        return [item.get(name) for item in items]
    return evidence.records[name].to_list()


def normalised_value(value: object) -> str:
    """Return a value without what does not distinguish values: case, width, space, ``_`` and ``-``.

    Examples
    --------
    >>> [normalised_value(value) for value in ("Very_Angry ", "very-angry", 5, 5.0, "5", True)]
    ['very angry', 'very angry', '5', '5', '5', 'true']
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
