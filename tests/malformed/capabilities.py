"""Root without the right to read and write what permissions forbid, as any other user has not got it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_override"]

_VERSION: Final = 0x20080522
_OVERRIDE_BITS: Final = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """Give the right up in this thread for a block; others than root have not got it."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _Header(_VERSION, 0), (_Data * 2)()
    _call(libc.capget, header, data)
    before = data[0].effective
    data[0].effective = before & ~_OVERRIDE_BITS
    _call(libc.capset, header, data)
    try:
        yield
    finally:
        data[0].effective = before
        _call(libc.capset, header, data)


def _call(function: object, header: _Header, data: object) -> None:
    if function(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be changed")
