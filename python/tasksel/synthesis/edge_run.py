"""The edge cases of a run folder: made from its ordinary records, all proved, in a folder of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, file_sha256, folder_lock, write_json
from tasksel.run_folder_frames import write_frame
from tasksel.synthesis.config_file import CONFIG_NAME, PLAN_FOLDER, read_planned_config
from tasksel.synthesis.edge_batch import EdgeItems, make_edge_items, ordinary_items, prove_records
from tasksel_core import __version__
from tasksel_core.errors import ResumeError, SchemaError

if TYPE_CHECKING:
    import os

    from tasksel.synthesis.config import SynthesisConfig

__all__ = [
    "EDGE_FOLDER",
    "RECORDS_NAME",
    "EdgeSummary",
    "label_fields",
    "make_edge_records",
    "read_run_frame",
]

EDGE_FOLDER: Final = "edge"
GENERATION_FOLDER: Final = "generation"
RECORDS_NAME: Final = "records.parquet"
EXAMPLES_NAME: Final = "examples.parquet"
PROOFS_NAME: Final = "proofs.parquet"
UNFULFILLED_NAME: Final = "unfulfilled.parquet"
MAX_NOTED: Final = 5


@dataclass(frozen=True)
class EdgeSummary:
    """What `make_edge_records` made.

    Attributes
    ----------
    folder : str
        Where the files are.
    categories : list of dict
        For each planned category, by name: ``edge``, ``planned``, ``made``, ``unfulfilled``,
        ``left_to_model``, and of all its records, a model's among them, how many are ``proved``,
        ``disproved`` and ``unproved`` (a program cannot tell).
    notes : list of str
        What a person should know.
    """

    folder: str
    categories: list[dict[str, Any]]
    notes: list[str]

    @property
    def is_short(self) -> bool:
        """Whether a planned example could not be made."""
        return any(each["unfulfilled"] for each in self.categories)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-compatible values."""
        return asdict(self)


def make_edge_records(run: str | os.PathLike[str]) -> EdgeSummary:
    """Make the planned edge cases of a run that need no model, and prove those that a model wrote.

    Examples of tiers that were not generated yet are left for later, and so are those that the generation
    made itself. The same run gives the same bytes.

    Parameters
    ----------
    run : path
        Folder with ``plan/`` and ``generation/records.parquet``.

    Returns
    -------
    EdgeSummary
        ``RUN/edge`` holds ``records.parquet``, ``proofs.parquet`` (``id``, ``edge``, ``holds``, ``why`` of
        every edge record of the run), ``unfulfilled.parquet`` and, last, ``manifest.json``.

    Raises
    ------
    ResumeError
        The run has no plan or no records, or another process is at work in it.
    SchemaError
        A file of the run is damaged.
    MissingExtraError
        jsonschema is not installed.
    """
    run = Path(run)
    config = read_planned_config(run)
    examples = read_run_frame(run, PLAN_FOLDER, EXAMPLES_NAME, "`tasksel synth plan` makes it")
    records = read_run_frame(run, GENERATION_FOLDER, RECORDS_NAME, "`tasksel synth run` makes it")
    wanted = _open_examples(examples, records)
    made = make_edge_items(
        records, wanted, config.schema, config.seed, record=config.record, config=config.edge
    )
    folder = run / EDGE_FOLDER
    with folder_lock(folder):
        proofs = _prove_all(records, made.records, config)
        summary = _summary(folder, wanted, made, proofs)
        _write(run, folder, made, proofs, summary)
    return summary


def read_run_frame(run: Path, folder: str, name: str, hint: str) -> pl.DataFrame:
    """Read a file of a run folder.

    Raises
    ------
    ResumeError
        It is not there.
    SchemaError
        It is damaged.
    """
    path = run / folder / name
    if not path.is_file():
        raise ResumeError(f"{run} has no {folder}/{name}; {hint}.")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SchemaError(f"{path} is damaged; {hint} again once it is deleted.") from error


def label_fields(config: SynthesisConfig) -> tuple[str, ...]:
    """Return the fields that the response is made of: the label of a near-duplicate must differ in one."""
    return config.record.fields["response"]


def _open_examples(examples: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Return the planned edge examples of the tiers that were generated, without those already there."""
    there = (
        records.get_column("plan_id").implode()
        if "plan_id" in records.columns
        else pl.lit([], pl.List(pl.String))
    )
    wanted = examples.filter(pl.col("edge").is_not_null() & ~pl.col("plan_id").is_in(there))
    if "tier" not in examples.columns:
        return wanted
    reached = examples.filter(pl.col("plan_id").is_in(there))["tier"].max()
    return wanted.filter(pl.col("tier") <= reached) if reached is not None else wanted


def _prove_all(records: pl.DataFrame, made: pl.DataFrame, config: SynthesisConfig) -> pl.DataFrame:
    originals = {id_: item for id_, _, item in ordinary_items(records)}
    proofs = [
        prove_records(
            each, config.schema, config=config.edge, labels=label_fields(config), originals=originals
        )
        for each in (records, made)
        if "edge" in each.columns
    ]
    return pl.concat(proofs)


def _summary(folder: Path, wanted: pl.DataFrame, made: EdgeItems, proofs: pl.DataFrame) -> EdgeSummary:
    counts = {
        "planned": Counter(wanted["edge"]),
        "made": Counter(made.records["edge"]),
        "unfulfilled": Counter(made.unfulfilled["edge"]),
        "left_to_model": Counter(made.left_to_model["edge"]),
        "proved": Counter(proofs.filter(pl.col("holds"))["edge"]),
        "disproved": Counter(proofs.filter(~pl.col("holds"))["edge"]),
        "unproved": Counter(proofs.filter(pl.col("holds").is_null())["edge"]),
    }
    names = sorted({name for counter in counts.values() for name in counter})
    categories = [{"edge": name, **{key: each[name] for key, each in counts.items()}} for name in names]
    return EdgeSummary(str(folder), categories, _notes(categories, made))


def _notes(categories: list[dict[str, Any]], made: EdgeItems) -> list[str]:
    notes = []
    reasons = Counter(made.unfulfilled.select("edge", "stratum", "reason").iter_rows())
    for (edge, stratum, reason), count in sorted(reasons.items())[:MAX_NOTED]:
        notes.append(f"{count:,} of {edge} in {stratum} could not be made: {reason}.")
    if len(reasons) > MAX_NOTED:
        notes.append(f"{len(reasons) - MAX_NOTED:,} more reasons stand in {UNFULFILLED_NAME}.")
    wrong = sum(each["disproved"] for each in categories)
    if wrong:
        notes.append(
            f"{wrong:,} records are not the edge case that they are said to be; {PROOFS_NAME} says why."
        )
    left = made.left_to_model.height
    if left:
        notes.append(f"{left:,} planned edge cases need a model, and are not written yet.")
    if not made.records.is_empty():
        notes.append(
            "A changed item keeps the label of the item that it was made from; whether that still fits its "
            "text, no program can tell. Look before training on them."
        )
    return notes


def _write(run: Path, folder: Path, made: EdgeItems, proofs: pl.DataFrame, summary: EdgeSummary) -> None:
    frames = {RECORDS_NAME: made.records, PROOFS_NAME: proofs, UNFULFILLED_NAME: made.unfulfilled}
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    for name, frame in frames.items():
        write_frame(folder / name, frame)
    planned = [f"{PLAN_FOLDER}/{name}" for name in (CONFIG_NAME, EXAMPLES_NAME)]
    inputs = [*planned, f"{GENERATION_FOLDER}/{RECORDS_NAME}"]
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "edge",
        "inputs": {name: file_sha256(run / name) for name in inputs},
        "versions": {"tasksel": __version__, "polars": pl.__version__},
        "categories": summary.categories,
        "notes": summary.notes,
        "files": {name: file_sha256(folder / name) for name in frames},
    }
    write_json(folder / MANIFEST_NAME, manifest)
