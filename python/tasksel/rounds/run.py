"""Rounds from their file to a table: select, label, train, evaluate, and decide whether to go on."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.job.checks import check_data
from tasksel.job.keys import call_settings
from tasksel.job.prices import label_prices
from tasksel.job.run import run_stages
from tasksel.job.sections import SECTIONS
from tasksel.report.report import write_report_files
from tasksel.rounds.config import RoundsConfig, load_rounds
from tasksel.rounds.gains import Gain, measure_gain
from tasksel.rounds.places import BEFORE
from tasksel.rounds.plan import plan_rounds
from tasksel.rounds.record import ROUND_SHAPE, RoundRecord
from tasksel.rounds.result import RoundsResult
from tasksel.rounds.round_jobs import RoundJobs
from tasksel.rounds.stopping import find_reason
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    read_versioned,
    refuse_unknown_format,
    write_json,
    write_text,
)
from tasksel.selection_costs import COST_COLUMN
from tasksel_core.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tasksel.shard_run import ShardProgress

__all__ = ["ROUNDS_STAGE", "run_rounds"]

ROUNDS_STAGE: Final = "rounds"
"""What the manifest of a run folder says that it is of."""


def run_rounds(
    config: str | os.PathLike[str] | RoundsConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
    progress: Callable[[str, str], ShardProgress | None] | None = None,
    announce: Callable[[], object] | None = None,
) -> RoundsResult:
    r"""Label in rounds: each selects with all labels so far, gets its labels, trains, evaluates, decides.

    The same call on the same folder goes on where it stopped, also after ``kill -9``. What is finished is not
    repeated; after a change of the file only what depends on the change is done again. Where people label, it
    ends after the selection of a round and says what to do.

    Parameters
    ----------
    config : path or RoundsConfig
        A TOML file: a job with a section ``[rounds]``.
    out : path, optional
        The run folder, instead of the file's.
    dry_run : bool
        Say what the rounds would buy, and write nothing.
    progress : callable, optional
        ``(label, unit) -> ShardProgress or None``, called at the beginning of each stage.
    announce : callable, optional
        Called at the first Ctrl-C.

    Returns
    -------
    RoundsResult

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
    >>> text = '[pool]\npath="pool.parquet"\n[select]\nbudget=6\n[rounds]\nn=2\n'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_toy_pool(0, n_tasks=3, largest=6).write_parquet(f"{folder}/pool.parquet")
    ...     _ = Path(folder, "job.toml").write_text(text)
    ...     run_rounds(f"{folder}/job.toml").table["labels"].to_list()
    [3, 6]
    """
    loaded = config if isinstance(config, RoundsConfig) else load_rounds(config)
    if out is not None:
        loaded = loaded.with_out(Path(out))
    jobs = RoundJobs(loaded, progress or (lambda _, __: None), announce)
    check_data(jobs.whole)
    _check_costs(jobs)
    if dry_run:
        return RoundsResult(loaded.out, (), loaded.sizes.n, plan=plan_rounds(jobs))
    with folder_lock(loaded.out):
        return _RoundsRun(jobs).finish()


def _check_costs(jobs: RoundJobs) -> None:
    """Refuse a limit in money where nothing says what a label costs: it would never be reached."""
    config = jobs.config
    column = config.selection.settings.get("cost_column", COST_COLUMN)
    is_billed = config.limits is not None and config.limits.price is not None
    is_known = label_prices(config.job) is not None or column in jobs.whole.given_pool.frame.columns
    if config.rules.max_cost is not None and not (is_billed or is_known):
        raise ConfigError(
            "max_cost of [rounds] needs what a label costs: cost_per_example in [labels], for example, a "
            f"column {COST_COLUMN!r} of the pool, or prices in [teacher]."
        )


class _RoundsRun:
    """One call on a run folder that it holds for itself."""

    def __init__(self, jobs: RoundJobs) -> None:
        self.jobs = jobs
        self.config = jobs.config
        self.places = jobs.places
        self.records: list[RoundRecord] = []
        self.notes: list[str] = []
        self.is_as_before = True

    def finish(self) -> RoundsResult:
        refuse_unknown_format(self.places.summary)
        (self.config.out / MANIFEST_NAME).unlink(missing_ok=True)
        waiting, stopped = self._bring_about(BEFORE), None
        while waiting is None and stopped is None:
            number = self._last + 1
            stopped = self._reason_to_stop(number)
            if stopped is None:
                waiting, stopped = self._take(number)
        self._tell_of_others(is_waiting=waiting is not None)
        result = RoundsResult(
            self.config.out,
            tuple(self.records),
            self.config.sizes.n,
            stopped,
            waiting,
            tuple(dict.fromkeys(self.notes)),
        )
        self._write(result)
        self._report()
        if stopped is not None:
            write_json(self.config.out / MANIFEST_NAME, self._manifest(result))
        return result

    @property
    def _last(self) -> int:
        return max((each.number for each in self.records), default=BEFORE)

    def _take(self, number: int) -> tuple[str | None, str | None]:
        """Do a round; return what it waits for, or why it could not be one."""
        try:
            return self._bring_about(number), None
        except BudgetError as error:
            if number == 1 or self.config.sizes.budget == "budget":
                raise
            return None, f"the budget is used up ({str(error).rstrip('.')})"

    def _bring_about(self, number: int) -> str | None:
        """Run the stages of a round, as far as they are not done; return what it waits for."""
        context = self.jobs.context(number)
        stages = self.jobs.stages(number, context)
        result = run_stages(context, stages)
        self.is_as_before &= result.is_as_before
        self.notes += [note for stage in result.stages for note in stage.notes]
        is_told = number > BEFORE or any(stage.section == "evaluate" for stage in stages)
        if result.waiting is None and is_told:
            self.records.append(self._record(number))
        return result.waiting

    def _record(self, number: int) -> RoundRecord:
        content = read_versioned(self.places.account(number), ROUND_SHAPE)
        gain = None
        if content["figure"] is not None and self.records and self.records[-1].figure is not None:
            gain = self._gain_over(self.records[-1].number, number)
        return RoundRecord.read(content, gain)

    def _gain_over(self, earlier: int, later: int) -> Gain:
        """Compare the models of two rounds."""
        figure = RoundRecord.read(read_versioned(self.places.account(later), ROUND_SHAPE)).figure
        assert figure is not None  # noqa: S101 - asked for only then; for the type checker
        return measure_gain(self.places.evaluation(earlier), self.places.evaluation(later), figure)

    def _reason_to_stop(self, number: int) -> str | None:
        """Say why a round is not begun, or return None."""
        if number == 1:
            return None
        sizes = self.config.sizes
        found = find_reason(self.config.rules, self.records, self._gain_over, self._next_labels(number))
        if found is not None:
            return found
        if number > sizes.n:
            return "the only round is done" if sizes.n == 1 else f"all {sizes.n:,} rounds are done"
        if not self._n_left:
            return "the pool is used up: annotators have seen every prompt"
        return None

    def _next_labels(self, number: int) -> float | None:
        """Return how many labels a round would have, where tokens or money do not decide it."""
        if number > self.config.sizes.n or self.config.sizes.budget != "budget":
            return None
        return float(min(self.jobs.budget_of(number)["budget"], self._n_left))

    @property
    def _n_left(self) -> int:
        last = self.records[-1]
        return int(self.jobs.pool.frame.height - last.labels - last.set_aside)

    def _tell_of_others(self, *, is_waiting: bool) -> None:
        """Say which folders are of rounds that there are not any more: what they hold was paid for."""
        begun = self._last + is_waiting
        there = sorted(
            each.name for each in self.places.folder(BEFORE).parent.iterdir() if each.name.isdigit()
        )
        others = [name for name in there if int(name) > begun]
        if others:
            is_are = "is of a round that does" if len(others) == 1 else "are of rounds that do"
            self.notes.append(f"rounds/{', rounds/'.join(others)} {is_are} not count with these settings.")

    def _write(self, result: RoundsResult) -> None:
        """Write the table and the summary."""
        write_text(self.places.table, result.table.write_csv())
        rows = [each.to_row() for each in result.rounds]
        content = {"format_version": FORMAT_VERSION, "stage": ROUNDS_STAGE, "rounds": rows}
        write_json(self.places.summary, {**content, **result.account()})

    def _manifest(self, result: RoundsResult) -> dict[str, Any]:
        pool = self.jobs.whole.given_pool
        accounts = {
            self.places.account(each.number).relative_to(self.config.out).as_posix(): file_sha256(
                self.places.account(each.number)
            )
            for each in result.rounds
        }
        files = {path.name: file_sha256(path) for path in (self.places.table, self.places.summary)}
        return {
            "format_version": FORMAT_VERSION,
            "stage": ROUNDS_STAGE,
            "pool": {"name": pool.name, "rows": pool.frame.height, "sha256": pool.sha256},
            "stopped": result.stopped,
            "files": {**files, **accounts},
            "versions": {"tasksel": importlib.metadata.version("tasksel")},
        }

    def _report(self) -> None:
        """Write the report of it all, if the file asks for one and it would not be the same."""
        path = self.places.report
        if "report" not in self.config.job or (self.is_as_before and path.is_file()):
            return
        self.jobs.begin("Writing the report", "files")
        settings = call_settings(SECTIONS["report"].keys, self.config.job["report"])
        write_report_files(self.config.out, path, **settings)
