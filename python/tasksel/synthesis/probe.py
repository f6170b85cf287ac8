"""Edge cases run through somebody's own program: what fails, in which way, and what to try next.

Every run of the program is appended to ``runs.jsonl`` under a hash of what it was given: a probe that was
stopped, and is started again, runs only what it did not run yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    folder_lock,
    write_json,
)
from tasksel.synthesis.edge_cases import EDGE_CASES, is_mutable
from tasksel.synthesis.edge_schema import item_json
from tasksel.synthesis.probe_batch import (
    CONTROL,
    FORMATS,
    ProbeBatch,
    ProbeExample,
    example_key,
    first_quotas,
    is_carried,
    make_probe_examples,
    read_probe_batch,
)
from tasksel.synthesis.probe_files import write_results
from tasksel.synthesis.probe_program import ProgramRun, parse_command
from tasksel.synthesis.probe_results import RESULT_SCHEMA, category_figures, next_batch, signature_figures
from tasksel.synthesis.probe_runs import Runner
from tasksel_core import __version__
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

__all__ = ["ProbeSettings", "ProbeSummary", "probe"]

MAX_NOTED: Final = 3
DEFAULT_SIZE: Final = 64
"""Edge cases of a batch that is made, where no batch says how many."""


@dataclass(frozen=True)
class ProbeSettings:
    """How a program is probed.

    Parameters
    ----------
    per_example : bool
        One run of the program an example. Otherwise a run gets several, and those that fail together are
        halved until it is known which.
    timeout_s : float
        Seconds that a run may take.
    iterations : int
        Batches at most; one that shows no new kind of failure is the last.
    format : {"jsonl", "json", "txt"}
        Of the files; ``txt`` holds one text alone, so that it is always one run an example.
    batch_size : int
        Examples that a run gets at most.
    size : int, optional
        Edge cases of a batch that is made; default: as many as the first batch has, or 64.
    control : int
        Ordinary examples at most.
    seed : int
        Of every choice.
    """

    per_example: bool = False
    timeout_s: float = 60.0
    iterations: int = 1
    format: str = "jsonl"
    batch_size: int = 16
    size: int | None = None
    control: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"format is {self.format!r}; allowed are {', '.join(FORMATS)}.")
        if not 0 < self.timeout_s < float("inf"):
            raise ConfigError(f"timeout_s is {self.timeout_s!r}; a number of seconds above 0 is wanted.")
        for name in ("iterations", "batch_size", "size", "control"):
            value, least = getattr(self, name), 0 if name == "control" else 1
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; a whole number of at least {least} is wanted.")

    @property
    def run_size(self) -> int:
        """Examples that a run gets at most."""
        return 1 if self.per_example or self.format == "txt" else self.batch_size


@dataclass(frozen=True)
class ProbeSummary:
    """What a probe found.

    Attributes
    ----------
    folder : str
        Where the files are.
    command : str
        The program.
    iterations : int
        Batches that were run.
    categories, signatures : list of dict
        See `category_figures` and `signature_figures`.
    together : list of dict
        Failures of several examples of which none fails alone: ``category``, ``examples``, ``signature``.
    plan : list of dict
        The next batch; see `next_batch`.
    notes : list of str
        What a person should know.
    """

    folder: str
    command: str
    iterations: int
    categories: list[dict[str, Any]]
    signatures: list[dict[str, Any]]
    together: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    notes: list[str]

    @property
    def worst_rate(self) -> float:
        """The highest failure rate of a category; 0 where nothing was run."""
        return max((each["rate"] or 0.0 for each in self.categories), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-compatible values; all texts are printable."""
        return dict(vars(self))


def probe(
    command: str,
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    schema: str | os.PathLike[str] | None = None,
    settings: ProbeSettings | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> ProbeSummary:
    """Run edge cases through a program, and plan the next batch where it failed.

    Parameters
    ----------
    command : str
        The program and its arguments; ``{file}`` stands for the path of a file with examples. No shell.
    source : path
        What `read_probe_batch` reads. Where it has ordinary items alone, edge cases are made from them.
    out : path
        Folder of the results; the same call continues an interrupted probe.
    schema : path, optional
        JSON Schema of an item in a file.
    settings : ProbeSettings, optional
        Default: all defaults.
    progress : callable, optional
        Called with examples done, examples in all, and 0.

    Returns
    -------
    ProbeSummary
        `out` holds ``results.parquet``, ``failures.jsonl``, ``next_plan.parquet``, ``next_plan.toml``,
        ``inputs/`` with a file for each failure and, last, ``manifest.json``.

    Raises
    ------
    ConfigError
        The command or a setting is wrong.
    ResumeError
        `out` holds the results of another command, or another process is at work in it.
    SchemaError
        The batch cannot be read.
    """
    settings = settings or ProbeSettings()
    arguments = parse_command(command)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; a folder for the results is wanted.")
    with folder_lock(folder):
        batch = read_probe_batch(source, schema=schema, control=settings.control, seed=settings.seed)
        runner = Runner(folder, arguments, timeout_s=settings.timeout_s, format=settings.format)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        search = _Search(batch, runner, settings, progress)
        search.run()
        return _finish(folder, command, search)


class _Search:
    """The batches one after the other: what was run, how it ended, and what comes next."""

    def __init__(
        self,
        batch: ProbeBatch,
        runner: Runner,
        settings: ProbeSettings,
        progress: Callable[[int, int, int], None] | None,
    ) -> None:
        self.batch = batch
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        self.items: list[ProbeExample] = []
        self.together: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.iterations = 0
        self.stopped_early = False
        self._runner = runner
        self._progress = progress
        self._total = 0
        self._signatures: set[str] = set()

    @property
    def results(self) -> pl.DataFrame:
        """Columns of `RESULT_SCHEMA`, one row an example."""
        return pl.DataFrame(self.rows, schema=dict(RESULT_SCHEMA))

    @property
    def size(self) -> int:
        """Edge cases of a batch that is made."""
        return self.settings.size or len(self.batch.examples) or DEFAULT_SIZE

    def run(self) -> None:
        """Run the first batch beside the ordinary examples, then others until nothing new fails."""
        examples = self.batch.examples or self._made_first()
        if not examples and not self.batch.control:
            raise ConfigError(f"{self.batch.name} has no example that the program could be run on.")
        self._run_batch([*self.batch.control, *examples])
        while self.iterations < self.settings.iterations:
            plan = self.plan().filter(~pl.col("needs_model"))
            rows = plan.select("category", "variant", "planned").iter_rows()
            quotas = {(category, variant): planned for category, variant, planned in rows if planned}
            seen = [item_json(example.item) for example in self.items]
            seed = self.settings.seed + self.iterations
            made = make_probe_examples(self.batch, quotas, seed=seed, seen=seen)
            if not made:
                self.notes.append(
                    "No further edge cases could be made: there are no ordinary items left to change."
                )
                return
            if not self._run_batch(made):
                self.stopped_early = self.iterations < self.settings.iterations
                return

    def plan(self) -> pl.DataFrame:
        """Return the next batch."""
        return next_batch(self.results, self.size, config=self.batch.edge)

    def _made_first(self) -> tuple[ProbeExample, ...]:
        categories = [name for name in EDGE_CASES if is_mutable(name)]
        made = make_probe_examples(self.batch, first_quotas(categories, self.size), seed=self.settings.seed)
        self.notes.append(
            f"{self.batch.name} has no edge cases; {len(made):,} were made from its "
            f"{len(self.batch.sources):,} items."
        )
        return made

    def _run_batch(self, examples: Sequence[ProbeExample]) -> bool:
        """Run examples category by category; say whether a new kind of failure came up."""
        self.iterations += 1
        carried = [each for each in examples if is_carried(each, self.settings.format)]
        if len(carried) < len(examples):
            self.notes.append(
                f"{len(examples) - len(carried):,} examples hold what a {self.settings.format} file cannot, "
                "and were left out."
            )
        self._total += len(carried)
        before = set(self._signatures)
        for category in dict.fromkeys(each.category for each in carried):
            of_category = [each for each in carried if each.category == category]
            for start in range(0, len(of_category), self.settings.run_size):
                self._examine(of_category[start : start + self.settings.run_size])
        return not self._signatures <= before

    def _examine(self, examples: Sequence[ProbeExample]) -> bool:
        """Run examples together, halve what goes wrong; say whether an example alone goes wrong."""
        run = self._runner.run(examples)
        if run.signature is None or len(examples) == 1:
            for example in examples:
                self._record(example, run)
            return run.signature is not None
        half = len(examples) // 2
        first, second = self._examine(examples[:half]), self._examine(examples[half:])
        if not (first or second):
            self.together.append(
                {"category": examples[0].category, "examples": len(examples), "signature": run.signature}
            )
            self._signatures.add(run.signature)
            return True
        return True

    def _record(self, example: ProbeExample, run: ProgramRun) -> None:
        if run.signature is not None:
            self._signatures.add(run.signature)
        row = {name: getattr(example, name) for name in ("category", "variant", "field", "change")}
        told = {
            name: getattr(run, name) for name in ("outcome", "exit_code", "signal", "failed", "signature")
        }
        lines = {name: getattr(run, name) for name in ("error_line", "first_line", "last_line")}
        name = None if run.signature is None else self._runner.input_name(example)
        key = example_key(example)
        self.rows.append({"iteration": self.iterations, "key": key, **row, **told, **lines, "input": name})
        self.items.append(example)
        if self._progress is not None:
            self._progress(len(self.rows), self._total, 0)


def _finish(folder: Path, command: str, search: _Search) -> ProbeSummary:
    results, plan = search.results, search.plan()
    files = write_results(folder, search.rows, search.items, plan, search.batch.edge)
    summary = ProbeSummary(
        folder=str(folder),
        command=command,
        iterations=search.iterations,
        categories=category_figures(results),
        signatures=signature_figures(results),
        together=search.together,
        plan=plan.to_dicts(),
        notes=_notes(search, results),
    )
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "probe",
        "settings": {**vars(search.settings), "command": command, "batch": search.batch.name},
        "iterations": search.iterations,
        "categories": summary.categories,
        "together": summary.together,
        "versions": {"tasksel": __version__, "polars": pl.__version__},
        "files": files,
    }
    write_json(folder / MANIFEST_NAME, manifest)
    return summary


def _notes(search: _Search, results: pl.DataFrame) -> list[str]:
    notes = list(search.notes)
    control = results.filter(pl.col("category") == CONTROL)
    if control.is_empty():
        notes.append("There are no ordinary examples to compare with.")
    elif control["failed"].all():
        notes.append("Every ordinary example fails too: look at the command first.")
    if search.stopped_early:
        notes.append(f"Batch {search.iterations} showed no new kind of failure, so it is the last.")
    if search.iterations > 1:
        notes.append("Rates and intervals are of the first batch; later ones look where failures were.")
    notes += [
        f"{each['examples']:,} examples of {each['category']} fail together and none alone: "
        f"{each['signature']}"
        for each in search.together[:MAX_NOTED]
    ]
    if len(search.together) > MAX_NOTED:
        notes.append(f"{len(search.together) - MAX_NOTED:,} more groups do; the manifest lists them.")
    return notes
