"""What a job would do: which stages, on how many rows and tokens, for how long, and what labels cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tasksel.job.costs import LabelCost, estimate_labels
from tasksel.job.ledger import Ledger
from tasksel.job.pipeline import list_stages
from tasksel.job.stages_training import LabelStage, find_labels
from tasksel.job.work import StageWork, WorkEstimates
from tasksel.pool import unanswered
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasksel.job.context import JobContext
    from tasksel.job.stage import Stage

__all__ = ["JobPlan", "PlannedStage", "plan_job"]

FINISHED = "finished"
_OPEN = ("to do", "goes on", "again")
"""States in which a stage has work left."""


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan.

    Parameters
    ----------
    name, section : str
        The stage, and the section that it runs.
    state : {"finished", "goes on", "to do", "again", "kept", "waiting", "left out"}
        ``again``: made before with other settings or from other inputs. ``kept``: made before with these and
        put aside since, so that it is only taken out.
    reasons : tuple of str
        What has changed, or what is waited for.
    work : StageWork
        Rows, tokens and time of what is left.
    """

    name: str
    section: str
    state: str
    reasons: tuple[str, ...] = ()
    work: StageWork = field(default_factory=StageWork)

    @property
    def is_open(self) -> bool:
        """Whether it would do work."""
        return self.state in _OPEN


@dataclass(frozen=True)
class JobPlan:
    """What a job would do.

    Parameters
    ----------
    pool : dict
        ``name``, ``rows`` and ``tasks`` (None where it has none).
    stages : tuple of PlannedStage
        In their order.
    labels : LabelCost
        What the answers to the selections cost.
    """

    pool: dict[str, Any]
    stages: tuple[PlannedStage, ...]
    labels: LabelCost

    @property
    def seconds(self) -> float | None:
        """Time of the stages that it is known of; None where it is known of none."""
        known = [stage.work.seconds for stage in self.stages if stage.is_open]
        timed = [seconds for seconds in known if seconds is not None]
        return sum(timed) if timed else None

    @property
    def untimed(self) -> tuple[str, ...]:
        """Names of stages in which a model works, for a time that is not known."""
        return tuple(
            stage.name
            for stage in self.stages
            if stage.is_open and stage.work.seconds is None and stage.work.time_basis
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        stages = [{**asdict(stage), "reasons": list(stage.reasons)} for stage in self.stages]
        return {
            "pool": self.pool,
            "stages": stages,
            "seconds": self.seconds,
            "untimed": list(self.untimed),
            "labels": self.labels.to_dict(),
        }


def plan_job(context: JobContext, sections: Sequence[str], *, measure: bool) -> JobPlan:
    """Look at a run folder, and say what the same job would do with it; nothing is written there.

    Parameters
    ----------
    context : JobContext
    sections : sequence of str
        Those that would run.
    measure : bool
        Whether models answer a few prompts, to tell how long all would take.
    """
    planned: dict[str, PlannedStage] = {}
    stages = list_stages(context.config)
    for stage in stages:
        planned[stage.name] = _plan_stage(context, stage, sections, planned)
    works = WorkEstimates(context, measure=measure)
    frame = context.given_pool.frame
    shown = [
        replace(each, work=works.of(stage, each.state)) if each.is_open else each
        for stage, each in zip(stages, planned.values(), strict=True)
    ]
    return JobPlan(
        {
            "name": context.given_pool.name,
            "rows": frame.height,
            "tasks": frame["task"].n_unique() if "task" in frame.columns else None,
        },
        tuple(shown),
        estimate_labels(context),
    )


def _plan_stage(
    context: JobContext, stage: Stage, sections: Sequence[str], planned: dict[str, PlannedStage]
) -> PlannedStage:
    before = [planned[need] for need in stage.needs]
    if stage.section == "report":  # it tells of all, and waits for none
        before += [each for each in planned.values() if each.is_open or each.state == "kept"]
    there = stage.folder(context).exists()

    def said(state: str, *reasons: str) -> PlannedStage:
        return PlannedStage(stage.name, stage.section, state, reasons)

    if stage.section not in sections:
        return said("left out")
    if any(each.state == "waiting" for each in before):
        return said("waiting")
    follows = [each.name for each in before if each.state != FINISHED]
    if follows:
        waits = _foreseen_wait(context, stage)
        if waits is not None:
            return said("waiting", waits)
        return said("again" if there else "to do", *(f"follows {name}" for name in follows if there))
    return _compare(context, stage, said, there=there)


def _compare(
    context: JobContext, stage: Stage, said: Callable[..., PlannedStage], *, there: bool
) -> PlannedStage:
    """Compare what a stage was made from with what it would be made from."""
    ledger = Ledger(context.places.run)
    try:
        waits = stage.waits_for(context)
        record, known = stage.describe(context), ledger.read(stage.name)
    except TaskselError as error:  # a damaged file of the run: running says the same
        return said("again", str(error))
    if waits is not None:
        return said("waiting", waits)
    if known is not None and known.fingerprint != record.fingerprint:
        if ledger.is_kept(stage.name, record):
            return said("kept", *record.changes_from(known))
        return said("again" if there else "to do", *record.changes_from(known))
    if known is None and there:
        return said("goes on" if stage.checks_itself else "again", "not made by this job")
    if stage.ended_sha256(context) is not None and (known is not None or not stage.is_one_file):
        return said(FINISHED)
    return said("goes on" if there else "to do")


def _foreseen_wait(context: JobContext, stage: Stage) -> str | None:
    """Say whether answers will be missing once the selection is made."""
    if not isinstance(stage, LabelStage):
        return None
    path, is_named = find_labels(context)
    if path.is_file():
        return None
    if not is_named and not unanswered(context.given_pool.frame).height:
        return None
    return f"the answers to the selected prompts, in {path}"
