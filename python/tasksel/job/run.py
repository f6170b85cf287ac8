"""A job from its file to its figures: stage after stage, each only as far as it is not done."""

from __future__ import annotations

import importlib.metadata
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.job.checks import check_data, check_job
from tasksel.job.config import JobConfig, load_job
from tasksel.job.context import JobContext
from tasksel.job.keys import relative_keys, relative_place
from tasksel.job.ledger import Ledger, manifest_sha256
from tasksel.job.pipeline import chosen_sections, list_stages
from tasksel.job.places import TASKED_POOL_NAME
from tasksel.job.result import JobResult, StageResult
from tasksel.job.sections import SECTIONS
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    refuse_unknown_format,
    write_bytes,
    write_json,
)
from tasksel.run_folder_identity import SETTINGS_NAME, ChangedInputsError
from tasksel.selection_files import JOB_NAME
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasksel.job.ledger import StageRecord
    from tasksel.job.stage import Outcome, Stage
    from tasksel.shard_run import ShardProgress

__all__ = ["JOB_STAGE", "run_job", "run_stages"]

JOB_STAGE: Final = "job"
"""What the manifest of a run folder says that it is of."""


def run_job(
    config: str | os.PathLike[str] | JobConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
    only: str | None = None,
    until: str | None = None,
    measure: bool = True,
    progress: Callable[[str, str], ShardProgress | None] | None = None,
    announce: Callable[[], object] | None = None,
) -> JobResult:
    r"""Run the whole loop from one file: tasks, scores, selection, labels, training, evaluation, report.

    The same call on the same folder goes on where it stopped, also after ``kill -9``. A stage that is
    finished is not repeated. After a change of the file only what depends on the change is done again; what
    the old settings made is kept in ``RUN/earlier`` and taken out again when they come back. Without answers
    to the selected prompts the job ends after the selection and says what to do.

    Parameters
    ----------
    config : path or JobConfig
        A TOML file; ``tasksel init`` writes one with every key in it.
    out : path, optional
        The run folder, instead of the file's.
    dry_run : bool
        Say what would be done, and write nothing.
    only, until : str, optional
        A section: run nothing else, or nothing after it.
    measure : bool
        Of a dry run: let the models answer a few prompts, to tell how long all would take. Nothing is fetched
        and no server is asked.
    progress : callable, optional
        ``(label, unit) -> ShardProgress or None``, called at the beginning of each stage.
    announce : callable, optional
        Called at the first Ctrl-C.

    Returns
    -------
    JobResult

    Raises
    ------
    ConfigError
        Something in the file is unknown or not allowed, or a stage lacks what it needs.
    ResumeError
        The run folder is in use, or a file in it is damaged.
    TaskselError
        As the functions of the stages raise them.
    KeyboardInterrupt
        It was stopped; what was finished is kept.

    Examples
    --------
    >>> import tempfile
    >>> from tasksel.toy_world import make_toy_pool
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_toy_pool(0, n_tasks=3, largest=6).write_parquet(f"{folder}/pool.parquet")
    ...     _ = Path(folder, "job.toml").write_text('[pool]\npath="pool.parquet"\n[select]\nbudget=4\n')
    ...     run_job(f"{folder}/job.toml")["select"].figures["selected"]
    4
    """
    loaded = config if isinstance(config, JobConfig) else load_job(config)
    if out is not None:
        loaded = loaded.with_out(Path(out))
    check_job(loaded)
    sections = chosen_sections(loaded, only, until)
    context = JobContext(loaded, progress or (lambda _, __: None), announce, may_fetch=not dry_run)
    check_data(context)
    if dry_run:
        from tasksel.job.plan import plan_job

        return JobResult(loaded.out, plan=plan_job(context, sections, measure=measure))
    with folder_lock(loaded.out):
        return _JobRun(context, sections, list_stages(loaded)).finish()


def run_stages(context: JobContext, stages: Sequence[Stage]) -> JobResult:
    """Run the stages of a job that has others than its file's; what is finished is not repeated.

    Parameters
    ----------
    context : JobContext
        Its configuration was checked.
    stages : sequence of Stage
        In an order in which each finds what it needs.

    Raises
    ------
    ResumeError, TaskselError, KeyboardInterrupt
        As `run_job`.
    """
    with folder_lock(context.places.run):
        return _JobRun(context, tuple({stage.section for stage in stages}), stages).finish()


class _JobRun:
    """One call on a run folder that it holds for itself."""

    def __init__(self, context: JobContext, sections: Sequence[str], stages: Sequence[Stage]) -> None:
        self.context = context
        self.sections = sections
        self.stages = stages
        self.ledger = Ledger(context.places.run)
        self.results: dict[str, StageResult] = {}
        self.waiting: str | None = None
        self.outdated: set[str] = set()
        """Stages whose folders are not, or no longer, what the file asks for."""

    def finish(self) -> JobResult:
        run, manifest = self.context.places.run, self.context.places.run / MANIFEST_NAME
        stages = self.stages
        self._check_needs(stages)
        refuse_unknown_format(run / JOB_NAME)
        before = manifest.read_bytes() if manifest.is_file() else None
        manifest.unlink(missing_ok=True)
        write_json(run / JOB_NAME, describe_job(self.context))
        for stage in stages:
            self.results[stage.name] = self._take(stage)
        result = JobResult(run, tuple(self.results.values()), self.waiting)
        if result.is_finished:
            write_json(manifest, self._manifest(stages))
        elif before is not None and result.is_as_before:
            write_bytes(manifest, before)
        return result

    def _take(self, stage: Stage) -> StageResult:
        """Run a stage, or say why it is not run."""
        folder = _relative(stage.folder(self.context), self.context.places.run)
        if stage.section not in self.sections:
            self._pass_over(stage)
            return StageResult(stage.name, stage.section, "left out", folder)
        waits = any(self.results[need].state == "waiting" for need in stage.needs)
        said = None if waits else stage.waits_for(self.context)
        if waits or said is not None:
            self.waiting = self.waiting or said
            self.outdated.add(stage.name)
            self._pass_over(stage)
            return StageResult(stage.name, stage.section, "waiting", folder)
        started_s = time.perf_counter()
        outcome, notes = self._bring_about(stage)
        return StageResult(
            stage.name,
            stage.section,
            "unchanged" if outcome.is_reused else "done",
            folder,
            time.perf_counter() - started_s,
            outcome.figures,
            (*notes, *outcome.notes),
        )

    def _check_needs(self, stages: Sequence[Stage]) -> None:
        """Refuse stages whose inputs are left out of this call and not there as the file asks for them."""
        needed = {need for stage in stages if stage.section in self.sections for need in stage.needs}
        for stage in reversed(stages):
            if stage.name in needed and stage.section not in self.sections:
                needed |= {*stage.needs}
        for stage in stages:
            if stage.name not in needed or stage.section in self.sections:
                continue
            if stage.ended_sha256(self.context) is None:
                why = "has not been run"
            elif self._is_changed(stage):
                why = "has changed since it was run"
            else:
                continue
            asked = " and ".join(self.sections)
            raise ConfigError(
                f"{asked} needs [{stage.section}], which {why}; leave --only out, or run that first."
            )

    def _is_changed(self, stage: Stage) -> bool:
        """Tell whether a stage is known to be made from something else than the file asks for."""
        known = self.ledger.read(stage.name)
        return known is not None and known.fingerprint != stage.describe(self.context).fingerprint

    def _pass_over(self, stage: Stage) -> None:
        """Put aside what a stage that does not run now has made from what is not there any more.

        Otherwise a new selection would stand beside the evaluation of the one before.
        """
        if any(need in self.outdated for need in stage.needs):
            self.outdated.add(stage.name)
        known, folder = self.ledger.read(stage.name), stage.folder(self.context)
        if stage.name in self.outdated and known is not None and not stage.is_one_file:
            self.ledger.put_aside(stage.name, folder, known.fingerprint)

    def _bring_about(self, stage: Stage) -> tuple[Outcome, list[str]]:
        """Put aside what other settings made, then let the stage do what is not done."""
        record, folder = stage.describe(self.context), stage.folder(self.context)
        known = self.ledger.read(stage.name)
        is_same = known is not None and known.fingerprint == record.fingerprint
        if stage.is_one_file:
            return self._write_file(stage, record, is_same=is_same), []
        if known is not None and not is_same:
            self.outdated.add(stage.name)
        gone = self.ledger.begin(stage.name, folder, record)
        notes = [] if gone is None else [_gone_note(stage, gone)]
        if manifest_sha256(folder) is not None and (is_same or gone is not None):
            recalled = stage.recall(self.context)
            if recalled is not None:
                return recalled, notes
        try:
            return stage.run(self.context), notes
        except ChangedInputsError:
            if known is not None:
                # The file is the same: the files of a model have changed, or the machine. What was made may
                # have cost days, so a person decides; the message says how.
                raise
            gone = self.ledger.put_aside(stage.name, folder, _unrecorded(folder))
            notes.append(_gone_note(stage, str(gone)))
            return stage.run(self.context), notes

    def _write_file(self, stage: Stage, record: StageRecord, *, is_same: bool) -> Outcome:
        """Let a stage write its one file, and record afterwards what that is made from."""
        recalled = stage.recall(self.context) if is_same else None
        if recalled is not None:
            return recalled
        outcome = stage.run(self.context)
        self.ledger.write(stage.name, record)
        return outcome

    def _manifest(self, stages: Sequence[Stage]) -> dict[str, Any]:
        pool = self.context.given_pool
        return {
            "format_version": FORMAT_VERSION,
            "stage": JOB_STAGE,
            "pool": {"name": pool.name, "rows": pool.frame.height, "sha256": pool.sha256},
            "stages": {
                stage.name: {
                    "folder": self.results[stage.name].folder,
                    "sha256": stage.ended_sha256(self.context),
                }
                for stage in stages
            },
            "versions": {"tasksel": importlib.metadata.version("tasksel")},
        }


def describe_job(context: JobContext) -> dict[str, Any]:
    """Return what ``job.json`` holds: the resolved file, and where a selection's inputs are.

    Paths are relative to the run folder.
    """
    config, places = context.config, context.places
    run = places.run
    selections = [
        {**({"name": each.name} if each.name else {}), **each.settings} for each in config.selections
    ]
    sections: dict[str, Any] = {
        name: relative_keys(SECTIONS[name].keys, keys, run) for name, keys in config.sections.items()
    }
    sections["select"] = [relative_keys(SECTIONS["select"].keys, each, run) for each in selections]
    inputs = {"pool": relative_place(config["pool"]["path"], run)}
    if "tasks" in config:
        inputs["pool"] = _relative(places.tasks / TASKED_POOL_NAME, run)
    if "score" in config:
        inputs["scores"] = _relative(places.scores, run)
    if "embed" in config:
        inputs["embeddings"] = _relative(places.embeddings, run)
    elif "embed_from" in config["score"]:
        inputs["embeddings"] = _relative(places.scores, run)
    for name in ("scores", "embeddings", "labelled"):
        named = [each[name] for each in sections["select"] if name in each]
        if named and name not in inputs:
            inputs[name] = named[0]
    content = {"format_version": FORMAT_VERSION, "stage": JOB_STAGE, "name": config.name}
    return {**content, "inputs": inputs, "config": sections}


def _relative(path: Path, run: Path) -> str:
    return Path(os.path.relpath(path, run)).as_posix()


def _gone_note(stage: Stage, gone: str) -> str:
    return f"[{stage.section}] has changed: what the settings before made is kept in {gone}."


def _unrecorded(folder: Path) -> str:
    """Name what a folder was made from, where there is no record of it that is right."""
    path = folder / SETTINGS_NAME
    return file_sha256(path) if path.is_file() else "unrecorded"
