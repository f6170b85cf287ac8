"""Parquet files byte by byte: a few hundred bytes that stand for as many values as one likes.

A column of equal values is one dictionary entry and one run of it, whatever its length; no library writes
such a file on purpose, and any stranger can. The footer is Thrift in its compact protocol.
"""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["flat_bomb", "list_bomb"]

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
Field: TypeAlias = "tuple[int, int, object]"
_BYTE_ARRAY, _INT64 = 6, 2
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_REQUIRED, _OPTIONAL, _REPEATED = 0, 1, 2
_UTF8, _LIST_TYPE = 0, 3
MAGIC: Final = b"PAR1"


def flat_bomb(n_rows: int) -> bytes:
    """Return a file of one text column ``prompt`` with `n_rows` times the same text."""
    body, chunk = _chunk(b"", ["prompt"], n_rows, (b"", b""), _BYTE_ARRAY, b"\x01\x00\x00\x00a")
    schema = [_element("schema", children=1), _element("prompt", _BYTE_ARRAY, _REQUIRED, converted=_UTF8)]
    return _file(body, schema, [chunk], n_rows)


def list_bomb(n_values: int, column: str = "x") -> bytes:
    """Return a file of one row: a ``prompt``, and a list `column` of `n_values` equal numbers."""
    body, prompt = _chunk(b"", ["prompt"], 1, (b"", b""), _BYTE_ARRAY, b"\x01\x00\x00\x00a")
    # The first value begins the row, all others go on with its list; each is whole, at level 3 of 3.
    levels = (_runs([(1, 0), (n_values - 1, 1)], 1), _runs([(n_values, 3)], 1))
    path = [column, "list", "element"]
    body, numbers = _chunk(body, path, n_values, levels, _INT64, bytes(8))
    schema = [
        _element("schema", children=2),
        _element("prompt", _BYTE_ARRAY, _REQUIRED, converted=_UTF8),
        _element(column, repetition=_OPTIONAL, children=1, converted=_LIST_TYPE),
        _element("list", repetition=_REPEATED, children=1),
        _element("element", _INT64, _OPTIONAL),
    ]
    return _file(body, schema, [prompt, numbers], 1)


def _chunk(
    body: bytes, path: list[str], n_values: int, levels: tuple[bytes, bytes], kind: int, entry: bytes
) -> tuple[bytes, list[Field]]:
    """Append the two pages of a column: its one dictionary entry, and one run of it."""
    start = len(MAGIC) + len(body)
    dictionary = _struct([(1, _I32, 2), *_sizes(entry), (7, _STRUCT, [(1, _I32, 1), (2, _I32, _PLAIN)])])
    lengths = b"".join(len(each).to_bytes(4, "little") + each for each in levels if each)
    data = lengths + b"\x01" + _runs([(n_values, 0)], 1)  # one bit an index, then one run of them
    header = [(1, _I32, n_values), (2, _I32, _RLE_DICTIONARY), (3, _I32, _RLE), (4, _I32, _RLE)]
    page = _struct([(1, _I32, 0), *_sizes(data), (5, _STRUCT, header)])
    pages = dictionary + entry + page + data
    meta: list[Field] = [
        (1, _I32, kind),
        (2, _LIST, (_I32, [_PLAIN, _RLE, _RLE_DICTIONARY])),
        (3, _LIST, (_BINARY, path)),
        (4, _I32, 0),
        (5, _I64, n_values),
        (6, _I64, len(pages)),
        (7, _I64, len(pages)),
        (9, _I64, start + len(dictionary) + len(entry)),
        (11, _I64, start),
    ]
    return body + pages, [(2, _I64, start), (3, _STRUCT, meta)]


def _sizes(content: bytes) -> list[Field]:
    return [(2, _I32, len(content)), (3, _I32, len(content))]


def _runs(runs: list[tuple[int, int]], n_bytes: int) -> bytes:
    return b"".join(_varint(count << 1) + value.to_bytes(n_bytes, "little") for count, value in runs if count)


def _element(
    name: str,
    kind: int | None = None,
    repetition: int | None = None,
    *,
    children: int | None = None,
    converted: int | None = None,
) -> list[Field]:
    given = [
        (1, _I32, kind),
        (3, _I32, repetition),
        (4, _BINARY, name),
        (5, _I32, children),
        (6, _I32, converted),
    ]
    return [each for each in given if each[2] is not None]


def _file(body: bytes, schema: list[list[Field]], chunks: list[list[Field]], n_rows: int) -> bytes:
    group: list[Field] = [
        (1, _LIST, (_STRUCT, chunks)),
        (2, _I64, len(body)),
        (3, _I64, n_rows),
    ]
    footer = _struct(
        [
            (1, _I32, 1),
            (2, _LIST, (_STRUCT, schema)),
            (3, _I64, n_rows),
            (4, _LIST, (_STRUCT, [group])),
        ]
    )
    return MAGIC + body + footer + len(footer).to_bytes(4, "little") + MAGIC


def _struct(fields: list[Field]) -> bytes:
    written, last = b"", 0
    for number, kind, value in fields:
        written += bytes([(number - last) << 4 | kind]) + _value(kind, value)
        last = number
    return written + b"\0"


def _value(kind: int, value: object) -> bytes:
    if kind in (_I32, _I64):
        assert isinstance(value, int)
        return _varint(value << 1)
    if kind == _BINARY:
        assert isinstance(value, str)
        return _varint(len(value)) + value.encode()
    if kind == _LIST:
        assert isinstance(value, tuple)
        inner, items = value
        head = (
            bytes([len(items) << 4 | inner])
            if len(items) < 15
            else bytes([0xF0 | inner]) + _varint(len(items))
        )
        return head + b"".join(_value(inner, each) for each in items)
    assert isinstance(value, list)
    return _struct(value)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
