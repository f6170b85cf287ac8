"""What stands in a run folder: finished, running or interrupted, what is missing and what is damaged.

Nothing is written, so that a running process is not disturbed and a read-only folder can be looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, is_folder_held
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.run_status_shards import StageStatus, is_stage, read_stage, refuse_other_formats
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os

__all__ = ["FolderStatus", "RunStatus", "StageStatus", "read_status"]

_KINDS: Final = (
    ("job", ("job.json",)),
    ("selection", ("selected.parquet", "selected.jsonl", "allocation.csv")),
    ("training", ("loss.csv", "checkpoint-*", "adapter")),
    ("evaluation", ("report.json", "*/tasks.csv")),
)
"""What a folder is, by the files that tell."""
_OTHER: Final = "other"


@dataclass(frozen=True)
class FolderStatus:
    """A folder that is not made of shards.

    Attributes
    ----------
    name : str
        Of the folder; ``.`` is the run folder itself.
    kind : str
        ``job``, ``selection``, ``training``, ``evaluation`` or ``other``.
    state : str
        ``finished`` (its manifest, which is written last, is there), ``running`` or ``interrupted``.
    """

    name: str
    kind: str
    state: str


@dataclass(frozen=True)
class RunStatus:
    """What stands in a run folder.

    Attributes
    ----------
    folder : str
        The run folder.
    stages : tuple of StageStatus
        Folders of shards: scores, embeddings.
    others : tuple of FolderStatus
        Other folders with settings or a manifest, such as trainings and selections.
    is_hashed : bool
        Whether the bytes of the shards were compared with their checksums.
    """

    folder: str
    stages: tuple[StageStatus, ...]
    others: tuple[FolderStatus, ...]
    is_hashed: bool

    @property
    def is_in_order(self) -> bool:
        """Whether nothing is damaged and nothing lies where it does not belong; it may be unfinished."""
        return all(stage.is_in_order for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as a dictionary that `json.dumps` takes."""
        stages = [stage.to_dict() for stage in self.stages]
        others = [asdict(folder) for folder in self.others]
        return {
            "format_version": FORMAT_VERSION,
            "folder": self.folder,
            "is_in_order": self.is_in_order,
            "is_hashed": self.is_hashed,
            "stages": stages,
            "others": others,
        }


def read_status(run: str | os.PathLike[str], *, hashes: bool = True) -> RunStatus:
    """Look at a run folder, or at one of its stages.

    Parameters
    ----------
    run : path
        The folder given as ``--out``, or a folder in it.
    hashes : bool
        Whether to read every shard and compare its bytes with their checksum; without, a shard that is
        there counts as done.

    Returns
    -------
    RunStatus

    Raises
    ------
    ConfigError
        There is no such folder, or nothing of tasksel in it.
    ResumeError
        A folder is in a layout that this tasksel does not know.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise ConfigError(f"There is no run folder {folder}.")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    stages = tuple(read_stage(place, hashes=hashes) for place in places if is_stage(place))
    names = {stage.folder for stage in stages}
    others = tuple(
        _read_other(place, folder) for place in places if str(place) not in names and _is_other(place)
    )
    if not stages and not others:
        raise ConfigError(
            f"{folder} is no run folder: neither it nor a folder in it holds shards, settings or a manifest."
        )
    return RunStatus(str(folder), stages, others, is_hashed=hashes)


def _is_other(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SETTINGS_NAME, MANIFEST_NAME))


def _read_other(folder: Path, run: Path) -> FolderStatus:
    refuse_other_formats(folder)
    kind = next(
        (kind for kind, patterns in _KINDS if any(any(folder.glob(pattern)) for pattern in patterns)), _OTHER
    )
    if is_folder_held(folder):
        state = "running"
    else:
        state = "finished" if (folder / MANIFEST_NAME).is_file() else "interrupted"
    return FolderStatus("." if folder == run else folder.name, kind, state)
