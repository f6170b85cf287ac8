"""Items against their JSON Schema: what breaks it, items as lines of JSON, a schema where there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasksel.synthesis.edge_places import is_written_like_a_date, json_type
from tasksel.synthesis.item_schema import find_errors, make_validator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check_schema", "find_violations", "infer_schema", "item_json"]


def item_json(item: Any) -> str:
    """Return an item as one line of JSON; halves of surrogate pairs, which UTF-8 cannot hold, are escaped.

    Raises
    ------
    ValueError
        The item holds NaN or an infinity, or is nested too deeply.
    """
    try:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(item, allow_nan=False)
    except RecursionError as error:
        raise ValueError("The item is nested too deeply.") from error
    return text


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a JSON Schema that is none, before anything reads it.

    Raises
    ------
    ConfigError
        The schema is wrong; the message says what about it.
    MissingExtraError
        jsonschema is not installed.

    Examples
    --------
    >>> check_schema({"properties": {"n": {"type": "whole"}}})
    Traceback (most recent call last):
    tasksel_core.errors.ConfigError: The JSON Schema is wrong: properties.n.type: 'whole' is not valid ...
    """
    make_validator(schema)


def find_violations(item: Any, schema: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str, Any]]:
    """Return what in an item breaks its schema: path, keyword and the value there.

    Formats are not asked about, as JSON Schema has it by default.

    Raises
    ------
    ConfigError
        The schema itself is wrong, or refers to what is not in it.
    MissingExtraError
        jsonschema is not installed.

    Examples
    --------
    >>> find_violations({"n": "5"}, {"properties": {"n": {"type": "integer"}}})
    [(('n',), 'type', '5')]
    """
    try:
        errors = find_errors(make_validator(schema), item)
    except (OverflowError, RecursionError):
        return [((), "unreadable", item)]
    return [(tuple(each.absolute_path), str(each.validator), each.instance) for each in errors]


def infer_schema(items: Sequence[Any]) -> dict[str, Any]:
    """Return the narrowest plain schema of some items: types, properties, what all of them have.

    For items without a schema of their own. Nothing is said of lengths and sizes.

    Examples
    --------
    >>> infer_schema([{"n": 1, "day": "2024-01-31"}, {"n": None}])["properties"]
    {'n': {'type': ['integer', 'null']}, 'day': {'type': 'string', 'format': 'date'}}
    """
    types = sorted({json_type(each) for each in items})
    if "integer" in types and "number" in types:
        types.remove("integer")
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types} if types else {}
    texts = [each for each in items if isinstance(each, str)]
    if texts and all(is_written_like_a_date(each) for each in texts):
        schema["format"] = "date" if all(len(each) == len("2024-01-31") for each in texts) else "date-time"
    objects = [each for each in items if isinstance(each, dict)]
    if objects:
        names = dict.fromkeys(name for each in objects for name in each)
        values = {name: [each[name] for each in objects if name in each] for name in names}
        schema["properties"] = {name: infer_schema(each) for name, each in values.items()}
        schema["required"] = [name for name in names if len(values[name]) == len(objects)]
        schema["additionalProperties"] = False
    elements = [each for listed in items if isinstance(listed, list) for each in listed]
    if elements:
        schema["items"] = infer_schema(elements)
    return schema
