"""Places of an item: its values beside what the JSON Schema says of each, and the item with one changed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from tasksel.whole_numbers import is_finite_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "ABSENT",
    "ROOT",
    "Limits",
    "Place",
    "find_places",
    "is_written_like_a_date",
    "json_type",
    "limits_of",
    "main_text",
    "path_name",
    "replaced",
    "type_names",
    "without",
]

ROOT: Final = "$"
"""Name of the place that is the whole item."""
MAX_DEPTH: Final = 12
"""Levels of an item that are looked into."""
MAX_ELEMENTS: Final = 3
"""Elements of a list that are looked at one by one."""
WIDE_VALUES: Final = 10
"""A range with more values than this is wide: an ordinary item is at its end seldom."""

_PLAIN_NAME: Final = re.compile(r"[^\W\d]\w*")
_WRITTEN_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?", re.ASCII)
_DATE_FORMATS: Final = frozenset({"date", "date-time"})
_LOWER_ENDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_ENDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


class _Absent:
    """The value of a place that the item does not have."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Place:
    """One value of an item, or one that the schema knows and the item lacks.

    Attributes
    ----------
    path : tuple of str or int
        Property names and list positions from the root; empty for the item itself.
    value : object
        What stands there; `ABSENT` if nothing does.
    schema : mapping
        What the JSON Schema says of the place: references resolved, one branch of each choice taken.
    required : bool
        Whether the object around it must have it.
    """

    path: tuple[str | int, ...]
    value: Any
    schema: Mapping[str, Any]
    required: bool

    @property
    def name(self) -> str:
        """The path as people write it: ``customer.tags[0]``, and ``$`` for the item itself."""
        return path_name(self.path)

    @property
    def kind(self) -> str:
        """One of absent, null, choice, boolean, integer, number, date, format, text, list, object.

        A choice is an enum or const; a format any text of a format that is not a date.
        """
        if self.value is ABSENT:
            return "absent"
        if self.value is None:
            return "null"
        if "enum" in self.schema or "const" in self.schema:
            return "choice"
        return _kind_of_value(self.value, self.schema)


@dataclass(frozen=True)
class Limits:
    """The lowest and highest number, length or count that a schema allows; None where it says nothing.

    Attributes
    ----------
    low, high : int, float or None
        Both are allowed themselves.
    is_float : bool
        The values are any numbers, and the next one is the next float.
    step : int
        From one whole value to the next.
    """

    low: int | float | None
    high: int | float | None
    is_float: bool = False
    step: int = 1

    @property
    def is_wide(self) -> bool:
        """Whether there are limits, and more than `WIDE_VALUES` values inside them."""
        if self.low is None or self.high is None:
            return self.low is not None or self.high is not None
        return self.is_float or (self.high - self.low) / self.step >= WIDE_VALUES

    @property
    def is_set(self) -> bool:
        """Whether the schema sets any limit."""
        return self.low is not None or self.high is not None

    def near(self, value: int | float, *, towards: int) -> int | float:
        """Return the next value above (`towards` 1) or below (-1)."""
        return math.nextafter(value, towards * math.inf) if self.is_float else value + towards * self.step


def path_name(path: Sequence[str | int]) -> str:
    """Return a path as people write it.

    Examples
    --------
    >>> path_name(("customer", "tags", 0)), path_name(()), path_name(("a b",))
    ('customer.tags[0]', '$', '["a b"]')
    """
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            name += f".{step}" if name else step
        else:
            name += f"[{json.dumps(step)}]"
    return name or ROOT


def find_places(item: Any, schema: Mapping[str, Any]) -> list[Place]:
    """Return the places of an item: itself, then all inside it that the item or the schema has.

    Parameters
    ----------
    item : object
        What ``json.loads`` gives.
    schema : mapping
        JSON Schema of the item; references into itself are followed, others say nothing here.

    Returns
    -------
    list of Place
        In the order of the schema's properties, then of the item's own. Of a list the first elements alone.

    Examples
    --------
    >>> schema = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    >>> [(place.name, place.kind) for place in find_places({"n": 1}, schema)]
    [('$', 'object'), ('text', 'absent'), ('n', 'integer')]
    """
    return list(_walk(item, _resolved(schema, schema, item), (), required=True, root=schema))


def _walk(
    value: Any, schema: Mapping[str, Any], path: tuple[str | int, ...], *, required: bool, root: Any
) -> Iterator[Place]:
    yield Place(path, value, schema, required)
    if len(path) >= MAX_DEPTH:
        return
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        needed = schema.get("required", ())
        rest = schema.get("additionalProperties", {})
        for name in [*properties, *(key for key in value if key not in properties)]:
            inner = value.get(name, ABSENT)
            said = _resolved(properties.get(name, rest), root, inner)
            yield from _walk(inner, said, (*path, name), required=name in needed, root=root)
    elif isinstance(value, list):
        first = schema.get("prefixItems", [])
        for position, inner in enumerate(value[:MAX_ELEMENTS]):
            said = first[position] if position < len(first) else schema.get("items", {})
            yield from _walk(inner, _resolved(said, root, inner), (*path, position), required=True, root=root)


def _resolved(schema: Any, root: Any, value: Any, *, depth: int = 0) -> dict[str, Any]:
    """Return a schema without references, ``allOf`` or branches; of branches the one that `value` is of."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {}
    said = {key: each for key, each in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
    parts = [_referred(schema["$ref"], root)] if "$ref" in schema else []
    parts += schema.get("allOf", [])
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            parts.append(_branch(schema[key], root, value, depth))
    for part in parts:
        said = _merged(said, _resolved(part, root, value, depth=depth + 1))
    return said


def _referred(reference: Any, root: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return {}
    found = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            return {}
        found = found[key]
    return found


def _branch(branches: Sequence[Any], root: Any, value: Any, depth: int) -> Any:
    """Return the first branch of the value's type, else the first that is not null's."""
    resolved = [_resolved(each, root, value, depth=depth + 1) for each in branches]
    if value is not ABSENT:
        for each in resolved:
            if _is_of_type(value, each):
                return each
    return next((each for each in resolved if each.get("type") != "null"), {})


def _is_of_type(value: Any, schema: Mapping[str, Any]) -> bool:
    names = type_names(schema)
    return json_type(value) in names or (json_type(value) == "integer" and "number" in names)


def type_names(schema: Mapping[str, Any]) -> Sequence[str]:
    """Return the types that a schema names, none if it names none."""
    types = schema.get("type")
    return [types] if isinstance(types, str) else types or ()


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {**other, **one}
    for key in _LOWER_ENDS:
        if key in one and key in other:
            both[key] = max(one[key], other[key])
    for key in _UPPER_ENDS:
        if key in one and key in other:
            both[key] = min(one[key], other[key])
    for key, join in (("properties", dict), ("required", list)):
        if key in one and key in other:
            both[key] = {**other[key], **one[key]} if join is dict else [*one[key], *other[key]]
    return both


def json_type(value: Any) -> str:
    """Return what JSON Schema calls the type of a value; a whole number is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for type_, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, type_):
            return name
    return "object"


def _kind_of_value(value: Any, schema: Mapping[str, Any]) -> str:
    type_ = json_type(value)
    if type_ == "integer":
        # 3 under {"type": "number"} is any number that happens to be whole.
        return "number" if "number" in type_names(schema) else "integer"
    if type_ == "string":
        format_ = schema.get("format")
        if format_ in _DATE_FORMATS or (format_ is None and is_written_like_a_date(value)):
            return "date"
        return "text" if format_ is None else "format"
    return {"array": "list"}.get(type_, type_)


def is_written_like_a_date(text: str) -> bool:
    """Return whether a text has the shape of an ISO date, with a time or without; any digits will do."""
    return _WRITTEN_DATE.fullmatch(text) is not None


def limits_of(place: Place) -> Limits:
    """Return the limits of a number, of a text's length or of a list's count; nothing for other kinds."""
    schema, kind = place.schema, place.kind
    if kind == "text":
        return Limits(_whole(schema.get("minLength")), _whole(schema.get("maxLength")))
    if kind == "list":
        return Limits(_whole(schema.get("minItems")), _whole(schema.get("maxItems")))
    if kind in ("integer", "number"):
        return _number_limits(schema, is_float=kind == "number")
    return Limits(None, None)


def _number_limits(schema: Mapping[str, Any], *, is_float: bool) -> Limits:
    step = schema.get("multipleOf", 1)
    if is_float and isinstance(step, int) and "multipleOf" in schema:
        is_float = False
    step = step if isinstance(step, int) and step > 0 else 1
    ends = Limits(None, None, is_float, step)
    low, high = _end(schema, "minimum", "exclusiveMinimum"), _end(schema, "maximum", "exclusiveMaximum")
    return Limits(_inside(low, ends, 1), _inside(high, ends, -1), is_float, step)


def _end(schema: Mapping[str, Any], inclusive: str, exclusive: str) -> tuple[int | float, bool] | None:
    """Return one end of a range, and whether it is itself outside; draft 4 has a boolean for that."""
    closed, opened = schema.get(inclusive), schema.get(exclusive)
    if opened is True and _is_number(closed):
        return closed, True
    ends: list[tuple[int | float, bool]] = []
    for value, is_open in ((closed, False), (opened, True)):
        if _is_number(value):
            ends.append((value, is_open))
    if not ends:
        return None
    pick = max if inclusive == "minimum" else min
    return pick(ends, key=lambda end: (end[0], end[1] == (inclusive == "minimum")))


def _inside(end: tuple[int | float, bool] | None, ends: Limits, inwards: int) -> int | float | None:
    if end is None or not is_finite_number(end[0]):
        return None  # a whole number past all floats is as far as infinity
    value, is_open = end
    if ends.is_float:
        return ends.near(value, towards=inwards) if is_open else value
    step = ends.step
    whole = -(-value // step) * step if inwards > 0 else value // step * step
    whole = int(whole)
    return whole + inwards * step if is_open and whole == value else whole


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> int | None:
    return int(value) if is_finite_number(value) else None


def main_text(places: Sequence[Place]) -> Place | None:
    """Return the place of the longest free text, the first of equals, or None."""
    texts = [place for place in places if place.kind == "text"]
    return max(texts, key=lambda place: len(place.value), default=None)


def replaced(item: Any, path: Sequence[str | int], value: Any) -> Any:
    """Return a copy of an item with another value at a place; what is not on the path is shared.

    Examples
    --------
    >>> replaced({"a": [1, 2]}, ("a", 0), 9)
    {'a': [9, 2]}
    """
    if not path:
        return value
    copy: Any = dict(item) if isinstance(item, dict) else list(item)
    inner = item.get(path[0]) if isinstance(item, dict) else item[path[0]]
    copy[path[0]] = replaced(inner, path[1:], value) if len(path) > 1 else value
    return copy


def without(item: Any, path: Sequence[str | int]) -> Any:
    """Return a copy of an item that lacks a place.

    Examples
    --------
    >>> without({"a": {"b": 1, "c": 2}}, ("a", "b"))
    {'a': {'c': 2}}
    """
    if len(path) > 1:
        return replaced(item, path[:1], without(item[path[0]], path[1:]))
    copy: Any = dict(item) if isinstance(item, dict) else list(item)
    del copy[path[0]]
    return copy
