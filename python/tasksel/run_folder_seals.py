"""Parquet files that carry the checksum of their own bytes: a changed one is known without a manifest.

Parquet pages have no checksum as polars writes them: a flipped bit can be read as another number. The file is
therefore written with a placeholder in its metadata, and the SHA-256 of all its bytes takes that place.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

from tasksel.run_folder import bytes_sha256, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

__all__ = ["BrokenSealError", "check_seal", "write_sealed_frame"]

_KEY: Final = "tasksel.file_sha256"
_DIGITS: Final = 64
_PLACEHOLDER: Final = b"0" * _DIGITS
_HEAD: Final = _KEY.encode() + bytes((0x18, _DIGITS))
"""What stands before the digits: the key, and Thrift's header of a text of so many bytes."""


class BrokenSealError(Exception):
    """A file has no checksum of its own, or another one than its bytes; its text says which."""


def write_sealed_frame(path: Path, frame: pl.DataFrame, *, metadata: Mapping[str, str]) -> str:
    """Write a frame as Parquet with the checksum of the file in it, atomically.

    Returns
    -------
    str
        SHA-256 of the whole file, as `file_sha256` gives it.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written to.
    """
    target = io.BytesIO()
    frame.write_parquet(target, metadata={**metadata, _KEY: _PLACEHOLDER.decode()})
    content = bytearray(target.getbuffer())
    start = _find_digits(content)
    content[start : start + _DIGITS] = bytes_sha256(content).encode()
    write_bytes(path, content)
    return bytes_sha256(content)


def check_seal(content: bytes) -> None:
    """Compare the bytes of a file with the checksum in it; nothing of them is parsed.

    Raises
    ------
    BrokenSealError
        They differ, or there is none.
    """
    start = _find_digits(content)
    digits = content[start : start + _DIGITS]
    digest = hashlib.sha256(memoryview(content)[:start])
    digest.update(_PLACEHOLDER)
    digest.update(memoryview(content)[start + _DIGITS :])
    if digest.hexdigest().encode() != digits:
        raise BrokenSealError("it is not as it was written")


def _find_digits(content: bytes | bytearray) -> int:
    start = content.rfind(_HEAD)  # the metadata stand last in a Parquet file
    if start < 0:
        raise BrokenSealError("it has no checksum: it was cut short, or tasksel has not written it")
    return start + len(_HEAD)
