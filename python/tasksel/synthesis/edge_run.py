"""The edge cases of a run folder: made from its ordinary records, all proved, in a folder of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    read_versioned,
    write_json,
)
from tasksel.run_folder_frames import write_frame
from tasksel.synthesis.config_file import CONFIG_NAME, EXAMPLES_NAME, PLAN_FOLDER, read_planned_config
from tasksel.synthesis.edge_batch import EdgeItems, make_edge_items, ordinary_items, prove_records
from tasksel.synthesis.edge_cases import is_mutable
from tasksel.synthesis.records import EDGE_FOLDER, GENERATION_FOLDER, RECORDS_NAME, read_records
from tasksel.synthesis.run_files import read_examples
from tasksel_core import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from tasksel.synthesis.config import SynthesisConfig

__all__ = [
    "EdgeSummary",
    "label_fields",
    "make_edge_records",
    "refresh_edge_records",
    "wants_edge_records",
]

PROOFS_NAME: Final = "proofs.parquet"
UNFULFILLED_NAME: Final = "unfulfilled.parquet"
MAX_NOTED: Final = 5
_INPUTS: Final = (
    f"{PLAN_FOLDER}/{CONFIG_NAME}",
    f"{PLAN_FOLDER}/{EXAMPLES_NAME}",
    f"{GENERATION_FOLDER}/{RECORDS_NAME}",
)


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


def make_edge_records(run: str | os.PathLike[str], *, replace_disproved: bool = False) -> EdgeSummary:
    """Make the planned edge cases of a run that need no model, and prove those that a model wrote.

    Examples of tiers that were not generated yet are left for later, and so are those that the generation
    wrote itself. The same run gives the same bytes.

    Parameters
    ----------
    run : path
        Folder with ``plan/`` and ``generation/records.parquet``.
    replace_disproved : bool
        Make those too that a model wrote and that are not what their category says; ``edge_replaces`` has the
        id of the record in whose place each stands.

    Returns
    -------
    EdgeSummary
        ``RUN/edge`` holds ``records.parquet``, ``proofs.parquet`` (``id``, ``edge``, ``holds``, ``why`` of
        every edge record of the run), ``unfulfilled.parquet`` and, last, ``manifest.json``.

    Raises
    ------
    ResumeError
        The run has no plan or no records, a file of it cannot be read, or another process is at work in it.
    SchemaError
        The examples or records lack a column.
    MissingExtraError
        jsonschema is not installed.
    """
    run = Path(run)
    config = read_planned_config(run)
    examples = read_examples(run)
    records = read_records(run)
    originals = {id_: item for id_, _, item in ordinary_items(records)}
    written = _prove(records, originals, config)
    replaced = _disproved(records, written) if replace_disproved else {}
    wanted = _open_examples(examples, records, replaced)
    made = make_edge_items(
        records, wanted, config.schema, config.seed, record=config.record, config=config.edge
    )
    replaces = pl.col("plan_id").replace_strict(replaced, default=None, return_dtype=pl.String)
    made = replace(made, records=made.records.with_columns(edge_replaces=replaces))
    folder = run / EDGE_FOLDER
    with folder_lock(folder):
        proofs = pl.concat([written, _prove(made.records, originals, config)])
        summary = _summary(folder, wanted, made, proofs)
        _write(run, folder, made, proofs, summary, replace_disproved=replace_disproved)
    return summary


def refresh_edge_records(run: Path) -> None:
    """Make the edge records of a run, unless they are there and of the records that it has now.

    Raises
    ------
    ResumeError, SchemaError, MissingExtraError
        As in `make_edge_records`.
    """
    path = run / EDGE_FOLDER / MANIFEST_NAME
    stored = read_versioned(path, {"settings?": dict}) if path.exists() else {}
    there = [name for name in _INPUTS if (run / name).is_file()]
    if stored.get("inputs") != {name: file_sha256(run / name) for name in there}:
        settings = stored.get("settings", {})
        make_edge_records(run, replace_disproved=bool(settings.get("replace_disproved")))


def wants_edge_records(run: str | os.PathLike[str]) -> bool:
    """Whether the plan of a run has edge cases that a program makes instead of a model.

    Raises
    ------
    ResumeError, SchemaError
        As in `make_edge_records`.
    """
    config = read_planned_config(run)
    if config.edge is None or config.edge.ask_model:
        return False
    examples = read_examples(Path(run))
    return any(is_mutable(name, config.edge) for name in examples["edge"].drop_nulls().unique())


def label_fields(config: SynthesisConfig) -> tuple[str, ...]:
    """Return the fields that the response is made of: the label of a near-duplicate must differ in one."""
    return config.record.fields["response"]


def _open_examples(
    examples: pl.DataFrame, records: pl.DataFrame, replaced: Mapping[str, str]
) -> pl.DataFrame:
    """Return the planned edge examples of the tiers that were generated, without those already there."""
    there = set(records["plan_id"]) if "plan_id" in records.columns else set()
    is_there = pl.col("plan_id").is_in(pl.Series(sorted(there), dtype=pl.String).implode())
    is_replaced = pl.col("plan_id").is_in(pl.Series(sorted(replaced), dtype=pl.String).implode())
    wanted = examples.filter(pl.col("edge").is_not_null() & (~is_there | is_replaced))
    reached = examples.filter(is_there)["tier"].max()
    return wanted.filter(pl.col("tier") <= reached) if reached is not None else wanted


def _prove(records: pl.DataFrame, originals: Mapping[str, Any], config: SynthesisConfig) -> pl.DataFrame:
    labels = label_fields(config)
    return prove_records(records, config.schema, config=config.edge, labels=labels, originals=originals)


def _disproved(records: pl.DataFrame, proofs: pl.DataFrame) -> dict[str, str]:
    """Return, by plan_id, the ids of the written records that are not what they are said to be."""
    wrong = proofs.filter(~pl.col("holds")).select("id")
    return dict(records.join(wrong, on="id").select("plan_id", "id").iter_rows())


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


def _write(
    run: Path,
    folder: Path,
    made: EdgeItems,
    proofs: pl.DataFrame,
    summary: EdgeSummary,
    *,
    replace_disproved: bool,
) -> None:
    frames = {RECORDS_NAME: made.records, PROOFS_NAME: proofs, UNFULFILLED_NAME: made.unfulfilled}
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    for name, frame in frames.items():
        write_frame(folder / name, frame)
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "edge",
        "inputs": {name: file_sha256(run / name) for name in _INPUTS},
        "settings": {"replace_disproved": replace_disproved},
        "versions": {"tasksel": __version__, "polars": pl.__version__},
        "categories": summary.categories,
        "notes": summary.notes,
        "files": {name: file_sha256(folder / name) for name in frames},
    }
    write_json(folder / MANIFEST_NAME, manifest)
