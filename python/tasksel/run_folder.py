"""Files that survive a kill: atomic writes, content hashes, and the manifest that is written last.

A stage owns one folder. It writes its settings first, its shards one by one (each with an atomic
rename), and its manifest last, so that the manifest's existence means that the stage completed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import itertools
import json
import os
import shutil
import stat
import time
from typing import IO, TYPE_CHECKING, Any, Final

from tasksel.file_places import NO_REGULAR_FILE, file_trouble
from tasksel.json_shapes import AN_OBJECT, check_shape
from tasksel.run_folder_disk_errors import find_disk_error
from tasksel.run_folder_durability import create_folder, flush_file, flush_folder
from tasksel.run_folder_leftovers import remove_leftovers, temporary_path
from tasksel.run_folder_links import open_for_appending
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "atomic_path",
    "bytes_sha256",
    "check_format_version",
    "emptied_folder",
    "file_sha256",
    "folder_lock",
    "is_folder_held",
    "make_folder",
    "named_in_errors",
    "read_json",
    "read_versioned",
    "refuse_unknown_format",
    "text_sha256",
    "write_bytes",
    "write_json",
    "write_text",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
"""Version of every folder layout that tasksel writes; a newer one is refused by an older tasksel."""
_READ_VERSIONS: Final = (1,)
"""Those that it reads: every version that a release has written, unless the changelog says otherwise."""
_LOCK_NAME: Final = ".lock"
_LOCK_TRIES: Final = 4
_LOCK_PAUSE_S: Final = 0.05
"""Somebody who only asks whether a folder is held holds it for a moment himself, which is no use of it."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it over `path` when the block succeeds.

    The data are flushed to the disk before the rename and the name after it: neither a killed process nor a
    power loss leaves a half-written `path`, and once the block is left neither takes it away again. A failing
    block leaves `path` as it was and no temporary file.

    Parameters
    ----------
    path : Path
        The final place; its parent folder must exist.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    ResumeError
        A pipe, a socket or a device stands there, which the file would replace.
    OSError
        The file cannot be written, or a folder stands there.
    """
    _check_replaceable(path)
    temporary = temporary_path(path)
    try:
        with named_in_errors(path):
            yield temporary
            flush_file(temporary)
            temporary.replace(path)
            flush_folder(path.parent)
    except OSError as error:
        if error.filename == str(temporary):  # nobody knows that name
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # what is said is what failed before
            temporary.unlink(missing_ok=True)


def _check_replaceable(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # nothing is there, or it will be said when the file is opened
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise ResumeError(f"{path} is not a regular file and would be replaced by one; choose another place.")


@contextlib.contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Name `path` in an error of the operating system that names no file, as that of a full disk does.

    One that a library hides behind its own is raised as what it is.
    """
    try:
        yield
    except Exception as error:
        found = find_disk_error(error, path)
        if found is not None:
            raise found from error
        if isinstance(error, OSError) and error.filename is None:
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


def read_json(path: Path, shape: Any = AN_OBJECT) -> dict[str, Any]:
    """Read a JSON object that tasksel wrote.

    Parameters
    ----------
    path : Path
        The file.
    shape : shape of an object, optional
        What the caller relies on, as `tasksel.json_shapes` says it.

    Raises
    ------
    ResumeError
        The file is not a JSON object, or of another shape; the message names it.
    """
    if file_trouble(path) == NO_REGULAR_FILE:  # reading a pipe may never end
        raise ResumeError(f"{path} {NO_REGULAR_FILE}; delete it or restore it.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResumeError(f"{path} cannot be read as JSON ({error}); delete it or restore it.") from error
    if not isinstance(content, dict):
        raise ResumeError(f"{path} holds {type(content).__name__}, not a JSON object.")
    check_shape(content, shape, path)
    return content


def read_versioned(path: Path, shape: Any = AN_OBJECT) -> dict[str, Any]:
    """Read a manifest, or other JSON that says by itself in which version of the layout a folder is.

    Parameters
    ----------
    path : Path
        The file.
    shape : shape of an object, optional
        What the caller relies on, as `tasksel.json_shapes` says it.

    Raises
    ------
    ResumeError
        The file is not a JSON object, of a version that this tasksel does not read, or of another shape.
    """
    content = read_json(path)
    check_format_version(content, path)
    check_shape(content, shape, path)
    return content


def check_format_version(content: Mapping[str, Any], path: Path) -> None:
    """Refuse what another tasksel wrote in a layout that this one does not know.

    Keys that are not known are no reason: within a version a newer tasksel may add some, and an older one
    reads past them.

    Parameters
    ----------
    content : mapping
        What `path` holds.
    path : Path
        For the message.

    Raises
    ------
    ResumeError
        Its ``format_version`` is none of those that are read.
    """
    version = content.get("format_version")
    if type(version) is int and version in _READ_VERSIONS:  # true is an int that equals 1
        return
    known = " and ".join(map(str, _READ_VERSIONS))
    if type(version) is int and version > FORMAT_VERSION:
        why = (
            f"it was written by {_writer(content)}, so update tasksel, which is "
            f"{importlib.metadata.version('tasksel')} here, or choose another folder."
        )
    else:
        why = "no tasksel wrote that, so restore the file, or choose another folder."
    raise ResumeError(f"{path} has format {version!r}, this tasksel knows {known}; {why}")


def refuse_unknown_format(path: Path) -> None:
    """Refuse to look at, or to write over, what another tasksel wrote in a layout that is not known here.

    A file that is not there, cannot be read, or says nothing of a version is no reason: that is damage, or
    of another program, and told where it matters.

    Parameters
    ----------
    path : Path
        What a newer tasksel would have written there.

    Raises
    ------
    ResumeError
        As in `check_format_version`.
    """
    try:
        content = read_json(path)
    except ResumeError:
        return
    if "format_version" in content:
        check_format_version(content, path)


def _writer(content: Mapping[str, Any]) -> str:
    """Name the tasksel that wrote a file, if the file does."""
    versions = content.get("versions")
    version = versions.get("tasksel") if isinstance(versions, dict) else None
    return f"tasksel {version[:40]}" if isinstance(version, str) else "a newer tasksel"


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


def make_folder(folder: Path) -> None:
    """Make a folder and those that it stands in, unless they are there; no power loss takes them away again.

    Raises
    ------
    ResumeError
        There is a file in the place of one of them.
    OSError
        It cannot be made.
    """
    try:
        create_folder(folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise ResumeError(f"{error.filename} is a file, where a folder is wanted; choose another.") from error


@contextlib.contextmanager
def emptied_folder(folder: Path, becomes: Path) -> Iterator[None]:
    """Make something in an empty folder, which is gone if the block fails: a full disk wants its room.

    Parameters
    ----------
    folder : Path
        It is made anew, without what a killed process has left in it.
    becomes : Path
        What the caller is going to make of it; errors of the disk name that.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with named_in_errors(becomes):
            yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process alone; the operating system lets go when the process dies.

    Half-written files of killed processes are removed from it. A block that fails before it has written
    anything leaves no folder that was not there before.

    Raises
    ------
    ResumeError
        Another process holds the folder, or there is a file in its place.
    OSError
        The folder cannot be written to.
    """
    missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    for _ in range(_LOCK_TRIES):
        make_folder(folder)
        with open_for_appending(folder / _LOCK_NAME) as handle:
            if _lock(handle, shared=False) and _is_in_place(handle, folder / _LOCK_NAME):
                remove_leftovers(folder)
                try:
                    yield
                except BaseException:
                    _remove_unused(missing)
                    raise
                return
        time.sleep(_LOCK_PAUSE_S)
    raise ResumeError(f"{folder} is in use by another tasksel process; wait for it or stop it.")


def _is_in_place(handle: IO[bytes], path: Path) -> bool:
    """Whether a lock is still that of the folder: whoever made it in vain takes it away again."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except OSError:
        return False


def _remove_unused(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, that hold nothing but the lock of the innermost."""
    with contextlib.suppress(OSError):  # one that holds something is kept, and so are those around it
        for folder in folders:
            if folder == folders[0] and [each.name for each in folder.iterdir()] == [_LOCK_NAME]:
                (folder / _LOCK_NAME).unlink()
            folder.rmdir()


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
