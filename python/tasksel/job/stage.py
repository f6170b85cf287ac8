"""What every stage of a job is: what it is made from, where it writes, how it is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tasksel.job.keys import deciding
from tasksel.job.ledger import StageRecord, manifest_sha256
from tasksel.job.sections import SECTIONS
from tasksel.json_shapes import AN_OBJECT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasksel.job.context import JobContext

__all__ = ["OUTCOME_SHAPE", "Outcome", "Stage", "section_record", "stage_name"]

OUTCOME_SHAPE: Final = {"figures": AN_OBJECT, "notes": [str], "files": {...: str}}
"""Of the manifest of a stage that says by itself what it came to."""


@dataclass(frozen=True)
class Outcome:
    """What a stage has come to.

    Parameters
    ----------
    figures : dict
        JSON-compatible.
    notes : tuple of str
        What a person should know.
    is_reused : bool
        Whether nothing had to be done.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_reused: bool = False


class Stage(ABC):
    """One stage of one job.

    Attributes
    ----------
    section : str
        The section of the file that it runs.
    checks_itself : bool
        Whether its function knows what is done, so that it is called in any case.
    is_one_file : bool
        Whether it writes one file and no folder: nothing of it is put aside.
    needs : tuple of str
        Names of the stages that it reads from.
    """

    section: ClassVar[str]
    checks_itself: ClassVar[bool] = False
    is_one_file: ClassVar[bool] = False
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name: that of its section, with that of the selection where there are several."""
        return self.section

    @abstractmethod
    def folder(self, context: JobContext) -> Path:
        """Return the folder that it alone writes to, with its manifest; or its one file."""

    @abstractmethod
    def describe(self, context: JobContext) -> StageRecord:
        """Say what it is made from; what it needs must have ended."""

    @abstractmethod
    def run(self, context: JobContext) -> Outcome:
        """Do the work, or go on with it."""

    def waits_for(self, context: JobContext) -> str | None:  # noqa: ARG002 - for those that wait
        """Say in one sentence what a person has to do first, if anything."""
        return None

    def recall(self, context: JobContext) -> Outcome | None:  # noqa: ARG002 - for those that do not check
        """Read what was made, or return None where it is not as it was written."""
        return None

    def ended_sha256(self, context: JobContext) -> str | None:
        """Return a hash of what it has made, or None where it has not ended."""
        return manifest_sha256(self.folder(context))


def stage_name(section: str, selection: str) -> str:
    """Return the name of a stage that there is once a selection.

    Examples
    --------
    >>> stage_name("train", ""), stage_name("train", "uniform")
    ('train', 'train/uniform')
    """
    return f"{section}/{selection}" if selection else section


def section_record(
    context: JobContext, section: str, keys: Mapping[str, Any], inputs: Mapping[str, str]
) -> StageRecord:
    """Return the record of a stage that is made from its section's keys and these inputs."""
    return StageRecord(inputs, deciding(SECTIONS[section].keys, keys, context.places.run))
