"""A stage that turns every row of a pool into a row of shards: identified, locked, resumable, manifest last.

Layout of the folder: ``settings.json`` is written first, ``part-00000.parquet`` and so on appear whole or not
at all, ``manifest.json`` is written last. Beside them an unfinished run has a journal of its shards and, once
it was stopped, what it had finished of others; both go with the manifest. `docs/run_folders.md` has it all.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.interruption import heard_stops
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    write_json,
)
from tasksel.run_folder_identity import (
    find_versions,
    read_settings,
    refuse_changes,
    settle_identity,
)
from tasksel.run_folder_shards import PARTIAL_GLOB, SHARD_GLOB
from tasksel.shard_files import count_shards, plan_shards, shard_name
from tasksel.shard_identity import read_manifest, run_identity, run_sha256
from tasksel.shard_journal import JOURNAL_NAME
from tasksel.shard_progress import PROGRESS_NAME
from tasksel.shard_run import ShardFormat, ShardProgress, ShardRun

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tasksel.pool import Pool
    from tasksel.shard_work import ShardWorker, WorkerStart

__all__ = ["ShardedStage"]

HASHED_COLUMNS: Final = ("id", "task", "prompt")
"""What the rows of a stage depend on, unless it says otherwise."""
_UNFINISHED: Final = (JOURNAL_NAME, PARTIAL_GLOB)
"""What goes once the manifest stands."""
_INPUTS: Final = ("pool", "model")
_REFUSAL: Final = (
    "{folder} holds %s that cannot be mixed with those asked for: {changes}. "
    "Choose another output folder, or delete {folder} to start again."
)


@dataclass
class ShardedStage:
    """One call on a folder.

    Parameters
    ----------
    pool : Pool
        Whose rows.
    folder : Path
        Of the stage; made if it is not there.
    noun, verb : str
        What it holds and how that is made: ``scores``, ``scored``.
    model : mapping
        ``name`` and ``sha256`` of what the rows are made with.
    settings : mapping
        Asked for; ``auto`` as it stands.
    shard_rows : int
        Rows of a shard.
    worker : ShardWorker
        Makes them; started only when something is missing.
    shape : callable
        Gives what a shard holds, by the schema that the worker tells.
    hashed_columns : tuple of str
        Of the pool: what the rows depend on. The same prompts in another file format are the same pool.
    once_hashed_columns : tuple of str, optional
        What an earlier version hashed: a folder that it began with the same of them is continued.
    progress : ShardProgress, optional
        Called after each batch.
    announce : callable, optional
        Called at the first Ctrl-C.

    Attributes
    ----------
    counts : dict of str to int
        Sums over all shards.
    rows_reused, new_tokens : int
        Rows that were there, and tokens of this call.
    work_s : float
        Seconds of the work itself.
    seconds : float
        Of the whole call.
    notes : list of str
        What a user should know.
    """

    pool: Pool
    folder: Path
    noun: str
    verb: str
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    shard_rows: int
    worker: ShardWorker
    shape: Callable[[pl.Schema], ShardFormat]
    hashed_columns: tuple[str, ...] = HASHED_COLUMNS
    once_hashed_columns: tuple[str, ...] | None = None
    progress: ShardProgress | None = None
    announce: Callable[[], object] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    rows_reused: int = 0
    new_tokens: int = 0
    work_s: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def finish(self) -> None:
        """Make what is missing and write the manifest.

        Raises
        ------
        ResumeError
            The folder holds what was made from something else, or is in use.
        KeyboardInterrupt
            It was stopped; what was finished is kept.
        """
        started_s = time.perf_counter()
        with folder_lock(self.folder), heard_stops(self.announce) as stopped:
            self._remove((".*.tmp", PROGRESS_NAME))
            identity = self._identify()
            if not self._is_complete(identity):
                self._make_rest(identity, stopped)
            self._remove(_UNFINISHED)  # also those that a kill after the manifest has left
        self.seconds = time.perf_counter() - started_s

    def _identify(self) -> dict[str, Any]:
        """Say what this run is made from, and refuse a folder that was made from something else."""
        frame = self.pool.frame
        stored = self._read_settings()
        identity = {
            "format_version": FORMAT_VERSION,
            "pool": {"name": self.pool.name, "rows": frame.height, "sha256": self._hash_pool(stored)},
            "model": dict(self.model),
            "settings": {**self.settings, "shard_rows": self.shard_rows},
        }
        if stored is not None:
            refuse_changes(self.folder, stored, identity, inputs=_INPUTS, refusal=_REFUSAL % self.noun)
        return identity

    def _hash_pool(self, stored: dict[str, Any] | None) -> str:
        """Hash what the rows depend on, as an earlier version did where the folder is one of its."""
        frame = self.pool.frame
        sha256 = columns_sha256(frame, self.hashed_columns)
        if stored is None or self.once_hashed_columns is None:
            return sha256
        pool = stored.get("pool")
        there = pool.get("sha256") if isinstance(pool, dict) else None
        is_old = there != sha256 and there == columns_sha256(frame, self.once_hashed_columns)
        return str(there) if is_old else sha256

    def _read_settings(self) -> dict[str, Any] | None:
        return read_settings(self.folder, ("part-", ".part-", MANIFEST_NAME))

    def _remove(self, patterns: Iterable[str]) -> None:
        for path in itertools.chain.from_iterable(map(self.folder.glob, patterns)):
            path.unlink()

    def _is_complete(self, identity: dict[str, Any]) -> bool:
        """Tell whether the manifest stands and every shard is the one that it lists."""
        path = self.folder / MANIFEST_NAME
        if not path.exists():
            return False
        manifest = self._read_manifest(path, identity)
        if manifest is None or not self._holds(manifest["shards"]):
            path.unlink()
            return False
        self._tell_of_foreign_names({shard["name"] for shard in manifest["shards"]})
        self.counts = manifest["counts"]
        self.rows_reused = self.counts["rows"]
        if self.progress is not None:
            self.progress(self.rows_reused, self.rows_reused, self.counts.get("tokens", 0))
        return True

    def _tell_of_foreign_names(self, names: set[str]) -> None:
        for path in sorted(self.folder.glob(SHARD_GLOB)):
            if path.name not in names:
                self.notes.append(f"{path.name} does not belong to this run and is not read; remove it.")

    def _read_manifest(self, path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Return the manifest, or None with a note where it is not the one that this run would write.

        The shards are not touched then: each is checked by its own checksum and used if it is right.
        """
        n_rows = identity["pool"]["rows"]
        names = [shard_name(number) for number in range(count_shards(n_rows, self.shard_rows))]
        manifest = read_manifest(path, run_identity(self._read_settings() or {}), names, n_rows)
        if manifest is None:
            self.notes.append(f"{path.name} was damaged, or of another run, and is written again.")
        return manifest

    def _holds(self, listed: Sequence[Mapping[str, str]]) -> bool:
        """Tell whether every listed shard stands as it was written; one that is damaged is removed."""
        is_whole = True
        for shard in listed:
            path = self.folder / shard["name"]
            if path.is_file() and file_sha256(path) == shard["sha256"]:
                continue
            is_whole = False
            if path.is_file():
                self.notes.append(
                    f"{path.name} was damaged (it is not as it was written) and is {self.verb} again."
                )
                path.unlink()
        return is_whole

    def _make_rest(self, identity: dict[str, Any], stopped: threading.Event) -> None:
        try:
            start = self.worker.start()
            if stopped.is_set():
                raise KeyboardInterrupt
            identity = self._settle(identity, start)
            run = ShardRun(
                folder=self.folder,
                inputs=_inputs(self.pool.frame),
                plan=plan_shards(self.pool.frame["prompt"], self.shard_rows),
                shape=self.shape(start.schema),
                run_sha256=run_sha256(identity),
                again=self.verb,
                progress=self.progress,
            )
            try:
                run.finish(self.worker, stopped)
            finally:
                self.notes += run.notes
                self.rows_reused, self.new_tokens, self.work_s = run.rows_reused, run.new_tokens, run.work_s
        finally:
            self.worker.close()
        self.counts = run.counts
        self._tell_of_splits()
        content = {**identity, "counts": self.counts, "shards": run.describe_shards()}
        write_json(self.folder / MANIFEST_NAME, content)

    def _settle(self, identity: dict[str, Any], start: WorkerStart) -> dict[str, Any]:
        """Replace `auto` by what it meant, and write the settings or compare with them."""
        identity = {
            **identity,
            "settings": {**identity["settings"], **start.settings},
            "versions": {**find_versions(("tasksel",)), **start.versions},
        }
        identity, changed = settle_identity(
            self.folder,
            identity,
            stored=self._read_settings(),
            inputs=_INPUTS,
            refusal=_REFUSAL % self.noun,
        )
        if changed:
            self.notes.append(
                f"Continued with other library versions than it was begun with ({changed}): "
                f"{self.noun} may differ in their last digits between shards."
            )
        return identity

    def _tell_of_splits(self) -> None:
        split_batches = self.counts.get("split_batches", 0)
        if split_batches:
            self.notes.append(
                f"{split_batches} batches did not fit into the device's memory and were halved: {self.noun} "
                "can differ in their last digits from a run with more memory."
            )


def _inputs(frame: pl.DataFrame) -> pl.DataFrame:
    task = pl.col("task") if "task" in frame.columns else pl.lit(None, dtype=pl.String).alias("task")
    return frame.select("id", task, "prompt")
