"""Values at the edge, made from ordinary ones: at limits, extreme, missing, of a wrong type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.edge_extremes import DEEP_LEVELS, HUGE_LIST
from tasksel.synthesis.edge_measures import is_blank
from tasksel.synthesis.edge_places import ABSENT, limits_of
from tasksel.synthesis.edge_texts import SKIP, fitted_text, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tasksel.synthesis.edge_places import Place
    from tasksel.synthesis.edge_texts import Builder

__all__ = ["BOUNDARY_VARIANTS", "EXTREME_VARIANTS", "INVALID_VARIANTS", "MISSING_VARIANTS"]

MAX_BOUNDARY_CHARS: Final = 200_000
MAX_BOUNDARY_ELEMENTS: Final = 10_000
EXTRA_FIELD: Final = "unexpected_field"

_DAY_CHARS: Final = len("2024-01-31")
_MEASURED: Final = ("text", "list")
_NUMBERS: Final = ("integer", "number")


# Boundary


def _at_end(place: Place, rng: np.random.Generator, *, is_high: bool, inwards: int) -> Any:
    """Return the value at a limit, or the one `inwards` steps inside it."""
    limits = limits_of(place)
    end = limits.high if is_high else limits.low
    if end is None and not is_high and not limits.is_set and place.kind in _MEASURED:
        end = 0
    if end is None:
        return SKIP
    if inwards:
        end = limits.near(end, towards=-1 if is_high else 1)
    if place.kind in _NUMBERS:
        return end
    return _sized(place, int(end), rng)


def _sized(place: Place, size: int, rng: np.random.Generator) -> Any:
    if place.kind == "text":
        return SKIP if size > MAX_BOUNDARY_CHARS else fitted_text(place.value, size, rng)
    return SKIP if size > MAX_BOUNDARY_ELEMENTS else _grown(place.value, size)


def _grown(elements: list[Any], size: int) -> Any:
    """Return a list of `size` elements; those past the given ones repeat them, told apart where possible."""
    if len(elements) >= size:
        return elements[:size]
    if not elements:
        return SKIP
    grown = list(elements)
    for number in range(len(elements), size):
        element = elements[number % len(elements)]
        if isinstance(element, str):
            element = f"{element} {number}"
        elif isinstance(element, int) and not isinstance(element, bool):
            element += number
        grown.append(element)
    return grown


def _choice(place: Place, position: int) -> Any:
    values = place.schema.get("enum", ())
    return values[position] if place.kind == "choice" and len(values) > 1 else SKIP


BOUNDARY_VARIANTS: Final[Mapping[str, Builder]] = {
    "lowest": lambda place, rng: _at_end(place, rng, is_high=False, inwards=0),
    "next-to-lowest": lambda place, rng: _at_end(place, rng, is_high=False, inwards=1),
    "next-to-highest": lambda place, rng: _at_end(place, rng, is_high=True, inwards=1),
    "highest": lambda place, rng: _at_end(place, rng, is_high=True, inwards=0),
    "first-choice": lambda place, _: _choice(place, 0),
    "last-choice": lambda place, _: _choice(place, -1),
}


# Missing


def _is_property(place: Place) -> bool:
    return bool(place.path) and isinstance(place.path[-1], str) and not is_blank(place.value)


def _blank(place: Place) -> Any:
    empties: dict[type, Any] = {str: "", list: [], dict: {}}
    return empties.get(type(place.value), SKIP) if _is_property(place) else SKIP


def _spaces(place: Place, rng: np.random.Generator) -> Any:
    is_text = isinstance(place.value, str) and _is_property(place)
    return pick(rng, (" ", "   ", "\t", "\n", " \n\t ", "\u00a0\u3000")) if is_text else SKIP


MISSING_VARIANTS: Final[Mapping[str, Builder]] = {
    "null": lambda place, _: None if _is_property(place) else SKIP,
    "absent": lambda place, _: ABSENT if _is_property(place) else SKIP,
    "empty": lambda place, _: _blank(place),
    "whitespace": _spaces,
}


# Invalid but parseable


def _wrong_type(place: Place, rng: np.random.Generator) -> Any:
    value = place.value
    others = [42, [value], {"value": value}, True]
    if place.kind in _NUMBERS:
        others = [[value], {"value": value}, True]
    elif place.kind == "list":
        others = [", ".join(map(str, value)) or "none", {"0": value}]
    elif place.kind == "object":
        others = [[[name, each] for name, each in value.items()], "object"]
    elif place.kind == "boolean":
        others = ["yes" if value else "no", int(value)]
    return SKIP if place.kind in ("absent", "null") or not place.path else pick(rng, others)


def _as_text(place: Place, rng: np.random.Generator) -> Any:
    value = place.value
    return pick(rng, (str(value), f" {value}", f"{value},0")) if place.kind in _NUMBERS else SKIP


def _negative(place: Place) -> Any:
    return -abs(place.value) or -1 if place.kind in _NUMBERS else SKIP


def _outside(place: Place, rng: np.random.Generator) -> Any:
    """Return a value one step past a limit."""
    limits = limits_of(place)
    ends = [(end, towards) for end, towards in ((limits.low, -1), (limits.high, 1)) if end is not None]
    if not ends:
        return SKIP
    end, towards = pick(rng, ends)
    value = limits.near(end, towards=towards)
    if place.kind in _NUMBERS:
        return value
    return SKIP if value < 0 else _sized(place, int(value), rng)


def _unlisted(place: Place, rng: np.random.Generator) -> Any:
    if place.kind != "choice":
        return SKIP
    value = place.value
    if isinstance(value, str):
        return pick(rng, (value + "?", value.swapcase() or "other", f" {value}"))
    return "other"


def _impossible_day(place: Place, rng: np.random.Generator) -> Any:
    day = pick(rng, ("2023-02-30", "2023-02-29", "2024-04-31", "2024-13-01", "2024-00-10", "1900-02-29"))
    return day + place.value[_DAY_CHARS:] if place.kind == "date" else SKIP


def _extra_field(place: Place, rng: np.random.Generator) -> Any:
    if place.kind != "object" or EXTRA_FIELD in place.value:
        return SKIP
    return {**place.value, EXTRA_FIELD: pick(rng, (1, "", None, [1, 2], {"nested": True}))}


INVALID_VARIANTS: Final[Mapping[str, Builder]] = {
    "wrong-type": _wrong_type,
    "number-as-text": _as_text,
    "negative": lambda place, _: _negative(place),
    "out-of-range": _outside,
    "not-listed": _unlisted,
    "impossible-date": _impossible_day,
    "extra-field": _extra_field,
}


# Extreme


def _number(*, whole: tuple[int, ...], real: tuple[float, ...]) -> Builder:
    def build(place: Place, rng: np.random.Generator) -> Any:
        if place.kind not in _NUMBERS:
            return SKIP
        values = whole if place.kind == "integer" else (*whole, *real)
        return pick(rng, values) if values else SKIP

    return build


def _date(*days: str) -> Builder:
    def build(place: Place, rng: np.random.Generator) -> Any:
        return pick(rng, days) + place.value[_DAY_CHARS:] if place.kind == "date" else SKIP

    return build


def _huge_list(place: Place) -> Any:
    if place.kind != "list":
        return SKIP
    high = limits_of(place).high
    return _grown(place.value, 2 * HUGE_LIST if high is None else min(2 * HUGE_LIST, int(high)))


def _nested(place: Place, rng: np.random.Generator) -> Any:
    """Nest an added field, where the schema lets anything be added."""
    if place.kind != "object" or place.schema.get("additionalProperties", True) is not True:
        return SKIP
    value: Any = "deep"
    for _ in range(2 * DEEP_LEVELS):
        value = pick(rng, ([value], {"a": value}))
    return {**place.value, EXTRA_FIELD: value}


EXTREME_VARIANTS: Final[Mapping[str, Builder]] = {
    "largest-number": _number(
        whole=(2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30), real=(1.7976931348623157e308,)
    ),
    "smallest-number": _number(
        whole=(-(2**31), -(2**31) - 1, -(2**63), -(2**63) - 1), real=(-1.7976931348623157e308,)
    ),
    "tiny-number": _number(whole=(), real=(5e-324, -5e-324, 1e-308, -0.0)),
    "earliest-date": _date("0001-01-01", "1900-01-01", "1969-12-31"),
    "latest-date": _date("9999-12-31", "2038-01-19", "2100-02-28"),
    "huge-list": lambda place, _: _huge_list(place),
    "deep-nesting": _nested,
}
