"""One kind at one place, in a folder of its own: what was said, and what has changed on the disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .meeting import meet, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .kind import Kind, Meeting, Place
    from .world import World

__all__ = ["Trial", "try_kind"]


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Parameters
    ----------
    meeting : Meeting
        What was said.
    changed : tuple of str
        Files and folders that were made, changed or removed; the output and what is in it are
        ``cwd/out…``.
    """

    meeting: Meeting
    changed: tuple[str, ...]


def try_kind(kind: Kind, place: Place, world: World, folder: Path) -> Trial:
    """Make a kind in an empty folder, let a verb meet it, and compare the folder and the world."""
    inputs, current, temporary = (folder / name for name in ("in", "cwd", "tmp"))
    for each in (inputs, current, temporary):
        each.mkdir(parents=True)
    bad = kind.make(inputs, world)
    for name, text in place.files.items():
        filled = text.format(bad=bad, world=world.folder, here=inputs)
        (inputs / name).write_text(filled, encoding="utf-8")
    before, world_before = snapshot(folder), snapshot(world.folder)
    with _inside(current, temporary):
        meeting = meet(kind, place, bad, inputs, current, world)
    changed = _differences(world_before, snapshot(world.folder)) + _differences(before, snapshot(folder))
    return Trial(meeting, tuple(changed))


@contextlib.contextmanager
def _inside(current: Path, temporary: Path) -> Iterator[None]:
    """Stand in a folder, and have temporary files in another one, where they are seen."""
    came_from, kept = Path.cwd(), os.environ.get("TMPDIR")
    os.chdir(current)
    os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
    try:
        yield
    finally:
        os.chdir(came_from)
        os.environ.pop("TMPDIR")
        if kept is not None:
            os.environ["TMPDIR"] = kept
        tempfile.tempdir = None


def _differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
