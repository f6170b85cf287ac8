"""One item at a time: whether it keeps to the schema, and what is wrong in words that can be sent back."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.synthesis.item_schema import find_errors, make_validator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["AcceptedItem", "ItemCheck", "item_json"]

_MOST_ERRORS: Final = 3
_SHOWN_CHARS: Final = 200


class AcceptedItem(NamedTuple):
    """An item that fills a planned example.

    Attributes
    ----------
    content : dict
        As it was written.
    request_key : str
        Of the reply that holds it.
    repairs : tuple of str
        What had to be mended to read it.
    """

    content: dict[str, Any]
    request_key: str
    repairs: tuple[str, ...]


class ItemCheck:
    """Checks items against a JSON Schema.

    Parameters
    ----------
    schema : mapping
        Of one item.

    Raises
    ------
    MissingExtraError
        jsonschema is not installed.
    ConfigError
        The schema is not a valid one.

    Examples
    --------
    >>> check = ItemCheck({"type": "object", "properties": {"n": {"type": "integer"}}})
    >>> check.find_problem({"n": 1}), check.find_problem({"n": "1"})
    ('', "n: '1' is not of type 'integer'")
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = make_validator(schema, complaint="[schema] is no JSON Schema")

    def find_problem(self, item: Any, *, may_break_schema: bool = False) -> str:
        """Say what is wrong with an item; empty where nothing is.

        Parameters
        ----------
        item : Any
            A JSON value.
        may_break_schema : bool
            Only what no file can hold is wrong: an edge case may be one for breaking the schema.

        Raises
        ------
        ConfigError
            The schema refers to what is not in it.
        """
        if not isinstance(item, dict):
            return f"{_shown(item)} is not an object"
        impossible = next(_find_impossible(item), "")
        if impossible or may_break_schema:
            return impossible
        try:
            found = find_errors(self._validator, item)
        except (OverflowError, RecursionError):
            return "it holds a number or a nesting past what can be checked"
        errors = sorted(found, key=lambda error: list(map(str, error.absolute_path)))
        lines = [
            f"{'.'.join(map(str, error.absolute_path)) or 'the item'}: {_clipped(error.message)}"
            for error in errors[:_MOST_ERRORS]
        ]
        return "; ".join(lines)


def item_json(item: Any) -> str:
    """Write an item as JSON on one line, fields in their order."""
    return json.dumps(item, ensure_ascii=False, allow_nan=False)


def _find_impossible(value: Any, depth: int = 0) -> Iterator[str]:
    """Find what JSON or UTF-8 cannot hold, although Python read it."""
    if depth > 100:
        yield "it is nested too deeply"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{value} is no number that JSON has"
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        yield "half of a surrogate pair is no character"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _find_impossible(key, depth + 1)
            yield from _find_impossible(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _find_impossible(inner, depth + 1)


def _shown(value: Any) -> str:
    try:
        return _clipped(json.dumps(value, ensure_ascii=False))
    except RecursionError:  # json.loads goes a little deeper than json.dumps
        return "what is nested too deeply"


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
