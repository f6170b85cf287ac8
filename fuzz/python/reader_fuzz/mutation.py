"""Mutations of inputs by what they are: JSON stays JSON, a table a table, and Parquet gets a new footer."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from reader_fuzz.decisions import SPECIAL_TEXTS, Decisions
from reader_fuzz.frames import build_frame
from reader_fuzz.json_mutation import mutate_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEAD_BYTES", "Mutator", "kind_of"]

HEAD_BYTES: Final = 2
"""Bytes before the content: what it is, and how it is read."""
_KEEP_HEAD: Final = 0.9
_STRUCTURED: Final = 0.6
_FOOTER_END: Final = 8


def kind_of(data: bytes, heads: bytes) -> bytes:
    """Return what an input is: its first byte, or one of `heads` in the place of any other.

    Examples
    --------
    >>> kind_of(b"b-x", b"ab"), kind_of(b"", b"ab"), kind_of(bytes([3]), b"ab")
    (b'b', b'a', b'b')
    """
    first = data[0] if data else 0
    return bytes([first if first in heads else heads[first % len(heads)]])


@dataclass(frozen=True)
class Mutator:
    """Mutates the inputs of one target.

    Parameters
    ----------
    heads : bytes
        First bytes that there are.
    json, table, parquet : bytes
        Those of inputs that are JSON, a table of text, or Parquet.
    names : tuple of str
        Names of fields that mean something to the reader.
    leading : tuple of str
        Those of which it needs one.
    """

    heads: bytes
    json: bytes
    names: tuple[str, ...]
    table: bytes = b""
    parquet: bytes = b""
    leading: tuple[str, ...] = ()

    def mutate(
        self, data: bytes, most_bytes: int, seed: int, mutate_bytes: Callable[[bytes, int], bytes]
    ) -> bytes:
        """Return another input.

        Parameters
        ----------
        data : bytes
            The input.
        most_bytes : int
            Longest input.
        seed : int
            Equal ones give equal inputs.
        mutate_bytes : callable
            The fuzzer's own mutation: bytes and the most of them -> bytes.
        """
        rng = random.Random(seed)
        head, body = data[:HEAD_BYTES], data[HEAD_BYTES:]
        if len(head) < HEAD_BYTES or rng.random() > _KEEP_HEAD:
            head = bytes([rng.choice(self.heads), rng.choice(b"-abit")])
        mutated = self._structured(head[:1], body, rng) if rng.random() < _STRUCTURED else None
        if mutated is None:
            mutated = mutate_bytes(body, most_bytes - HEAD_BYTES)
        return (head + mutated)[:most_bytes]

    def _structured(self, kind: bytes, body: bytes, rng: random.Random) -> bytes | None:
        if kind in self.json:
            mutated = mutate_json(body.decode("utf-8", "replace"), self.names, rng)
            return None if mutated is None else mutated.encode("utf-8", "replace")
        if kind in self.table:
            return _mutate_table(body, b"\t" if kind == b"t" else b",", self.names, rng)
        if kind in self.parquet:
            return self._mutate_parquet(body, rng)
        return None

    def _mutate_parquet(self, body: bytes, rng: random.Random) -> bytes | None:
        if len(body) < 64 or rng.random() < 0.15:
            return _new_parquet(self.leading, self.names, rng)
        mutated = bytearray(body)
        footer_bytes = int.from_bytes(body[-_FOOTER_END:-4], "little")
        end = len(body) - _FOOTER_END
        begin = max(4, end - footer_bytes)
        first = begin if begin < end and rng.random() < 0.7 else 4
        for _ in range(1 + rng.randrange(3)):
            place = rng.randrange(first, end)
            flipped = mutated[place] ^ (1 << rng.randrange(8))
            mutated[place] = rng.choice((rng.randrange(256), flipped, 0, 255))
        if rng.random() < 0.3:  # more bytes in the footer, whose length still fits
            place = rng.randrange(first, end)
            mutated[place:place] = rng.randbytes(1 + rng.randrange(4))
            mutated[-_FOOTER_END:-4] = (len(mutated) - _FOOTER_END - begin).to_bytes(4, "little")
        return bytes(mutated)


def _new_parquet(leading: tuple[str, ...], names: tuple[str, ...], rng: random.Random) -> bytes | None:
    file = io.BytesIO()
    try:
        frame = build_frame(Decisions(rng.randbytes(rng.randrange(300))), leading, names)
        frame.write_parquet(
            file,
            compression=rng.choice(("uncompressed", "snappy", "zstd")),
            statistics=rng.random() < 0.5,
            row_group_size=rng.choice((None, 1, 2)),
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return file.getvalue()


def _mutate_table(body: bytes, separator: bytes, names: tuple[str, ...], rng: random.Random) -> bytes:
    rows = [row.split(separator) for row in body.split(b"\n")]
    row = rng.choice(rows)
    place = rng.randrange(len(row))
    choice = rng.randrange(8)
    if choice == 0:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(names).encode()
    elif choice == 1:
        for each in rows:
            each.insert(min(place, len(each)), rng.choice(SPECIAL_TEXTS).encode())
    elif choice == 2:
        rows.insert(rng.randrange(len(rows) + 1), list(row))
    elif choice == 3:
        row[place] = b'"' + row[place].replace(b'"', b'""') + b'"'
    elif choice == 4:
        row[place] = rng.choice((b"-1", b"1e9", b"9" * 18, b"0x1", b"1_0", b"inf", b"true", b"007"))
    elif choice == 5:
        del row[place]
    elif choice == 6:
        row[-1] += rng.choice((b"\r", b"\r\n", b"\x00", b'"', b" "))
    else:
        row[place] = rng.choice(SPECIAL_TEXTS).encode()
    return b"\n".join(separator.join(each) for each in rows)
