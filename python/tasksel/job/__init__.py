"""The whole loop from one TOML file: a plan, stages that resume, one run folder."""

from tasksel.job.config import JobConfig, load_job
from tasksel.job.result import JobResult, StageResult
from tasksel.job.run import run_job

__all__ = ["JobConfig", "JobResult", "StageResult", "load_job", "run_job"]
