"""One HTML file that a person opens: what a run planned, made and found."""

from tasksel.report.report import write_report

__all__ = ["write_report"]
