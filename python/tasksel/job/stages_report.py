"""The stage that shows it all: one HTML file about the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasksel.job.keys import call_settings
from tasksel.job.sections import SECTIONS
from tasksel.job.stage import Outcome, Stage, section_record
from tasksel.report.report import write_report_files
from tasksel.run_folder import file_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasksel.job.context import JobContext
    from tasksel.job.ledger import StageRecord

__all__ = ["ReportStage"]


@dataclass(frozen=True)
class ReportStage(Stage):
    """``report.html`` in the run folder; it is written too where answers are still waited for.

    Parameters
    ----------
    shown : sequence of Stage
        Of what it tells.
    needs : tuple of str
        The selections.
    """

    shown: Sequence[Stage]
    needs: tuple[str, ...] = ()
    section: ClassVar[str] = "report"
    is_one_file: ClassVar[bool] = True

    def folder(self, context: JobContext) -> Path:
        """Return the file."""
        return context.places.report

    def describe(self, context: JobContext) -> StageRecord:
        """Say of which stages it tells, as far as they have ended."""
        ended = {stage.name: stage.ended_sha256(context) for stage in self.shown}
        inputs = {name: sha256 for name, sha256 in ended.items() if sha256 is not None}
        return section_record(context, "report", context.config["report"], inputs)

    def run(self, context: JobContext) -> Outcome:
        """Write it."""
        context.begin("Writing the report", "files")
        settings = call_settings(SECTIONS["report"].keys, context.config["report"])
        path, plots = write_report_files(context.places.run, context.places.report, **settings)
        return Outcome({"bytes": path.stat().st_size, "plots": len(plots)})

    def recall(self, context: JobContext) -> Outcome | None:
        """Leave the file as it is, if it is there."""
        path = context.places.report
        return Outcome({"bytes": path.stat().st_size}, is_reused=True) if path.is_file() else None

    def ended_sha256(self, context: JobContext) -> str | None:
        """Return the hash of the file."""
        path = context.places.report
        return file_sha256(path) if path.is_file() else None
