"""Files that survive a kill: atomic writes, content hashes, and the manifest that is written last.

A stage owns one folder. It writes its settings first, its shards one by one (each with an atomic
rename), and its manifest last, so that the manifest's existence means that the stage completed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from typing import IO, TYPE_CHECKING, Any, Final

from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "atomic_path",
    "bytes_sha256",
    "file_sha256",
    "folder_lock",
    "is_folder_held",
    "named_in_errors",
    "read_json",
    "text_sha256",
    "write_bytes",
    "write_json",
    "write_text",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
"""Version of every folder layout that tasksel writes; a newer one is refused by an older tasksel."""
_LOCK_NAME: Final = ".lock"
_LOCK_TRIES: Final = 4
_LOCK_PAUSE_S: Final = 0.05
"""Somebody who only asks whether a folder is held holds it for a moment himself, which is no use of it."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it over `path` when the block succeeds.

    The data are flushed to the disk before the rename, so that neither a killed process nor a power
    loss leaves a half-written `path`. A failing block leaves `path` as it was and no temporary file.

    Parameters
    ----------
    path : Path
        The final place; its parent folder must exist.

    Yields
    ------
    Path
        Where to write.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with named_in_errors(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Name `path` in an error of the operating system that names no file, as that of a full disk does."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically, line ends as they stand."""
    write_bytes(path, text.encode("utf-8", errors="surrogatepass"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` atomically: UTF-8, keys in the given order, two spaces, final newline."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that tasksel wrote.

    Raises
    ------
    ResumeError
        The file is not a JSON object; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResumeError(f"{path} cannot be read as JSON ({error}); delete it or restore it.") from error
    if not isinstance(content, dict):
        raise ResumeError(f"{path} holds {type(content).__name__}, not a JSON object.")
    return content


def text_sha256(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8 as 64 hexadecimal digits."""
    return bytes_sha256(text.encode("utf-8", errors="surrogatepass"))


def bytes_sha256(content: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits, reading 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process alone; the operating system lets go when the process dies.

    Raises
    ------
    ResumeError
        Another process holds the folder, or there is a file in its place.
    OSError
        The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ResumeError(f"{error.filename} is a file, where a folder is wanted; choose another.") from error
    with (folder / _LOCK_NAME).open("a+b") as handle:
        for _ in range(_LOCK_TRIES):
            if _lock(handle, shared=False):
                break
            time.sleep(_LOCK_PAUSE_S)
        else:
            raise ResumeError(f"{folder} is in use by another tasksel process; wait for it or stop it.")
        yield


def is_folder_held(folder: Path) -> bool:
    """Tell whether a process holds a run folder, without writing to it or keeping anybody out of it."""
    try:
        with (folder / _LOCK_NAME).open("rb") as handle:
            return not _lock(handle, shared=True)
    except OSError:  # nobody has ever held it, or not for us to read
        return False


def _lock(handle: IO[bytes], *, shared: bool) -> bool:
    """Take the lock if nobody else has it; a system or disk that knows no locks gives it to everybody."""
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl; a folder there is not guarded against a second process.
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            return False
    return True
