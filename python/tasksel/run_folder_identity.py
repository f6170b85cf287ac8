"""What the files of a run folder were made from, and the refusal to mix them with anything else."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

from tasksel.run_folder import check_format_version, read_json, write_json
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "SETTINGS_NAME",
    "ChangedInputsError",
    "describe_versions",
    "find_versions",
    "read_settings",
    "refuse_changes",
    "settle_identity",
]

SETTINGS_NAME = "settings.json"


class ChangedInputsError(ResumeError):
    """A folder was made from other inputs or with other settings than those asked for."""


def find_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each library."""
    return {name: importlib.metadata.version(name) for name in libraries}


def describe_versions(stored: dict[str, Any], identity: dict[str, Any]) -> str:
    """Return which versions differ, as ``torch 2.6 → 2.7``, or an empty text."""
    old, new = stored.get("versions"), identity["versions"]
    if not isinstance(old, dict):  # by hand; versions decide nothing
        old = {}
    return ", ".join(
        f"{name} {old.get(name)} → {version}" for name, version in new.items() if old.get(name) != version
    )


def read_settings(folder: Path, made_prefixes: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what the files here were made from, or None where there is nothing to be mixed with.

    Raises
    ------
    ResumeError
        There are files with one of the prefixes, and no settings that can be read.
    """
    made = sorted(path.name for path in folder.iterdir() if path.name.startswith(made_prefixes))
    if not made:
        return None
    path = folder / SETTINGS_NAME
    if not path.exists():
        raise ResumeError(
            f"{folder} holds {made[0]} but no {SETTINGS_NAME}, so what it was made from is unknown; "
            f"choose another output folder, or delete {folder}."
        )
    try:
        return read_json(path)
    except ResumeError as error:
        raise ResumeError(
            f"{path} cannot be read, so what {made[0]} was made from is unknown; restore it, choose another "
            f"output folder, or delete {folder}."
        ) from error


def refuse_changes(
    folder: Path,
    stored: dict[str, Any],
    identity: dict[str, Any],
    *,
    inputs: Sequence[str],
    refusal: str,
    is_resolved: bool = False,
) -> None:
    """Refuse a folder that was made from something else, and say what has changed.

    Parameters
    ----------
    folder : Path
        The run folder.
    stored, identity : dict
        What it was made from and what is asked for: `inputs` with their hashes, and ``settings``.
    inputs : sequence of str
        Keys of what has a name and a hash: a pool, a model.
    refusal : str
        What cannot be done with what, and how to do it all the same: ``{folder}`` and ``{changes}`` in it.
    is_resolved : bool
        Whether `identity` has all settings that there will be, so that one which it lacks was taken away.

    Raises
    ------
    ChangedInputsError
        Something differs.
    ResumeError
        The folder cannot be compared: another version wrote it, or it is damaged.
    """
    check_format_version(stored, folder / SETTINGS_NAME)
    try:
        changes = "; ".join(_describe_changes(stored, identity, inputs, is_resolved=is_resolved))
    except (KeyError, TypeError, AttributeError) as error:
        raise ResumeError(
            f"{folder / SETTINGS_NAME} is not as tasksel wrote it ({type(error).__name__}: {error}); "
            f"restore it, choose another output folder, or delete {folder}."
        ) from error
    if changes:
        raise ChangedInputsError(refusal.format(folder=folder, changes=changes))


def settle_identity(
    folder: Path,
    identity: dict[str, Any],
    *,
    stored: dict[str, Any] | None,
    inputs: Sequence[str],
    refusal: str,
) -> tuple[dict[str, Any], str]:
    """Write down what a folder is made from once that is known to the last, or compare it with what stands.

    Parameters
    ----------
    folder, identity, inputs, refusal
        As for `refuse_changes`; no setting is ``auto`` any more, and there are ``versions``.
    stored : dict or None
        What the folder was made from; None where there is nothing yet.

    Returns
    -------
    identity : dict
        With inputs and settings as they are stored.
    changed : str
        Versions of libraries that differ, or an empty text.

    Raises
    ------
    ResumeError
        Something else than a version differs.
    """
    if stored is None:
        write_json(folder / SETTINGS_NAME, identity)
        return identity, ""
    refuse_changes(folder, stored, identity, inputs=inputs, refusal=refusal, is_resolved=True)
    # What was not refused is the same, and the files that are there carry the hash of what is stored.
    kept = {part: stored[part] for part in (*inputs, "settings")}
    return identity | kept, describe_versions(stored, identity)


def _describe_changes(
    stored: dict[str, Any], asked: dict[str, Any], inputs: Sequence[str], *, is_resolved: bool
) -> Iterable[str]:
    for part in inputs:
        old, new = stored[part], asked[part]
        if old["sha256"] != new["sha256"]:
            yield f"{part} {_describe_input(old)} → {_describe_input(new)}"
    gone = sorted(stored["settings"].keys() - asked["settings"].keys()) if is_resolved else []
    for name, new in (asked["settings"] | dict.fromkeys(gone)).items():
        old = stored["settings"].get(name)
        if name == "device" and isinstance(new, str):
            new = new.partition(":")[0]  # noqa: PLW2901 - which of several equal devices changes nothing
        if new not in (old, "auto"):
            yield f"{name} {json.dumps(old, ensure_ascii=False)} → {json.dumps(new, ensure_ascii=False)}"


def _describe_input(described: dict[str, Any]) -> str:
    adapter = f" with the adapter {described['adapter']}" if "adapter" in described else ""
    rows = f"{described['rows']:,} rows, " if "rows" in described else ""
    return f"{described['name']}{adapter} ({rows}sha256 {described['sha256'][:12]})"
