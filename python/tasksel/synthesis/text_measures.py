"""Figures of the texts themselves: schema, language, length, repeats, copies, personal data, edge cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.contamination import compare_words
from tasksel.near_duplicates import (
    choose_bands,
    expected_recall,
    find_near_copies,
    find_near_duplicates,
    near_copies_by_vector,
    near_duplicates_by_vector,
)
from tasksel.personal_data import count_personal_data
from tasksel.pool import load_pool
from tasksel.synthesis.edge_batch import prove_records
from tasksel.synthesis.edge_run import label_fields
from tasksel.synthesis.edge_schema import check_schema, find_violations
from tasksel.synthesis.gates import find_rule, rate_gate, unmeasured_gate
from tasksel.text_language import LANGUAGES, count_languages, language_code
from tasksel.text_shingles import comparable_text
from tasksel_core.errors import MissingExtraError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tasksel.synthesis.gates import Gate, GateRule
    from tasksel.synthesis.validation_inputs import ValidationInputs

__all__ = ["Measured", "measure_edge_cases", "measure_texts"]

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MIN_REAL_LENGTHS: Final = 50
"""Real rows under which their 1 % and 99 % quantiles are noise."""


@dataclass
class Measured:
    """Gates, and the figures behind them.

    Attributes
    ----------
    gates : list of Gate
    figures : dict
        JSON-compatible, by topic.
    flagged : dict of str to list of int
        Rows of the records by what is wrong with them.
    """

    gates: list[Gate] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    flagged: dict[str, list[int]] = field(default_factory=dict)


def measure_texts(inputs: ValidationInputs, rules: Mapping[str, GateRule], *, seed: int = 0) -> Measured:
    """Measure all ordinary records.

    Parameters
    ----------
    inputs : ValidationInputs
        From `read_inputs`.
    rules : mapping of str to GateRule
        From `read_rules`.
    seed : int
        Of MinHash.

    Returns
    -------
    Measured
        `flagged` counts rows of ``inputs.records``.
    """
    measured = Measured()
    rows = np.flatnonzero(inputs.is_ordinary)
    texts = [inputs.texts[row] for row in rows.tolist()]
    _measure_answers(inputs, rows, rules, measured)
    _measure_schema(inputs, rows, rules, measured)
    _measure_language(inputs, texts, rules, measured)
    _measure_length(inputs, rows, texts, rules, measured)
    _measure_repeats(rows, texts, rules, measured, seed)
    _measure_copies(inputs, rows, texts, rules, measured, seed)
    _measure_vectors(inputs, rows, rules, measured)
    _measure_personal_data(inputs, rows, texts, rules, measured)
    return measured


def _measure_answers(
    inputs: ValidationInputs, rows: NDArray[np.int64], rules: Mapping[str, GateRule], measured: Measured
) -> None:
    if inputs.config.record.response is None:
        measured.gates.append(
            unmeasured_gate(rules["answered"], "[record] has no response, so the records wait for labels")
        )
        return
    responses = inputs.records["response"].to_list()
    empty = [row for row in rows.tolist() if not (responses[row] or "").strip()]
    measured.flagged["unanswered"] = empty
    measured.gates.append(rate_gate(rules["answered"], len(rows) - len(empty), len(rows)))


def _measure_schema(
    inputs: ValidationInputs, rows: NDArray[np.int64], rules: Mapping[str, GateRule], measured: Measured
) -> None:
    rule = rules["schema_validity"]
    if len(rows) and all(inputs.records["item"].is_null()):
        measured.gates.append(unmeasured_gate(rule, "the records have no column 'item' with the items"))
        return
    schema = inputs.config.schema
    try:
        check_schema(schema)
    except MissingExtraError:
        measured.gates.append(unmeasured_gate(rule, 'it needs jsonschema: pip install "tasksel[synth]"'))
        return
    wrong: list[int] = []
    places: dict[str, int] = {}
    for row in rows.tolist():
        violations = find_violations(inputs.items[row], schema)
        if violations:
            wrong.append(row)
            # The keyword and the place; the value would quote the text.
            path, keyword, _ = violations[0]
            reason = f"{keyword} of {'/'.join(map(str, path)) or 'the item'}"[:100]
            places[reason] = places.get(reason, 0) + 1
    measured.flagged["schema"] = wrong
    measured.figures["schema"] = {"errors": dict(sorted(places.items(), key=lambda each: -each[1])[:10])}
    measured.gates.append(rate_gate(rule, len(rows) - len(wrong), len(rows)))


def _measure_language(
    inputs: ValidationInputs, texts: Sequence[str], rules: Mapping[str, GateRule], measured: Measured
) -> None:
    rule, wanted = rules["language"], inputs.config.language
    counts = count_languages(texts)
    measured.figures["language"] = {"expected": wanted, "counts": counts}
    if wanted is None:
        measured.gates.append(unmeasured_gate(rule, "the configuration names no language"))
        return
    code = language_code(wanted)
    if code not in LANGUAGES:
        measured.gates.append(unmeasured_gate(rule, f"the language {code!r} is not one that is told apart"))
        return
    n_clear = len(texts) - counts.get("unknown", 0)
    n_unclear = len(texts) - n_clear
    reason = f"of {len(texts):,} texts {n_unclear:,} have no clear language" if n_unclear else ""
    measured.gates.append(rate_gate(rule, counts.get(code, 0), n_clear, reason=reason))


def _measure_length(
    inputs: ValidationInputs,
    rows: NDArray[np.int64],
    texts: Sequence[str],
    rules: Mapping[str, GateRule],
    measured: Measured,
) -> None:
    rule = rules["length"]
    written = _quantiles([len(text) for text in texts])
    measured.figures["length"] = {"unit": "characters", "written": written}
    if inputs.real is None:
        measured.gates.append(unmeasured_gate(rule, "no real rows were given"))
        return
    real = np.array([len(text) for text in inputs.real.frame["prompt"]], dtype=np.int64)
    measured.figures["length"]["real_prompts"] = _quantiles(real)
    prompts = np.array([len(inputs.records["prompt"][row]) for row in rows.tolist()], dtype=np.int64)
    measured.figures["length"]["prompts"] = _quantiles(prompts)
    if len(real) < MIN_REAL_LENGTHS:
        measured.gates.append(
            unmeasured_gate(rule, f"{len(real)} real rows tell little of lengths; {MIN_REAL_LENGTHS} would")
        )
        return
    low, high = np.quantile(real, (0.01, 0.99))
    inside = (prompts >= low) & (prompts <= high)
    measured.flagged["length"] = rows[~inside].tolist()
    reason = f"real prompts have {low:,.0f} to {high:,.0f} characters"
    measured.gates.append(rate_gate(rule, int(inside.sum()), len(rows), reason=reason))


def _quantiles(lengths: Sequence[int] | NDArray[np.int64]) -> dict[str, float]:
    if not len(lengths):
        return {}
    found = np.quantile(np.asarray(lengths, dtype=np.float64), QUANTILES)
    return {f"{share:.0%}": round(float(each), 1) for share, each in zip(QUANTILES, found, strict=True)}


def _measure_repeats(
    rows: NDArray[np.int64],
    texts: Sequence[str],
    rules: Mapping[str, GateRule],
    measured: Measured,
    seed: int,
) -> None:
    seen: set[str] = set()
    exact = []
    for row, text in zip(rows.tolist(), map(comparable_text, texts), strict=True):
        if text and text in seen:
            exact.append(row)
        seen.add(text)
    found = find_near_duplicates(texts, seed=seed)
    measured.flagged["exact_duplicates"] = exact
    measured.flagged["near_duplicates"] = rows[found.rows].tolist()
    recall = expected_recall(0.8, choose_bands(0.8))
    measured.figures["near_duplicates"] = {
        "expected_recall": round(recall, 4),
        "crowded_share": round(found.crowded_share, 4),
        "pairs_verified": found.n_verified,
    }
    reason = "the texts share so much that some repeats may be missed" if found.crowded_share > 0.5 else ""
    measured.gates.append(rate_gate(rules["exact_duplicates"], len(exact), len(rows)))
    measured.gates.append(rate_gate(rules["near_duplicates"], len(found.rows), len(rows), reason=reason))


def _measure_copies(
    inputs: ValidationInputs,
    rows: NDArray[np.int64],
    texts: Sequence[str],
    rules: Mapping[str, GateRule],
    measured: Measured,
    seed: int,
) -> None:
    rule = rules["copies"]
    if inputs.real is None:
        measured.gates.append(unmeasured_gate(rule, "no real rows were given"))
        return
    if not len(rows):
        measured.gates.append(unmeasured_gate(rule, "there are no such rows"))
        return
    real = inputs.real.frame["prompt"].to_list()
    known = {comparable_text(text) for text in real} - {""}
    prompts = [inputs.records["prompt"][row] for row in rows.tolist()]
    exact = [
        place
        for place, both in enumerate(zip(texts, prompts, strict=True))
        if any(comparable_text(text) in known for text in both)
    ]
    found = find_near_copies([*texts, *prompts], real, seed=seed).rows
    near = set((found % len(texts)).tolist())
    names = [f"{place}" for place in range(len(texts))]
    written = load_pool(pl.DataFrame({"id": names, "prompt": texts}))
    _, hits = compare_words(written, inputs.real, "real")
    runs = {int(name) for name in hits["pool_id"].to_list()}
    copies = sorted({*exact, *near, *runs})
    measured.flagged["copies"] = rows[copies].tolist()
    measured.figures["copies"] = {"whole": len(exact), "nearly": len(near), "runs_of_13_words": len(runs)}
    measured.gates.append(rate_gate(rule, len(copies), len(rows)))


def _measure_vectors(
    inputs: ValidationInputs, rows: NDArray[np.int64], rules: Mapping[str, GateRule], measured: Measured
) -> None:
    repeats, copies = rules["embedding_duplicates"], rules["embedding_copies"]
    if inputs.vectors is None:
        measured.gates += [unmeasured_gate(each, "no embeddings were given") for each in (repeats, copies)]
        return
    usable = rows[usable_vectors(inputs.vectors[rows])]
    broken = len(rows) - len(usable)
    reason = f"{broken:,} records have a vector of zeros or with NaN and are left out" if broken else ""
    vectors = np.ascontiguousarray(inputs.vectors[usable])
    found = near_duplicates_by_vector(vectors)
    measured.flagged["embedding_duplicates"] = usable[found.rows].tolist()
    measured.gates.append(rate_gate(repeats, len(found.rows), len(usable), reason=reason))
    if inputs.real_vectors is None:
        measured.gates.append(unmeasured_gate(copies, "no embeddings of real rows were given"))
        return
    real = np.ascontiguousarray(inputs.real_vectors[usable_vectors(inputs.real_vectors)])
    try:
        copied = near_copies_by_vector(vectors, real)
    except TaskselError as error:
        measured.gates.append(unmeasured_gate(copies, str(error)))
        return
    measured.flagged["embedding_copies"] = usable[copied.rows].tolist()
    measured.gates.append(rate_gate(copies, len(copied.rows), len(usable), reason=reason))


def usable_vectors(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows are finite and not all zeros, shape (n_rows,)."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1))


def _measure_personal_data(
    inputs: ValidationInputs,
    rows: NDArray[np.int64],
    texts: Sequence[str],
    rules: Mapping[str, GateRule],
    measured: Measured,
) -> None:
    responses = inputs.records["response"].to_list()
    both = [f"{text}\n{responses[row] or ''}" for row, text in zip(rows.tolist(), texts, strict=True)]
    found = count_personal_data(both)
    measured.flagged["personal_data"] = rows[found.rows].tolist()
    measured.figures["personal_data"] = {
        "kinds": found.kinds,
        "reserved": found.reserved,
        "masked_examples": found.examples,
    }
    measured.gates.append(rate_gate(rules["personal_data"], len(found.rows), len(rows)))


def measure_edge_cases(inputs: ValidationInputs, rules: Mapping[str, GateRule]) -> Measured:
    """Ask the predicate of each edge category about its records, apart from the ordinary ones.

    Returns
    -------
    Measured
        A gate a category that the plan has, and ``edge_share``. What a program cannot tell is not counted.
    """
    measured = Measured()
    wanted = inputs.planned["edge"].drop_nulls()
    if wanted.is_empty():
        measured.gates.append(unmeasured_gate(rules["edge_share"], "the plan has no edge cases"))
        return measured
    have = inputs.records["edge"].drop_nulls()
    measured.gates.append(rate_gate(rules["edge_share"], len(have), len(wanted)))
    try:
        proofs = _prove(inputs)
    except TaskselError as error:
        for category in sorted(set(wanted.to_list())):
            measured.gates.append(unmeasured_gate(find_rule(rules, "edge", category), str(error)))
        return measured
    for category in sorted(set(wanted.to_list())):
        told = {row: holds for row, (name, holds) in proofs.items() if name == category and holds is not None}
        failed = [row for row, holds in told.items() if not holds]
        measured.flagged[f"edge:{category}"] = failed
        untold = sum(name == category for name, _ in proofs.values()) - len(told)
        reason = f"of {untold:,} records no program can tell" if untold else ""
        rule = find_rule(rules, "edge", category)
        measured.gates.append(rate_gate(rule, len(told) - len(failed), len(told), reason=reason))
    return measured


def _prove(inputs: ValidationInputs) -> dict[int, tuple[str, bool | None]]:
    """Return the category of each edge record, and whether it is what that says; without an item: unknown."""
    is_edge = inputs.records["edge"].is_not_null()
    found: dict[int, tuple[str, bool | None]] = {
        row: (inputs.records["edge"][row], None) for row in is_edge.arg_true().to_list()
    }
    rows = (is_edge & inputs.records["item"].is_not_null()).arg_true().to_list()
    records = inputs.records if "id" in inputs.records.columns else inputs.records.with_columns(id=pl.lit(""))
    proofs = prove_records(
        records[rows],
        inputs.config.schema,
        config=inputs.config.edge,
        labels=label_fields(inputs.config),
        originals=_originals(inputs),
    )
    return found | dict(zip(rows, proofs.select("edge", "holds").iter_rows(), strict=True))


def _originals(inputs: ValidationInputs) -> dict[str, Any]:
    """Return the items that edge cases were made from, by the id of their record."""
    if "id" not in inputs.records.columns:
        return {}
    is_ordinary = inputs.records["edge"].is_null().arg_true().to_list()
    return {inputs.records["id"][row]: inputs.items[row] for row in is_ordinary}
