"""The state of a folder of shards: what is done, missing, damaged, and how long the rest may take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tasksel.run_folder import MANIFEST_NAME, file_sha256, is_folder_held, read_json, refuse_unknown_format
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.run_folder_shards import PARTIAL_GLOB, SHARD_GLOB
from tasksel.shard_files import (
    DamagedShardError,
    check_shard,
    partial_name,
    shard_name,
)
from tasksel.shard_identity import read_manifest, run_identity, run_sha256
from tasksel.shard_journal import JOURNAL_NAME, read_journal
from tasksel.shard_progress import PROGRESS_NAME, read_progress
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from pathlib import Path

    from tasksel.shard_journal import JournalContent
    from tasksel.shard_progress import Pace

__all__ = ["StageStatus", "is_stage", "read_stage", "refuse_other_formats"]


@dataclass(frozen=True)
class StageStatus:
    """The state of a folder of shards.

    Attributes
    ----------
    name, folder : str
        Name and place of the folder.
    state : str
        ``running`` (a process holds the folder), ``finished``, ``interrupted`` (the same command continues
        it) or ``damaged``.
    pool, model : str or None
        Names of what it is made from; None where the settings cannot be read.
    n_shards, shards_done : int
        Of the plan, and those that stand as they were written.
    shards_missing : int
        Not made yet.
    damaged : dict of str to str
        Names of files that are not as they were written, and what is wrong with each.
    foreign : tuple of str
        Names of shards that the run does not have.
    rows, rows_done : int
        Of the pool, and those that need not be made again, rows of unfinished shards included.
    rows_partial : int
        How many of them stand in unfinished shards.
    tokens_done : int
        Tokens of whole shards, and where a process runs of all that it has made.
    rows_per_s, tokens_per_s : float or None
        Of the process that runs, or of the last one that finished a shard.
    eta_s : float or None
        Seconds to go at that rate; None where all is done or there is no rate.
    """

    name: str
    folder: str
    state: str
    pool: str | None = None
    model: str | None = None
    n_shards: int = 0
    shards_done: int = 0
    shards_missing: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    rows: int = 0
    rows_done: int = 0
    rows_partial: int = 0
    tokens_done: int = 0
    rows_per_s: float | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None

    @property
    def is_in_order(self) -> bool:
        """Whether nothing is damaged and nothing lies where it does not belong."""
        return not self.damaged and not self.foreign

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a dictionary that `json.dumps` takes."""
        return {**asdict(self), "foreign": list(self.foreign), "is_in_order": self.is_in_order}


def is_stage(folder: Path) -> bool:
    """Tell whether a folder holds shards, or was about to."""
    if (folder / JOURNAL_NAME).exists() or any(map(any, map(folder.glob, (SHARD_GLOB, PARTIAL_GLOB)))):
        return True
    try:
        return "shard_rows" in json.loads((folder / SETTINGS_NAME).read_bytes())["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def read_stage(folder: Path, *, hashes: bool) -> StageStatus:
    """Look at a folder of shards; `hashes` compares the bytes of each with their checksum."""
    # The journal before the shards: a shard that is younger than its line is then checked by itself.
    is_held, journal = is_folder_held(folder), read_journal(folder / JOURNAL_NAME)
    refuse_other_formats(folder)
    try:
        plan = _read_plan(folder)
    except (ResumeError, KeyError, TypeError, ValueError, AttributeError):
        return _describe_unknown(folder, is_held=is_held)
    look = _Look(folder, plan, is_held=is_held, hashes=hashes)
    look.check(journal)
    return look.describe(journal.pace)


def refuse_other_formats(folder: Path) -> None:
    """Refuse a folder whose settings or manifest say that they are in a layout that is not known here.

    Raises
    ------
    ResumeError
        As in `tasksel.run_folder.refuse_unknown_format`.
    """
    for name in (SETTINGS_NAME, MANIFEST_NAME):
        refuse_unknown_format(folder / name)


class _Plan(NamedTuple):
    """Which shards a folder should hold, by its settings."""

    pool: str
    model: str
    rows: int
    sizes: dict[str, int]
    identity: dict[str, Any]
    run_sha256: str


def _read_plan(folder: Path) -> _Plan:
    settings = read_json(folder / SETTINGS_NAME)
    rows, shard_rows = int(settings["pool"]["rows"]), int(settings["settings"]["shard_rows"])
    sizes = {
        shard_name(number): min(shard_rows, rows - first)
        for number, first in enumerate(range(0, rows, shard_rows))
    }
    pool, model = (str(settings[part]["name"]) for part in ("pool", "model"))
    return _Plan(pool, model, rows, sizes, run_identity(settings), run_sha256(settings))


def _describe_unknown(folder: Path, *, is_held: bool) -> StageStatus:
    """Describe a folder whose settings cannot be read: nothing says what should be in it."""
    return StageStatus(
        name=folder.resolve().name,
        folder=str(folder),
        state="running" if is_held else "damaged",
        shards_done=len(list(folder.glob(SHARD_GLOB))),
        damaged={} if is_held else {SETTINGS_NAME: "it cannot be read, or is not as it was written"},
    )


@dataclass
class _Look:
    """One look at a folder, in which a process may be at work."""

    folder: Path
    plan: _Plan
    is_held: bool
    hashes: bool
    is_finished: bool = False
    damaged: dict[str, str] = field(default_factory=dict)
    shards_done: int = 0
    rows_whole: int = 0
    rows_partial: int = 0
    tokens: int = 0

    def check(self, journal: JournalContent) -> None:
        """Go over all shards of the plan."""
        manifest = self._read_manifest()
        self.is_finished = manifest is not None
        records = journal.records if journal.run_sha256 == self.plan.run_sha256 else {}
        sha256 = {name: record.sha256 for name, record in records.items()}
        if manifest is not None:
            sha256 = {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
            self.tokens = manifest["counts"].get("tokens", 0)
        for number, (name, n_rows) in enumerate(self.plan.sizes.items()):
            if self._is_whole(name, sha256.get(name)):
                self.shards_done += 1
                self.rows_whole += n_rows
                if manifest is None and name in records:
                    self.tokens += records[name].counts.get("tokens", 0)
            elif manifest is None:
                self._count_partial(partial_name(number))
            else:
                self.damaged.setdefault(name, "it is not there")

    def describe(self, pace: Pace) -> StageStatus:
        """Say what was found."""
        progress = read_progress(self.folder / PROGRESS_NAME) if self.is_held else None
        rows_done, tokens_done = self.rows_whole + self.rows_partial, self.tokens
        if progress is not None:
            rows_done, tokens_done, pace = progress
        foreign = tuple(sorted({path.name for path in self.folder.glob(SHARD_GLOB)} - set(self.plan.sizes)))
        rows_per_s = pace.rows / pace.seconds if pace.rows > 0 and pace.seconds > 0 else None
        rows_left = self.plan.rows - rows_done
        return StageStatus(
            name=self.folder.resolve().name,
            folder=str(self.folder),
            state=self._state(is_in_order=not self.damaged and not foreign),
            pool=self.plan.pool,
            model=self.plan.model,
            n_shards=len(self.plan.sizes),
            shards_done=self.shards_done,
            shards_missing=len(self.plan.sizes)
            - self.shards_done
            - len(self.damaged.keys() & self.plan.sizes),
            damaged=self.damaged,
            foreign=foreign,
            rows=self.plan.rows,
            rows_done=rows_done,
            rows_partial=self.rows_partial,
            tokens_done=tokens_done,
            rows_per_s=rows_per_s,
            tokens_per_s=None if rows_per_s is None else pace.tokens / pace.seconds,
            eta_s=rows_left / rows_per_s if rows_per_s is not None and rows_left else None,
        )

    def _state(self, *, is_in_order: bool) -> str:
        if self.is_held:
            return "running"
        if not is_in_order:
            return "damaged"
        return "finished" if self.is_finished else "interrupted"

    def _read_manifest(self) -> dict[str, Any] | None:
        path = self.folder / MANIFEST_NAME
        if not path.exists():
            return None
        manifest = read_manifest(path, self.plan.identity, list(self.plan.sizes), self.plan.rows)
        if manifest is None:
            self.damaged[path.name] = "it is not as it was written, or of another run"
        return manifest

    def _is_whole(self, name: str, sha256: str | None) -> bool:
        """Tell whether a shard stands as it was written."""
        path = self.folder / name
        if not path.exists():
            return False
        try:
            if not path.is_file():
                raise DamagedShardError("it is no file")
            if self.hashes and (sha256 is None or file_sha256(path) != sha256):
                if sha256 is not None and not self.is_held:
                    raise DamagedShardError("it is not as it was written")
                check_shard(path, self.plan.run_sha256)  # a process may just have made it again
        except (DamagedShardError, OSError) as damage:
            self.damaged[name] = str(damage)
            return False
        return True

    def _count_partial(self, name: str) -> None:
        path = self.folder / name
        try:
            self.rows_partial += check_shard(path, self.plan.run_sha256) if path.exists() else 0
        except DamagedShardError as damage:
            if path.exists():  # or a process has just made the shard whole
                self.damaged[name] = str(damage)
