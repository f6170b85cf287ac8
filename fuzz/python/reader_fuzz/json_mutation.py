"""Mutations of JSON that keep it JSON, so that a fuzzer gets past the parser to what reads the values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from reader_fuzz.decisions import SPECIAL_TEXTS

if TYPE_CHECKING:
    import random

__all__ = ["mutate_json"]

_RAW_VALUES: Final = (
    "null",
    "true",
    "0",
    "-0.0",
    "1.5",
    "1e400",
    "-1e-400",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1" + "0" * 40,
    "9" * 330,
    "NaN",
    "-Infinity",
    "[]",
    "{}",
    '""',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000\\u001b[31m"',
    '"2020-01-01T00:00:00Z"',
    "[" * 120 + "]" * 120,
    '{"a":' * 110 + "0" + "}" * 110,
)
"""Values that one parser takes, and another does not or otherwise."""
_LONG_CHARS: Final = 500


class _Raw(str):
    """JSON text that is written as it is."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, whose keys may repeat."""


def mutate_json(text: str, names: tuple[str, ...], rng: random.Random) -> str | None:
    """Change a value or two of a JSON text, or of a line of JSON Lines; None where there is no JSON.

    Parameters
    ----------
    text : str
        One value, or one a line.
    names : tuple of str
        Keys that mean something to the reader.
    rng : random.Random
        Decides.
    """
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
        for _ in range(1 + rng.randrange(3)):
            value = _mutated(value, names, rng)
        return _written(value, ascii_only=rng.random() < 0.5)
    except (ValueError, RecursionError):
        return _mutate_line(text, names, rng)


def _mutate_line(text: str, names: tuple[str, ...], rng: random.Random) -> str | None:
    lines = text.split("\n")
    if len(lines) < 2:
        return None
    place = rng.randrange(len(lines))
    choice = rng.random()
    if choice < 0.1:
        return "\n".join(lines[:place] + lines[place + 1 :])
    if choice < 0.2:
        return "\n".join([*lines, lines[place]])
    try:
        value = _mutated(json.loads(lines[place], object_pairs_hook=_Pairs), names, rng)
        lines[place] = _written(value, ascii_only=rng.random() < 0.5)
    except (ValueError, RecursionError):
        return None
    return "\n".join(lines)


def _mutated(value: Any, names: tuple[str, ...], rng: random.Random) -> Any:
    """Change a value, or something in it."""
    if isinstance(value, list) and value and rng.random() < 0.75:
        return _with_changed_part(value, names, rng)
    choice = rng.randrange(6)
    if choice == 0:
        return _Raw(rng.choice(_RAW_VALUES))
    if choice == 1:
        return rng.choice(SPECIAL_TEXTS)
    if choice == 2:
        return [value]
    if choice == 3:
        return _Pairs([(rng.choice(names), value)])
    if choice == 4 and isinstance(value, _Pairs):
        return _Pairs([*value, (rng.choice(names), rng.choice(SPECIAL_TEXTS))])
    return value * 2 if isinstance(value, str) and len(value) < _LONG_CHARS else rng.randrange(-2, 300)


def _with_changed_part(value: list[Any], names: tuple[str, ...], rng: random.Random) -> list[Any]:
    parts = type(value)(value)
    place = rng.randrange(len(parts))
    choice = rng.random()
    if choice < 0.1:
        del parts[place]
    elif choice < 0.2:
        parts.insert(rng.randrange(len(parts) + 1), parts[place])
    elif isinstance(value, _Pairs):
        key, inner = parts[place]
        is_renamed = rng.random() < 0.25
        parts[place] = (rng.choice(names), inner) if is_renamed else (key, _mutated(inner, names, rng))
    else:
        parts[place] = _mutated(parts[place], names, rng)
    return parts


def _written(value: Any, *, ascii_only: bool) -> str:
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, _Pairs):
        pairs = (
            f"{json.dumps(key, ensure_ascii=ascii_only)}: {_written(inner, ascii_only=ascii_only)}"
            for key, inner in value
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_written(inner, ascii_only=ascii_only) for inner in value)}]"
    return json.dumps(value, ensure_ascii=ascii_only)
