"""Keys that stand twice in one JSON object: of two prompts of a row, no reader may choose in silence.

JSON allows it, Python takes the last value and Polars the first. Only what may have it is parsed for that: a
line in which the name of a column stands twice, a file in which it stands more often than in its rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["check_item_keys_once", "check_keys_once"]

_MEANT: Final = (
    "task",
    "prompt",
    "completion",
    "response",
    "messages",
    "conversations",
    "instruction",
    "output",
    "token_logprobs",
)
"""Columns whose values decide, but for those that objects inside a row often have as well (`id`, `input`): a
file with these would have to be read twice."""
_BLOCK_BYTES: Final = 1 << 24


class _Row(dict[str, Any]):
    """An object that knows the first of its keys that stood twice."""

    repeated: str | None = None


def check_keys_once(path: Path, columns: Iterable[str]) -> None:
    """Refuse a JSON Lines file in which a row has a key twice.

    Parameters
    ----------
    path : Path
        Every line that is not blank is one JSON object.
    columns : iterable of str
        Keys that there are.

    Raises
    ------
    SchemaError
        The message has the line and the key.
    """
    there = set(columns)
    names = [json.dumps(name).encode() for name in _MEANT if name in there]
    first_line = 1
    with path.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            block += source.readline()
            n_lines = block.count(b"\n") + 1
            doubtful = [name for name in names if _is_twice_in_a_line(block, name)]
            if doubtful:
                _check_lines(path, block, doubtful, first_line)
            first_line += n_lines - 1


def _is_twice_in_a_line(block: bytes, name: bytes) -> bool:
    at = block.find(name)
    while at >= 0:
        following = block.find(name, at + len(name))
        if following >= 0 and block.find(b"\n", at, following) < 0:
            return True
        at = following
    return False


def _check_lines(path: Path, block: bytes, names: list[bytes], first_line: int) -> None:
    for number, line in enumerate(block.split(b"\n"), first_line):
        if any(line.count(name) > 1 for name in names):
            _refuse(f"{path.name}, line {number:,}", _DECODER.decode(line.decode("utf-8-sig")))


def check_item_keys_once(path: Path, raw: bytes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a JSON file in which a row has a key twice.

    Parameters
    ----------
    path : Path
        For the message.
    raw : bytes
        A list of objects, or an object whose ``data`` is one.
    rows : sequence of mapping
        The objects of that list.

    Raises
    ------
    SchemaError
        The message has the row and the key.
    """
    if all(raw.count(json.dumps(name).encode()) <= sum(name in row for row in rows) for name in _MEANT):
        return
    content = _DECODER.decode(raw.decode("utf-8"))
    for position, row in enumerate(content["data"] if isinstance(content, dict) else content):
        _refuse(f"{path.name}, item {position:,} (from 0)", row)


def _marked(pairs: list[tuple[str, Any]]) -> _Row:
    row = _Row(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                row.repeated = name
                break
            seen.add(name)
    return row


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_marked)


def _refuse(where: str, row: _Row) -> None:
    if row.repeated is not None:
        raise SchemaError(f"{where} has the key {row.repeated[:80]!r} twice; each key stands once in a row.")
