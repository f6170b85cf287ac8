"""What an unfinished run has made, shard by shard: checksums, counts and pace.

The manifest, which is written last, holds the same for a finished run; the journal is deleted then. Each line
carries a checksum, and one that is torn or changed counts as not written, which is no loss: the shard is read
instead. Durations are those of a clock that nobody sets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.run_folder import named_in_errors, text_sha256
from tasksel.run_folder_links import open_for_appending
from tasksel.shard_progress import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["JOURNAL_NAME", "JournalContent", "ShardJournal", "ShardRecord", "read_journal"]

JOURNAL_NAME: Final = ".shards.jsonl"
_CHECK_DIGITS: Final = 16


class ShardRecord(NamedTuple):
    """A finished shard.

    Attributes
    ----------
    sha256 : str
        Of the file.
    counts : mapping of str to int
        What was counted in it; ``rows`` among it.
    """

    sha256: str
    counts: Mapping[str, int]


class JournalContent(NamedTuple):
    """What stands in a journal.

    Attributes
    ----------
    run_sha256 : str or None
        Whose it is; None where there is none, or none that can be read.
    records : dict of str to ShardRecord
        By the name of the shard; the last line of each counts.
    pace : Pace
        Of the last session that finished a shard.
    """

    run_sha256: str | None
    records: dict[str, ShardRecord]
    pace: Pace


@dataclass
class ShardJournal:
    """The journal of one folder.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    run_sha256 : str
        The run; records of another are dropped.

    Attributes
    ----------
    records : dict of str to ShardRecord
        By the name of the shard.
    """

    path: Path
    run_sha256: str
    records: dict[str, ShardRecord] = field(default_factory=dict)

    def open(self) -> ShardJournal:
        """Read what stands there; a journal of another run is begun anew."""
        found = read_journal(self.path)
        if found.run_sha256 == self.run_sha256:
            self.records = found.records
            if not self.path.read_bytes().endswith(b"\n"):  # a line that a kill cut short damages no other
                self._append_bytes(b"\n")
        else:
            self.path.unlink(missing_ok=True)
            self._append({"run_sha256": self.run_sha256})
        return self

    def add(self, name: str, record: ShardRecord, pace: Pace | None = None) -> None:
        """Write a shard down, and how fast this session was so far where it made the shard."""
        self.records[name] = record
        session = {} if pace is None else {"session": {**pace._asdict(), "seconds": round(pace.seconds, 3)}}
        self._append({"shard": name, "sha256": record.sha256, "counts": dict(record.counts), **session})

    def _append(self, content: Mapping[str, Any]) -> None:
        line = {**content, "check": _check(content)}
        self._append_bytes(json.dumps(line).encode() + b"\n")

    def _append_bytes(self, content: bytes) -> None:
        with named_in_errors(self.path), open_for_appending(self.path) as file:
            file.write(content)


def read_journal(path: Path) -> JournalContent:
    """Read a journal, whoever wrote it."""
    run_sha256: str | None = None
    records: dict[str, ShardRecord] = {}
    pace = Pace()
    for line in _read_lines(path):
        run_sha256 = line.get("run_sha256", run_sha256)
        if "shard" in line:
            records[line["shard"]] = ShardRecord(line["sha256"], line["counts"])
            pace = Pace(**line["session"]) if "session" in line else pace
    return JournalContent(run_sha256, records, pace)


def _check(content: Mapping[str, Any]) -> str:
    return text_sha256(json.dumps(content))[:_CHECK_DIGITS]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are as they were written."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_bytes().splitlines():
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.pop("check", None) == _check(content):
            lines.append(content)
    return lines
