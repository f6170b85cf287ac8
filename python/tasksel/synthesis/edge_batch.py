"""Planned edge examples, made from ordinary records of their stratum; proofs of those that a model wrote."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.pool_ids import fill_frame
from tasksel.synthesis.edge_cases import is_mutable
from tasksel.synthesis.edge_mutations import mutate
from tasksel.synthesis.edge_places import ABSENT, find_places, main_text
from tasksel.synthesis.edge_predicates import Proof, holds
from tasksel.synthesis.edge_schema import check_schema, item_json
from tasksel.synthesis.records import fill_template
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tasksel.synthesis.config import EdgeConfig, RecordConfig
    from tasksel.synthesis.edge_mutations import Mutation

__all__ = [
    "EDGE_COLUMNS",
    "ORIGIN",
    "EdgeItems",
    "make_edge_items",
    "ordinary_items",
    "prove_records",
    "render_record",
    "seeded",
]

ORIGIN: Final = "mutation"
"""What the column ``origin`` says of these records."""
EDGE_COLUMNS: Final = ("edge_variant", "edge_field", "edge_change", "edge_source", "edge_proof")
"""Columns that only these records have: the way, the place, the change, the source's id, the proof."""
MAX_TRIES: Final = 24
"""Sources and draws tried for one planned example before it is given up."""

_PLAN_COLUMNS: Final = ("plan_id", "tier", "stratum", "edge")
_RECORD_SCHEMA: Final = dict.fromkeys(("id", "plan_id", "task", "prompt", "response"), pl.String)
_ORIGIN_SCHEMA: Final = dict.fromkeys(
    ("edge", "item", "origin", "origin_model", "origin_request", "origin_repairs", *EDGE_COLUMNS), pl.String
)
_UNFULFILLED_SCHEMA: Final = dict.fromkeys(("plan_id", "stratum", "edge", "reason"), pl.String)
_REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True)
class EdgeItems:
    """Planned edge examples that a program could make, and those that it could not.

    Attributes
    ----------
    records : pl.DataFrame
        One row a made example, in the order of the plan: the columns of records, and `EDGE_COLUMNS`.
    unfulfilled : pl.DataFrame
        ``plan_id``, ``stratum``, ``edge`` and ``reason`` of those that could not be made.
    left_to_model : pl.DataFrame
        The same columns, of those that a model has to write.
    """

    records: pl.DataFrame
    unfulfilled: pl.DataFrame
    left_to_model: pl.DataFrame


def make_edge_items(
    records: pl.DataFrame,
    examples: pl.DataFrame,
    schema: Mapping[str, Any],
    seed: int,
    *,
    record: RecordConfig | None = None,
    config: EdgeConfig | None = None,
) -> EdgeItems:
    """Make the planned edge examples that need no model, each from an ordinary record of its stratum.

    What an item says of its stratum and dimensions stays as it is, except where the category is about values
    that are missing or invalid. No two made items are equal. Every one is proved by its predicate.

    Parameters
    ----------
    records : pl.DataFrame
        Ordinary and other records: ``id``, ``task``, ``item`` and, if there, ``edge``, which is null for the
        ordinary ones.
    examples : pl.DataFrame
        Planned examples: ``plan_id``, ``stratum``, ``edge``, levels and dimensions. Rows whose ``edge`` is
        null are not looked at.
    schema : mapping
        JSON Schema of an item.
    seed : int
        Of every choice; each example draws from its own stream, so that a longer plan begins alike.
    record : RecordConfig, optional
        Templates of prompt and response; default: the main text, and no response.
    config : EdgeConfig, optional
        Knows the custom categories.

    Returns
    -------
    EdgeItems

    Raises
    ------
    SchemaError
        A column is missing.
    ConfigError
        A planned category is not known, or the schema is wrong.
    MissingExtraError
        jsonschema is not installed.

    Examples
    --------
    >>> records = pl.DataFrame({"id": ["a"], "task": ["phone"], "item": ['{"text": "It broke again."}']})
    >>> planned = {"plan_id": ["s-1", "s-2"], "stratum": ["phone"] * 2, "edge": ["missing", "near-duplicate"]}
    >>> made = make_edge_items(records, pl.DataFrame(planned), {"required": ["text"]}, seed=0)
    >>> made.records.select("plan_id", "edge", "origin", "edge_source").row(0)
    ('s-1', 'missing', 'mutation', 'a')
    >>> made.left_to_model["plan_id"].to_list()
    ['s-2']
    """
    _check_columns("records", records, ("id", "task", "item"))
    _check_columns("examples", examples, ("plan_id", "stratum", "edge"))
    check_schema(schema)
    planned = examples.filter(pl.col("edge").is_not_null())
    sources = _sources_by_stratum(records)
    carried = {name: dtype for name, dtype in planned.schema.items() if name not in _PLAN_COLUMNS}
    rows, unfulfilled, left = [], [], []
    seen: set[str] = set()
    for example in planned.iter_rows(named=True):
        if not is_mutable(example["edge"], config):
            left.append({**example, "reason": "a model has to write it"})
            continue
        made = _make_one(example, sources.get(example["stratum"], []), schema, seed, seen, carried)
        if isinstance(made, str):
            unfulfilled.append({**example, "reason": made})
        else:
            rows.append(_record_row(example, *made, carried=carried, record=record))
    frame = pl.DataFrame(rows, schema=_record_schema(carried))
    return EdgeItems(
        _with_ids(frame, records["id"].to_list()),
        pl.DataFrame(unfulfilled, schema=_UNFULFILLED_SCHEMA),
        pl.DataFrame(left, schema=_UNFULFILLED_SCHEMA),
    )


def prove_records(
    records: pl.DataFrame,
    schema: Mapping[str, Any],
    *,
    config: EdgeConfig | None = None,
    labels: Sequence[str] = (),
    originals: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Prove every record that is said to be an edge case, whoever wrote it.

    Parameters
    ----------
    records : pl.DataFrame
        ``id``, ``edge``, ``item``, and if there ``prompt``, ``edge_field`` and ``edge_source``.
    schema : mapping
        JSON Schema of an ordinary item.
    config : EdgeConfig, optional
        Knows the custom categories.
    labels : sequence of str
        Names of the fields that hold the label.
    originals : mapping of str to object, optional
        Items by the id that ``edge_source`` says.

    Returns
    -------
    pl.DataFrame
        ``id``, ``edge``, ``holds`` (Boolean; null where a program cannot tell) and ``why``, one row an edge
        record.

    Raises
    ------
    SchemaError
        A column is missing.
    ConfigError
        A category is not known.

    Examples
    --------
    >>> records = pl.DataFrame({"id": ["a", "b"], "edge": ["missing", None], "item": ['{"text": ""}', "{}"]})
    >>> prove_records(records, {"required": ["text"]}).row(0)
    ('a', 'missing', True, 'text is blank')
    """
    _check_columns("records", records, ("id", "edge", "item"))
    check_schema(schema)
    rows = []
    for row in records.filter(pl.col("edge").is_not_null()).iter_rows(named=True):
        item = _parsed(row["item"])
        proof = Proof(False, "the item is not JSON")
        if item is not ABSENT:
            proof = holds(
                row["edge"],
                item,
                schema,
                field=row.get("edge_field"),
                original=(originals or {}).get(row.get("edge_source", ""), ABSENT),
                labels=labels,
                config=config,
                prompt=row.get("prompt"),
            )
        rows.append({"id": row["id"], "edge": row["edge"], "holds": proof.holds, "why": proof.why})
    dtypes = {"id": pl.String, "edge": pl.String, "holds": pl.Boolean, "why": pl.String}
    return pl.DataFrame(rows, schema=dtypes)


def ordinary_items(records: pl.DataFrame) -> list[tuple[str, str, Any]]:
    """Return id, stratum and item of the records that are no edge cases and whose item is JSON."""
    edge = pl.col("edge").is_null() if "edge" in records.columns else pl.lit(value=True)
    rows = records.filter(edge).select("id", "task", "item").iter_rows()
    parsed = ((id_, task, _parsed(text)) for id_, task, text in rows)
    return [row for row in parsed if row[2] is not ABSENT]


def render_record(
    item: Any, values: Mapping[str, Any], record: RecordConfig | None
) -> tuple[str, str | None]:
    """Return prompt and response of an item: its fields, else the plan's, in the templates' places.

    What is absent or null becomes empty, what is not text JSON. Halves of surrogate pairs, which a column
    of text cannot hold, become U+FFFD; the item keeps them.
    """
    if record is None:
        text = main_text(find_places(item, {}))
        return _storable(text.value if text is not None else ""), None
    fields = {**values, **(item if isinstance(item, dict) else {})}
    response = None if record.response is None else _storable(fill_template(record.response, fields))
    return _storable(fill_template(record.prompt, fields)), response


def seeded(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of one named thing, so that other things do not change what it draws."""
    digest = hashlib.sha256("\x00".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def _storable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not _is_utf8(text) else text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_columns(what: str, frame: pl.DataFrame, names: Collection[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise SchemaError(f"The {what} lack {', '.join(missing)}; they have {', '.join(frame.columns)}.")


def _parsed(text: str | None) -> Any:
    try:
        return ABSENT if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return ABSENT


def _sources_by_stratum(records: pl.DataFrame) -> dict[str, list[tuple[str, Any]]]:
    sources: dict[str, list[tuple[str, Any]]] = {}
    for id_, stratum, item in ordinary_items(records):
        sources.setdefault(stratum, []).append((id_, item))
    return sources


def _make_one(
    example: Mapping[str, Any],
    sources: Sequence[tuple[str, Any]],
    schema: Mapping[str, Any],
    seed: int,
    seen: set[str],
    protected: Collection[str],
) -> tuple[Mutation, str] | str:
    """Return a mutation that is like no other and the id of its source, or why there is none."""
    if not sources:
        return "no ordinary record of its stratum"
    rng = seeded(seed, example["plan_id"])
    order = rng.permutation(len(sources))
    reason = "the category applies to no item of its stratum"
    for attempt in range(MAX_TRIES):
        source, item = sources[int(order[attempt % len(order)])]
        made = mutate(example["edge"], item, schema, rng, protected=protected)
        if made is None:
            continue
        text = item_json(made.item)
        if text not in seen:
            seen.add(text)
            return made, source
        reason = "only items that are there already"
    return reason


def _record_schema(carried: Mapping[str, Any]) -> dict[str, Any]:
    return {**_RECORD_SCHEMA, **carried, **_ORIGIN_SCHEMA}


def _record_row(
    example: Mapping[str, Any],
    made: Mutation,
    source: str,
    *,
    carried: Collection[str],
    record: RecordConfig | None,
) -> dict[str, Any]:
    prompt, response = render_record(made.item, example, record)
    return {
        "id": None,
        "plan_id": example["plan_id"],
        "task": example["stratum"],
        "prompt": prompt,
        "response": response,
        **{name: example[name] for name in carried},
        "edge": example["edge"],
        "item": item_json(made.item),
        "origin": ORIGIN,
        "origin_model": None,
        "origin_request": None,
        "origin_repairs": "",
        "edge_variant": made.variant,
        "edge_field": made.field,
        "edge_change": made.change,
        "edge_source": source,
        "edge_proof": made.why,
    }


def _with_ids(made: pl.DataFrame, taken: Sequence[str]) -> pl.DataFrame:
    """Give the rows ids as the pool makes them, none of which another record has."""
    others = pl.DataFrame(
        {"id": taken, "prompt": [""] * len(taken)}, schema=made.select("id", "prompt").schema
    )
    both = pl.concat([others, made.select("id", "prompt")])
    ids = fill_frame(both.lazy(), "edge records").select("id").collect()["id"]
    return made.with_columns(ids.slice(len(taken)).alias("id"))
