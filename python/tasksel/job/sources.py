"""Files that a job only reads: their hashes, by which it knows that one was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasksel.job.ledger import manifest_sha256
from tasksel.pool_urls import is_url
from tasksel.run_folder import file_sha256, text_sha256

if TYPE_CHECKING:
    import os

__all__ = ["source_sha256"]

_RUN_PARTS = ("", "scores", "embeddings")


def source_sha256(source: str | os.PathLike[str] | None) -> str | None:
    """Return the hash of a file, or of the manifests of a folder; None for what is neither.

    Parameters
    ----------
    source : str or path, optional
        A file, ``file.parquet:column``, a folder; or a name that is none of these.
    """
    if source is None or is_url(str(source)):
        return None
    file, mark, _ = str(source).partition(".parquet:")
    path = Path(file + mark.rstrip(":"))
    try:
        if path.is_file():
            return file_sha256(path)
        if path.is_dir():
            manifests = [manifest_sha256(path / part) for part in _RUN_PARTS]
            return text_sha256(" ".join(map(str, manifests)))
    except (OSError, ValueError):  # a name that is too long, or that holds NUL
        pass
    return None
