"""What a job did, and what it would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tasksel.job.plan import JobPlan

__all__ = ["JobResult", "StageResult"]


@dataclass(frozen=True)
class StageResult:
    """What became of one stage.

    Parameters
    ----------
    name, section : str
        The stage, and the section that it runs.
    state : {"done", "unchanged", "waiting", "left out"}
        Done by this call; finished before; waiting for answers; not asked for.
    folder : str
        Where its files are, relative to the run folder.
    seconds : float
        Wall time in this call.
    figures : dict
        JSON-compatible.
    notes : tuple of str
        What a person should know.
    """

    name: str
    section: str
    state: str
    folder: str
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobResult:
    """What a job did.

    Parameters
    ----------
    folder : Path
        The run folder.
    stages : tuple of StageResult
        In their order; empty after a dry run.
    waiting : str or None
        What a person has to do before the same call goes on; None where nothing waits.
    plan : JobPlan or None
        Of a dry run.
    """

    folder: Path
    stages: tuple[StageResult, ...] = ()
    waiting: str | None = None
    plan: JobPlan | None = None

    @property
    def is_finished(self) -> bool:
        """Whether every stage of the file has ended."""
        return bool(self.stages) and all(stage.state in ("done", "unchanged") for stage in self.stages)

    @property
    def is_as_before(self) -> bool:
        """Whether this call has changed nothing: every stage was finished, or not asked for."""
        return all(stage.state in ("unchanged", "left out") for stage in self.stages)

    def __getitem__(self, name: str) -> StageResult:
        """Return a stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        stages = [{**asdict(stage), "notes": list(stage.notes)} for stage in self.stages]
        account: dict[str, Any] = {"folder": str(self.folder), "finished": self.is_finished}
        if self.plan is not None:
            return {**account, "plan": self.plan.to_dict()}
        return {**account, "waiting": self.waiting, "stages": stages}
