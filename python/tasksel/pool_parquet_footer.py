"""The footer of a Parquet file: how many values its columns hold, before any of them is unfolded.

A run of equal values takes a few bytes on the disk, whatever its length: a file of 300 bytes can hold more
values than any machine has memory for. Polars and pyarrow find that out by allocating. The footer says it: it
is Thrift in its compact protocol (https://github.com/apache/parquet-format, ``FileMetaData``), of which only
what is counted here is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ColumnSize", "read_column_sizes"]

_TAIL_BYTES: Final = 8
_MOST_LEVELS: Final = 32
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_VALUE_BYTES: Final = {0: 0.125, 1: 4.0, 2: 8.0, 3: 8.0, 4: 4.0, 5: 8.0, 6: 16.0}
"""In memory, by physical type; texts and bytes (6) have a view of 16 bytes each, beside what it looks at."""
_BYTE_ARRAY, _FIXED = 6, 7
_SMALL_INTEGERS: Final = {11: 1.0, 12: 2.0, 15: 1.0, 16: 2.0}
"""Integers of one and two bytes, by converted type; they are kept as four on the disk."""


class ColumnSize(NamedTuple):
    """A column of a file.

    Parameters
    ----------
    name : str
        Of the column; of a list or struct, that of the outermost.
    values : int
        That it holds, those inside lists counted one by one.
    memory_bytes : int
        What they take in memory at least.
    """

    name: str
    values: int
    memory_bytes: int


def read_column_sizes(path: Path) -> list[ColumnSize] | None:
    """Read what the columns of a Parquet file come to.

    Parameters
    ----------
    path : Path
        The file; it begins and ends with PAR1.

    Returns
    -------
    list of ColumnSize or None
        One a column, the parts of a struct together; None where the footer is damaged, which a reader of
        Parquet explains.
    """
    try:
        with path.open("rb") as source:
            size = source.seek(0, 2)
            source.seek(size - _TAIL_BYTES)
            length = int.from_bytes(source.read(4), "little")
            source.seek(size - _TAIL_BYTES - length)
            footer = source.read(length)
        return _column_sizes(_Thrift(footer).struct())
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None  # any field may be missing, or of another kind than it ought to be


def _column_sizes(footer: dict[int, Any]) -> list[ColumnSize]:
    leaves = [element for element in footer[2] if 1 in element]
    sizes: dict[str, ColumnSize] = {}
    for group in footer[4]:
        for leaf, chunk in zip(leaves, group[1], strict=True):
            meta = chunk[3]
            name = meta[3][0].decode("utf-8", errors="replace")
            before = sizes.get(name, ColumnSize(name, 0, 0))
            n_values = max(0, meta[5])
            n_bytes = int(n_values * _bytes_of_a_value(leaf))
            if meta[1] == _BYTE_ARRAY:
                n_bytes += max(0, meta[6])
            sizes[name] = ColumnSize(name, before.values + n_values, before.memory_bytes + n_bytes)
    return list(sizes.values())


def _bytes_of_a_value(leaf: dict[int, Any]) -> float:
    if leaf[1] == _FIXED:
        return float(leaf.get(2, 0))
    small = _SMALL_INTEGERS.get(leaf.get(6, -1))
    return _VALUE_BYTES[leaf[1]] if small is None else small


class _Thrift:
    """Reads structs of Thrift's compact protocol, as dicts by the number of the field."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._depth = 0

    def struct(self) -> dict[int, Any]:
        self._depth += 1
        if self._depth > _MOST_LEVELS:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 0x0F
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        self._depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            return self._list()
        if kind in (_BYTE, _TRUE, _FALSE):
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ValueError(f"type {kind}")  # a map, which no footer has

    def _list(self) -> list[Any]:
        head = self._byte()
        length = head >> 4 if head >> 4 != 0x0F else self._varint()
        if length > len(self._content):  # each item takes a byte at least
            raise ValueError(f"{length} items")
        return [self._value(head & 0x0F) for _ in range(length)]

    def _byte(self) -> int:
        value = self._content[self._at]
        self._at += 1
        return value

    def _bytes(self, length: int) -> bytes:
        if length > len(self._content) - self._at:
            raise ValueError(f"{length} bytes")
        self._at += length
        return self._content[self._at - length : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
