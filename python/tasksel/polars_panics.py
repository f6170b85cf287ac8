"""What Polars prints of its own panics, kept from the terminal: the error that follows says what is needed.

A panic becomes an exception in Python, and Rust prints it before, to the standard error of the process, past
``sys.stderr``: some lines about the code of Polars, with a backtrace where ``RUST_BACKTRACE`` is set.

Some damages of a Parquet file are no panic: Polars asks for as many bytes as a run length says, and where
nobody has them the process is aborted, with all that it had printed. Python's own handler then says where.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["panics_kept_quiet"]

_STDERR: Final = 2
_PANIC: Final = b"panicked at"


class _Diversion:
    """Standard error of the process, led into a file while anybody reads; several threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._stderr = -1
        self._file: IO[bytes] | None = None
        self._is_told_of_aborts = False

    def begin(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._open()

    def end(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._close()

    def _open(self) -> None:
        with contextlib.suppress(OSError):  # no standard error, or no room for a file: then nothing is kept
            self._stderr = os.dup(_STDERR)
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by the last reader
            os.dup2(self._file.fileno(), _STDERR)
            if not faulthandler.is_enabled():
                faulthandler.enable(self._stderr)
                self._is_told_of_aborts = True

    def _close(self) -> None:
        if self._is_told_of_aborts:
            faulthandler.disable()
            self._is_told_of_aborts = False
        if self._stderr >= 0:
            os.dup2(self._stderr, _STDERR)
            os.close(self._stderr)
            self._stderr = -1
        if self._file is not None:
            self._file.seek(0)
            said = self._file.read()
            self._file.close()
            self._file = None
            if said and _PANIC not in said:
                with contextlib.suppress(OSError):
                    os.write(_STDERR, said)


_DIVERSION: Final = _Diversion()


@contextlib.contextmanager
def panics_kept_quiet() -> Iterator[None]:
    """Keep standard error until the block ends, and drop it if Polars has panicked in it.

    Examples
    --------
    >>> with panics_kept_quiet():
    ...     sum([1, 2])
    3
    """
    _DIVERSION.begin()
    try:
        yield
    finally:
        _DIVERSION.end()
