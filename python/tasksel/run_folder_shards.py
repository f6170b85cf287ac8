"""The shards of a finished stage: those that its manifest lists, each as it was written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.run_folder import MANIFEST_NAME, read_versioned
from tasksel.run_folder_links import listed_path
from tasksel.wording import counted
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EMBEDDINGS_FOLDER", "PARTIAL_GLOB", "SCORES_FOLDER", "SHARD_GLOB", "FinishedStage"]

SCORES_FOLDER: Final = "scores"
EMBEDDINGS_FOLDER: Final = "embeddings"
"""Where in a run folder `tasksel score` and `tasksel embed` put their shards."""
SHARD_GLOB: Final = "part-*"
PARTIAL_GLOB: Final = ".part-*"
"""Of all that belongs to shards that are not whole."""
_BLOCK_BYTES: Final = 1 << 20


class FinishedStage(NamedTuple):
    """A folder of shards that somebody reads, and the verb that makes them.

    Parameters
    ----------
    folder : Path
        Of the stage.
    verb : str
        ``score`` or ``embed``; running it again makes what is missing.
    """

    folder: Path
    verb: str

    @property
    def is_begun(self) -> bool:
        """Whether there is a shard, a part of one, or the manifest."""
        patterns = (MANIFEST_NAME, SHARD_GLOB, PARTIAL_GLOB)
        return any(path.is_file() for pattern in patterns for path in self.folder.glob(pattern))

    def find_shards(self, run_digest: Any = None) -> list[Path]:
        """Return the shards that the manifest lists, each as it was written.

        Parameters
        ----------
        run_digest : hash object, optional
            Of `hashlib`; is fed with the bytes of all shards, one after the other.

        Raises
        ------
        ResumeError
            The stage is not finished, its manifest is of another format or none of shards, or a shard is
            missing or damaged.
        """
        path = self.folder / MANIFEST_NAME
        if not path.is_file():
            raise ResumeError(f"{self.folder} is not finished: it has {self._describe_made()}; {self._again}")
        shards = []
        for name, sha256 in _read_names(path):
            shards.append(listed_path(self.folder, name, path))
            if not shards[-1].is_file():
                raise ResumeError(f"{shards[-1]} is missing; {self._again}")
            if _hash(shards[-1], run_digest) != sha256:
                raise ResumeError(f"{shards[-1]} is damaged (it is not as it was written); {self._again}")
        return shards

    @property
    def _again(self) -> str:
        return f"run the same `tasksel {self.verb}` again, which makes what is missing."

    def _describe_made(self) -> str:
        n_shards = len(list(self.folder.glob(SHARD_GLOB)))
        return f"{counted(n_shards, 'shard') if n_shards else 'no whole shard'} and no {MANIFEST_NAME}"


def _read_names(path: Path) -> list[tuple[str, str]]:
    """Return name and checksum of every shard of a manifest."""
    manifest = read_versioned(path)
    try:
        return [(str(shard["name"]), str(shard["sha256"])) for shard in manifest["shards"]]
    except (KeyError, TypeError) as error:
        raise ResumeError(
            f"{path} lists no shards with name and sha256: it is not that of a folder of shards, or was "
            "changed since."
        ) from error


def _hash(path: Path, run_digest: Any) -> str:
    """Hash a file for itself and, in the same pass, into the hash of its run."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            if run_digest is not None:
                run_digest.update(block)
    return digest.hexdigest()
