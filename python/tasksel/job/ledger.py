"""Which stage of a run folder was made from what; what other settings made is put aside and taken out again.

``RUN/stages/NAME.json`` says from which inputs and with which settings the folder of a stage is made. It is
written before the stage begins. The manifest of the stage, which is written last, says that it ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    make_folder,
    read_versioned,
    text_sha256,
    write_json,
)
from tasksel.run_folder_durability import move_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ASIDE_FOLDER", "STAGES_FOLDER", "Ledger", "StageRecord", "manifest_sha256"]

STAGES_FOLDER: Final = "stages"
ASIDE_FOLDER: Final = "earlier"
_SHOWN_DIGITS: Final = 12


def manifest_sha256(folder: Path) -> str | None:
    """Return the hash of a stage's manifest, or None where the stage has not ended."""
    path = folder / MANIFEST_NAME
    return file_sha256(path) if path.is_file() else None


@dataclass(frozen=True)
class StageRecord:
    """What a stage is made from.

    Parameters
    ----------
    inputs : mapping of str to str
        Hashes by name.
    settings : mapping
        Those that decide what comes out; JSON-compatible.
    """

    inputs: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """One hash of all."""
        content = {"inputs": dict(self.inputs), "settings": dict(self.settings)}
        return text_sha256(json.dumps(content, sort_keys=True, ensure_ascii=False))

    def changes_from(self, other: StageRecord) -> tuple[str, ...]:
        """Say what is different from an earlier record, one short phrase each."""
        changes = []
        for name in dict.fromkeys((*other.settings, *self.settings)):
            old, new = other.settings.get(name), self.settings.get(name)
            if old != new:
                changes.append(f"{name} {_shown(old)} → {_shown(new)}")
        inputs = dict.fromkeys((*other.inputs, *self.inputs))
        changes += [f"other {name}" for name in inputs if self.inputs.get(name) != other.inputs.get(name)]
        return tuple(changes)


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Ledger:
    """The records of a run folder.

    Parameters
    ----------
    run : Path
        The run folder.
    """

    run: Path

    def read(self, stage: str) -> StageRecord | None:
        """Return what the folder of a stage is made from, as far as that is known."""
        path = self._path(stage)
        if not path.is_file():
            return None
        content = read_versioned(path)
        inputs, settings = content.get("inputs"), content.get("settings")
        if not isinstance(inputs, dict) or not isinstance(settings, dict):
            return None
        return StageRecord(inputs, settings)

    def write(self, stage: str, record: StageRecord) -> None:
        """Record what a stage is made from."""
        path = self._path(stage)
        make_folder(path.parent)
        content = {"format_version": FORMAT_VERSION, "stage": stage}
        write_json(path, {**content, "inputs": dict(record.inputs), "settings": dict(record.settings)})

    def begin(self, stage: str, folder: Path, record: StageRecord) -> str | None:
        """Record what a stage is going to be made from; what other settings made is put aside before.

        What was put aside and is wanted again is taken out again. Each step is one rename or one file, and
        all can be done again after a kill at any of them.

        Returns
        -------
        str or None
            Where what was there has gone, relative to the run folder.
        """
        gone = None
        before = self.read(stage)
        if before is not None and before.fingerprint != record.fingerprint:
            gone = self.put_aside(stage, folder, before.fingerprint)
        self.write(stage, record)
        kept = self._aside(stage, record.fingerprint)
        if kept.exists() and not folder.exists():
            make_folder(folder.parent)
            move_folder(kept, folder)
        return gone

    def put_aside(self, stage: str, folder: Path, fingerprint: str) -> str | None:
        """Move the folder of a stage to ``RUN/earlier``; None where there is nothing to move."""
        if not folder.exists():
            return None
        place = self._aside(stage, fingerprint)
        make_folder(place.parent)
        number = 1
        while place.exists():
            number += 1
            place = place.with_name(f"{fingerprint[:_SHOWN_DIGITS]}-{number}")
        move_folder(folder, place)  # on the disk before the record says that it is gone
        return place.relative_to(self.run).as_posix()

    def is_kept(self, stage: str, record: StageRecord) -> bool:
        """Tell whether what a stage would make lies ready in ``RUN/earlier``."""
        return self._aside(stage, record.fingerprint).exists()

    def _aside(self, stage: str, fingerprint: str) -> Path:
        return self.run / ASIDE_FOLDER / stage / fingerprint[:_SHOWN_DIGITS]

    def _path(self, stage: str) -> Path:
        return self.run / STAGES_FOLDER / f"{stage.replace('/', '-')}.json"
