"""A journal of raw replies: each one is on the disk before anybody looks at it.

One JSON object a line, appended and flushed to the disk, under a key of the request alone. A kill can cut
only the last line short; it is left out and closed, and all that was paid for before is there.
"""

from __future__ import annotations

import json
import os
import threading
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.endpoint import Reply
from tasksel.run_folder import text_sha256
from tasksel.run_folder_durability import flush_folder
from tasksel.run_folder_links import open_for_appending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["JournalEntry", "ReplyJournal", "read_journal", "request_key"]

_ANSWERED: Final = 200


class JournalEntry(NamedTuple):
    """One reply as it came, and what was known of its request.

    Attributes
    ----------
    key : str
        Of the request.
    reply : Reply
        Status and body.
    facts : mapping
        Whatever else was written with it.
    """

    key: str
    reply: Reply
    facts: Mapping[str, Any]


def request_key(body: Mapping[str, Any], *, attempt: int = 0) -> str:
    """Hash a request by its body alone; further tries of the same body get keys of their own.

    Examples
    --------
    >>> request_key({"a": 1, "b": 2}) == request_key({"b": 2, "a": 1})
    True
    >>> request_key({"a": 1}) == request_key({"a": 1}, attempt=1)
    False
    """
    text = json.dumps(body, sort_keys=True)
    return text_sha256(text if attempt == 0 else f"{text}#{attempt}")


class ReplyJournal:
    """The journal of one folder, open for appending; a context manager, safe for threads.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.

    Attributes
    ----------
    entries : dict of str to JournalEntry
        All that is there by key. Of two replies to the same request the first counts, unless it was none of
        status 200.

    Examples
    --------
    >>> from pathlib import Path
    >>> with ReplyJournal(Path("replies.jsonl")) as journal:
    ...     journal.append("key", Reply(200, "yes"), model="m")
    >>> read_journal(Path("replies.jsonl"))["key"].reply.body
    'yes'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, JournalEntry] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._is_torn = False

    def __enter__(self) -> ReplyJournal:
        self.entries = read_journal(self.path)
        # Unbuffered: what a full disk refused must not be written once more when the file is closed.
        self._file = open_for_appending(self.path, is_buffered=False)
        self._is_torn = _ends_in_half_a_line(self.path)
        # Also where the file was there: who made it may have been killed before its name was on the disk.
        flush_folder(self.path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def append(self, key: str, reply: Reply, **facts: Any) -> None:
        """Write one reply to the disk; when this returns, neither a kill nor a power loss loses it.

        Raises
        ------
        OSError
            The disk is full or the file cannot be written; the error names the file.
        """
        self.append_all([JournalEntry(key, reply, facts)])

    def append_all(self, entries: Iterable[JournalEntry]) -> None:
        """Write several replies at once; errors as in `append`."""
        new = list(entries)
        content = b"".join(map(_line, new))
        with self._lock:
            if self._file is None:
                raise ValueError("The journal is closed.")
            try:
                _write_all(self._file, b"\n" + content if self._is_torn else content)
                os.fsync(self._file.fileno())
            except OSError as error:
                self._is_torn = True
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            self._is_torn = False
            for entry in new:
                _keep(self.entries, entry)


def read_journal(path: Path) -> dict[str, JournalEntry]:
    """Read all whole lines of a journal by key; without a file there are none.

    Parameters
    ----------
    path : Path
        What `ReplyJournal` wrote.
    """
    entries: dict[str, JournalEntry] = {}
    try:
        with path.open("rb") as lines:
            for entry in map(_read_entry, lines):
                if entry is not None:
                    _keep(entries, entry)
    except FileNotFoundError:
        pass
    return entries


def _keep(entries: dict[str, JournalEntry], entry: JournalEntry) -> None:
    known = entries.get(entry.key)
    if known is None or (known.reply.status != _ANSWERED and entry.reply.status == _ANSWERED):
        entries[entry.key] = entry


def _line(entry: JournalEntry) -> bytes:
    content = {"key": entry.key, "status": entry.reply.status, "body": entry.reply.body, **entry.facts}
    return json.dumps(content, ensure_ascii=False).encode("utf-8", errors="surrogatepass") + b"\n"


def _read_entry(line: bytes) -> JournalEntry | None:
    try:
        content = json.loads(line)
        key, reply = str(content.pop("key")), Reply(int(content.pop("status")), str(content.pop("body")))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return JournalEntry(key, reply, content)


def _write_all(file: IO[bytes], content: bytes) -> None:
    """Write everything: an unbuffered write may end early without an error."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _ends_in_half_a_line(path: Path) -> bool:
    """Whether the last line was cut short, so that the next one must not be glued to it."""
    with path.open("rb") as source:
        if source.seek(0, os.SEEK_END) == 0:
            return False
        source.seek(-1, os.SEEK_END)
        return source.read(1) != b"\n"
