"""What a program is probed with: edge cases by category, ordinary examples as control, and their files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.file_places import file_trouble
from tasksel.run_folder import text_sha256
from tasksel.synthesis.config_file import PLAN_FOLDER, read_planned_config
from tasksel.synthesis.edge_batch import ordinary_items, render_record, seeded
from tasksel.synthesis.edge_cases import canonical_category
from tasksel.synthesis.edge_mutations import mutate, variant_names
from tasksel.synthesis.edge_places import find_places, main_text
from tasksel.synthesis.edge_run import PROOFS_NAME, refresh_edge_records
from tasksel.synthesis.edge_schema import check_schema, infer_schema, item_json
from tasksel.synthesis.probe_signatures import plain_line
from tasksel.synthesis.records import RECORDS_NAME, read_edge_frame, read_records
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from tasksel.synthesis.config import EdgeConfig, RecordConfig

__all__ = [
    "CONTROL",
    "FORMATS",
    "ProbeBatch",
    "ProbeExample",
    "file_content",
    "is_carried",
    "make_probe_examples",
    "read_probe_batch",
]

CONTROL: Final = "ordinary"
"""Category of the ordinary examples, whose failures edge cases are compared with."""
FORMATS: Final = ("jsonl", "json", "txt")
BY_MODEL: Final = "written"
"""Variant of an edge case that was not made by mutation."""
MAX_TRIES: Final = 12


@dataclass(frozen=True)
class ProbeExample:
    """One example for the program.

    Attributes
    ----------
    category : str
        An edge category, or `CONTROL`.
    variant : str
        The way in which it was made; ``written`` if it was written, empty for ordinary ones.
    item : object
        What the program gets.
    text : str
        What it gets where files are of text: the prompt.
    field, change : str
        The place that was changed, and how; empty if nothing was.
    """

    category: str
    variant: str
    item: Any
    text: str
    field: str = ""
    change: str = ""


@dataclass(frozen=True)
class ProbeBatch:
    """Examples to begin with, and what further ones are made from.

    Attributes
    ----------
    examples : tuple of ProbeExample
        Edge cases; none where they are to be made first.
    control : tuple of ProbeExample
        Ordinary examples.
    sources : tuple of object
        Items of all ordinary examples.
    values : tuple of mapping
        For each source the columns of its record, which the prompt's template may name.
    schema : mapping
        JSON Schema of an item; that of the items themselves where none was given.
    name : str
        What the batch is called: a file's or a folder's name.
    edge : EdgeConfig, optional
        Knows the custom categories.
    record : RecordConfig, optional
        Makes the prompt of an item; default: its main text.
    """

    examples: tuple[ProbeExample, ...]
    control: tuple[ProbeExample, ...]
    sources: tuple[Any, ...]
    values: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any]
    name: str
    edge: EdgeConfig | None = None
    record: RecordConfig | None = None


def read_probe_batch(
    source: str | os.PathLike[str],
    *,
    schema: str | os.PathLike[str] | None = None,
    control: int = 40,
    seed: int = 0,
) -> ProbeBatch:
    """Read what a program is to be probed with.

    Parameters
    ----------
    source : path
        A run folder, whose edge cases are made if they are not there yet, and of which those that are
        disproved are left out; or a JSONL, JSON or Parquet file. A
        row with ``item`` (an object, or its JSON) and ``edge`` is a record of that category, an ordinary one
        where this is null; any other row is an ordinary item itself.
    schema : path, optional
        JSON Schema of an item in a file; default: what the items have in common.
    control : int
        At most so many ordinary examples are run beside the edge cases.
    seed : int
        Of the choice of these.

    Returns
    -------
    ProbeBatch

    Raises
    ------
    ConfigError
        The file is of another kind, or the schema cannot be read.
    SchemaError
        The file is malformed, empty, or a row of it is.
    ResumeError
        The run folder has no plan or no records yet.
    """
    path = Path(source)
    batch = _of_run(path) if path.is_dir() else _of_file(path, schema)
    chosen = seeded(seed, "control").permutation(len(batch.control))[:control]
    return replace(batch, control=tuple(batch.control[row] for row in sorted(chosen.tolist())))


def make_probe_examples(
    batch: ProbeBatch,
    quotas: Mapping[tuple[str, str], int],
    *,
    seed: int,
    seen: Iterable[str] = (),
) -> tuple[ProbeExample, ...]:
    """Make edge cases from the ordinary items of a batch.

    Parameters
    ----------
    batch : ProbeBatch
        Gives the items and their schema.
    quotas : mapping of (category, variant) to int
        How many of each. Where a variant applies to no item, others of the category take its place.
    seed : int
        Of every choice.
    seen : iterable of str
        JSON of items that are not to be made again.

    Returns
    -------
    tuple of ProbeExample
        At most as many as the quotas say; fewer where there are no more different ones.
    """
    made, known = [], set(seen)
    for (category, variant), quota in quotas.items():
        rng = seeded(seed, category, variant)
        for _ in range(quota if batch.sources else 0):
            for attempt in range(MAX_TRIES):
                row = int(rng.integers(len(batch.sources)))
                # After half of the tries the variant is taken to apply to nothing here.
                wanted = variant if attempt < MAX_TRIES // 2 else None
                mutation = mutate(category, batch.sources[row], batch.schema, rng, variant=wanted)
                text = None if mutation is None else item_json(mutation.item)
                if mutation is not None and text is not None and text not in known:
                    known.add(text)
                    made.append(
                        ProbeExample(
                            category,
                            mutation.variant,
                            mutation.item,
                            render_record(mutation.item, batch.values[row], batch.record)[0],
                            mutation.field,
                            mutation.change,
                        )
                    )
                    break
    return tuple(made)


def is_carried(example: ProbeExample, format_: str) -> bool:
    """Return whether a file of a format can hold an example: UTF-8 has no halves of surrogate pairs."""
    if format_ != "txt":
        return True
    try:
        example.text.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_content(examples: Sequence[ProbeExample], format_: str) -> bytes:
    """Return the file that the program gets.

    Parameters
    ----------
    examples : sequence of ProbeExample
        At least one; of ``txt`` exactly one.
    format_ : {"jsonl", "json", "txt"}
        An item a line; one item, or a list of them; the text alone.
    """
    if format_ == "txt":
        return examples[0].text.encode()
    lines = [item_json(example.item) for example in examples]
    if format_ == "jsonl":
        return "".join(f"{line}\n" for line in lines).encode()
    return (lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]").encode()


def first_quotas(categories: Sequence[str], size: int) -> dict[tuple[str, str], int]:
    """Share a first batch equally among the categories, and in them among their variants."""
    quotas: dict[tuple[str, str], int] = {}
    for position, category in enumerate(categories):
        share = size // len(categories) + (position < size % len(categories))
        variants = variant_names(category)
        for turn, variant in enumerate(variants):
            quotas[category, variant] = share // len(variants) + (turn < share % len(variants))
    return quotas


def _of_run(run: Path) -> ProbeBatch:
    if not (run / PLAN_FOLDER).is_dir():
        raise ConfigError(
            f"{run} is a folder without plan/, so no run of `tasksel synth`; name that, or a file."
        )
    config = read_planned_config(run)
    records = read_records(run)
    refresh_edge_records(run)
    made = read_edge_frame(run, RECORDS_NAME)
    rows = list(made.iter_rows(named=True))
    if "edge" in records.columns:
        proofs = read_edge_frame(run, PROOFS_NAME)
        wrong = proofs.filter(~pl.col("holds")).select("id")
        written = records.filter(pl.col("edge").is_not_null()).join(wrong, on="id", how="anti")
        rows += written.iter_rows(named=True)
    ordinary = {id_: item for id_, _, item in ordinary_items(records)}
    values = [row for row in records.iter_rows(named=True) if row["id"] in ordinary]
    sources = [ordinary[row["id"]] for row in values]
    return ProbeBatch(
        tuple(_example_of(row, f"{run.name}, record {row['id']}", config.edge) for row in rows),
        tuple(map(_control, sources, values)),
        tuple(sources),
        tuple(values),
        config.schema,
        run.name,
        config.edge,
        config.record,
    )


def _of_file(path: Path, schema: str | os.PathLike[str] | None) -> ProbeBatch:
    rows = _read_rows(path)
    examples, ordinary, values = [], [], []
    for number, row in enumerate(rows, start=1):
        where = f"{path.name}, row {number:,}"
        is_record = isinstance(row, dict) and {"item", "edge"} <= row.keys()
        if is_record and row["edge"] not in (None, CONTROL):
            examples.append(_example_of(row, where, None))
        else:
            ordinary.append(_item_of(row, where) if is_record else row)
            values.append(row if is_record else {})
    known = infer_schema(ordinary) if schema is None else _read_schema(Path(schema))
    check_schema(known)
    control = tuple(map(_control, ordinary, values))
    return ProbeBatch(tuple(examples), control, tuple(ordinary), tuple(values), known, path.name)


def _read_rows(path: Path) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".json", ".parquet"):
        raise ConfigError(
            f"{path.name} is no batch; allowed are a run folder, and .jsonl, .json and .parquet files."
        )
    trouble = file_trouble(path)
    if trouble is not None:
        raise ConfigError(f"The batch {path} {trouble}.")
    try:
        if suffix == ".parquet":
            content = pl.read_parquet(path).write_ndjson()  # dates and the like become what JSON has
        else:
            content = path.read_text(encoding="utf-8-sig")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError) as error:
        raise SchemaError(f"{path.name} cannot be read ({first_line(error)}).") from error
    rows = _parse_rows(path, content, is_lines=suffix != ".json")
    if not rows:
        raise SchemaError(f"{path.name} has no rows; at least one example is wanted.")
    return rows


def _parse_rows(path: Path, content: str, *, is_lines: bool) -> list[Any]:
    if not is_lines:
        whole = _parse(content, path.name)
        return whole if isinstance(whole, list) else [whole]
    # Only \n ends a line of JSONL; U+2028 and the like stand in texts.
    lines = enumerate(content.split("\n"), start=1)
    return [_parse(line, f"{path.name}, line {number:,}") for number, line in lines if line.strip()]


def _parse(text: str, where: str) -> Any:
    try:
        value = json.loads(text)
        item_json(value)  # NaN and nesting that cannot be written again
        return value
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is not JSON ({first_line(error).split(';')[0]}).") from error


def _read_schema(path: Path) -> Mapping[str, Any]:
    trouble = file_trouble(path)
    if trouble is not None:
        raise ConfigError(f"The schema {path} cannot be read: it {trouble}.")
    try:
        schema = _parse(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The schema {path} cannot be read ({error}).") from error
    if not isinstance(schema, dict):
        raise ConfigError(f"{path.name} holds {type(schema).__name__}; a JSON Schema is an object.")
    return schema


def _item_of(row: Mapping[str, Any], where: str) -> Any:
    item = row["item"]
    if item is None:
        raise SchemaError(f"{where} has an item that is null.")
    return _parse(item, f"The item of {where}") if isinstance(item, str) else item


def _example_of(row: Mapping[str, Any], where: str, edge: EdgeConfig | None) -> ProbeExample:
    item, category = _item_of(row, where), plain_line(str(row["edge"]))
    if edge is not None:
        canonical_category(category, edge)
    told = [plain_line(str(row.get(f"edge_{name}") or "")) for name in ("variant", "field", "change")]
    return ProbeExample(category, told[0] or BY_MODEL, item, _text_of(item, row), *told[1:])


def _control(item: Any, values: Mapping[str, Any]) -> ProbeExample:
    return ProbeExample(CONTROL, "", item, _text_of(item, values))


def _text_of(item: Any, values: Mapping[str, Any]) -> str:
    prompt = values.get("prompt")
    if isinstance(prompt, str):
        return prompt
    text = main_text(find_places(item, {}))
    return "" if text is None else str(text.value)


def example_key(example: ProbeExample) -> str:
    """Return 16 hexadecimal digits of the content of an example."""
    return text_sha256(item_json(example.item))[:16]
