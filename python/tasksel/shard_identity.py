"""What the numbers in a shard depend on, as one hash that every shard carries; a manifest of just that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasksel.run_folder import read_json, text_sha256
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["read_manifest", "run_identity", "run_sha256"]


def run_identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return contents and settings, no names and no versions.

    A setting that is null counts as one that is not there, so that a version which knows one more of them
    continues the runs of the version before.

    Parameters
    ----------
    settings : mapping
        What ``settings.json`` and ``manifest.json`` begin with.

    Raises
    ------
    KeyError, TypeError, AttributeError
        It is none.
    """
    inputs = {part: settings[part]["sha256"] for part in ("pool", "model")}
    given = {name: value for name, value in settings["settings"].items() if value is not None}
    return {**inputs, "settings": given, "format_version": settings["format_version"]}


def run_sha256(settings: Mapping[str, Any]) -> str:
    """Hash `run_identity`; errors as there."""
    return text_sha256(json.dumps(run_identity(settings), sort_keys=True))


def read_manifest(
    path: Path, identity: Mapping[str, Any], names: Sequence[str], n_rows: int
) -> dict[str, Any] | None:
    """Read a manifest, or return None where it is not one that a run would write.

    Parameters
    ----------
    path : Path
        The file.
    identity : mapping
        `run_identity` of the run.
    names : sequence of str
        Of its shards.
    n_rows : int
        Of its pool.
    """
    try:
        manifest = read_json(path)
        is_right = (
            run_identity(manifest) == identity
            and [shard["name"] for shard in manifest["shards"]] == names
            and all(isinstance(shard["sha256"], str) for shard in manifest["shards"])
            and manifest["counts"]["rows"] == n_rows
        )
    except (ResumeError, KeyError, TypeError, AttributeError):
        return None
    return manifest if is_right else None
