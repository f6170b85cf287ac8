"""Is a synthetic set what was planned? Requested against realised, texts, copies, coverage; and gates.

Everything is read first, nothing of the run is changed, and the results are written beside it with the
manifest last.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.data_coverage import coverage
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, folder_lock, write_json
from tasksel.run_folder_frames import write_frame
from tasksel.run_folder_identity import find_versions
from tasksel.synthesis.checkers import Evidence, JudgeAccess, checked_dimensions
from tasksel.synthesis.gates import (
    Gate,
    describe_power,
    figure_gate,
    find_rule,
    rate_gate,
    read_rules,
    unmeasured_gate,
)
from tasksel.synthesis.power import LEVEL, missing_share_power, short_value_power, smallest_n
from tasksel.synthesis.realised import DimensionResult, compare_realised, correct_tests, find_realised
from tasksel.synthesis.text_measures import Measured, measure_edge_cases, measure_texts, usable_vectors
from tasksel.synthesis.validation_findings import find_concerns
from tasksel.synthesis.validation_inputs import ValidationInputs, read_inputs
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tasksel.pool import PoolSource
    from tasksel.synthesis.checkers import CheckedDimension
    from tasksel.synthesis.gates import GateRule

__all__ = ["VALIDATION_FOLDER", "Validation", "validate"]

VALIDATION_FOLDER: Final = "validation"
STRATUM: Final = "stratum"
EDGE: Final = "edge"


@dataclass(frozen=True, eq=False)
class Validation:
    """What a validation found.

    Attributes
    ----------
    name : str
        Of the set.
    tier, n_planned, n_records : int
        Tier that was looked at, its planned examples, and the records of these.
    gates : list of Gate
    dimensions : list of DimensionResult
    figures : dict
        Figures of the texts, by topic.
    findings : list of str
        What a person should know, with what to do.
    values, confusion, shortfall, flagged : pl.DataFrame
        As in ``dimensions.parquet``, ``confusion.parquet``, ``shortfall.parquet`` and ``flagged.parquet``.
    """

    name: str
    tier: int
    n_planned: int
    n_records: int
    gates: list[Gate]
    dimensions: list[DimensionResult]
    figures: dict[str, Any]
    findings: list[str]
    values: pl.DataFrame
    confusion: pl.DataFrame
    shortfall: pl.DataFrame
    flagged: pl.DataFrame

    @property
    def failed(self) -> list[str]:
        """Names of the gates that failed."""
        return [gate.name for gate in self.gates if gate.outcome == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account, as in ``results.json``."""
        return {
            "name": self.name,
            "tier": self.tier,
            "planned": self.n_planned,
            "records": self.n_records,
            "failed": self.failed,
            "gates": [gate.to_dict() for gate in self.gates],
            "dimensions": [_describe_dimension(each) for each in self.dimensions],
            "figures": self.figures,
            "findings": self.findings,
        }


def validate(
    run: str | os.PathLike[str],
    *,
    records: str | os.PathLike[str] | None = None,
    real: PoolSource | None = None,
    synthetic_embeddings: str | Path | NDArray[Any] | None = None,
    real_embeddings: str | Path | NDArray[Any] | None = None,
    embedding_model: str | None = None,
    judge: JudgeAccess | None = None,
    tier: int | None = None,
    seed: int = 0,
) -> Validation:
    """Compare the records of a run with its plan, with real rows and with themselves.

    Parameters
    ----------
    run : path
        Run folder with a plan; the results go to ``validation/`` in it.
    records : path, optional
        A file with ``plan_id`` and ``prompt``; by default the records of the run.
    real : path, frame or Pool, optional
        Real rows: for lengths, copies, coverage, and with label columns for classifiers.
    synthetic_embeddings, real_embeddings : column, path or ndarray, optional
        One vector a record and a real row.
    embedding_model : str, optional
        A model that makes both, instead.
    judge : JudgeAccess, optional
        Who is asked where a dimension's check is of kind ``judge``.
    tier : int, optional
        Look at this tier; by default the smallest that holds all records.
    seed : int
        Of every random choice.

    Returns
    -------
    Validation

    Raises
    ------
    ResumeError
        The run has no plan or no records.
    SchemaError
        A file lacks columns or cannot be read.
    ConfigError
        A setting or a gate is not one of those allowed.
    ProviderError
        The judge's endpoint failed for good; its replies are kept and not asked for again.
    """
    folder = Path(run)
    inputs = read_inputs(
        folder,
        records=None if records is None else Path(records),
        real=real,
        synthetic_embeddings=synthetic_embeddings,
        real_embeddings=real_embeddings,
        embedding_model=embedding_model,
        tier=tier,
    )
    dimensions = checked_dimensions(inputs.config)
    rules = _read_rules(inputs, dimensions)
    out = folder / VALIDATION_FOLDER
    with folder_lock(out):
        results = _compare(inputs, dimensions, judge, out, seed)
        measured = measure_texts(inputs, rules, seed=seed)
        edges = measure_edge_cases(inputs, rules)
        gates = [_completeness(inputs, rules), *_dimension_gates(results, rules)]
        gates += [*measured.gates, *edges.gates, _coverage(inputs, rules, measured, seed)]
        validation = Validation(
            inputs.config.name,
            inputs.tier,
            inputs.planned.height,
            inputs.records.height,
            gates,
            results,
            measured.figures,
            find_concerns(inputs, gates, results, measured.figures),
            _values_frame(results),
            _confusion_frame(results),
            _shortfall_frame(inputs, dimensions, results),
            _flagged_frame(inputs, measured.flagged | edges.flagged),
        )
        _write(out, validation, inputs, seed)
    return validation


def _read_rules(inputs: ValidationInputs, dimensions: list[CheckedDimension]) -> Mapping[str, GateRule]:
    names = [each.name for each in dimensions]
    categories = sorted(set(inputs.planned["edge"].drop_nulls().to_list()))
    if inputs.config.edge is not None:
        categories = sorted({*categories, *inputs.config.edge.weights})
    subjects = {"agreement": names, "distribution": names, "edge": categories}
    return read_rules(inputs.config.gates, subjects)


def _compare(
    inputs: ValidationInputs,
    dimensions: list[CheckedDimension],
    judge: JudgeAccess | None,
    out: Path,
    seed: int,
) -> list[DimensionResult]:
    """Compare every level and dimension over the ordinary records."""
    ordinary = inputs.is_ordinary
    rows = np.flatnonzero(ordinary)
    records = inputs.records[rows]
    evidence = Evidence(
        records,
        [inputs.items[row] for row in rows.tolist()],
        out,
        None if inputs.vectors is None else inputs.vectors[rows],
        None if inputs.real is None else inputs.real.frame,
        inputs.real_vectors,
        judge,
        seed,
    )
    planned = inputs.planned.filter(pl.col("edge").is_null())
    results = []
    for place, dimension in enumerate(dimensions):
        counts = Counter(planned[dimension.name].drop_nulls().to_list())
        wanted = {value: counts.get(value, 0) for value in dimension.values}
        rng = np.random.default_rng([seed, place])
        realised = find_realised(dimension, evidence)
        results.append(compare_realised(dimension, records[dimension.name].to_list(), wanted, realised, rng))
    correct_tests(results)
    return results


def _completeness(inputs: ValidationInputs, rules: Mapping[str, GateRule]) -> Gate:
    return rate_gate(rules["completeness"], inputs.records.height, inputs.planned.height)


def _dimension_gates(results: list[DimensionResult], rules: Mapping[str, GateRule]) -> list[Gate]:
    gates = []
    n_tests = sum(each.p_corrected is not None for each in results)
    for each in results:
        agreement, distribution = (
            find_rule(rules, name, each.name) for name in ("agreement", "distribution")
        )
        if each.agreement is None:
            gates.append(unmeasured_gate(agreement, each.reason))
            continue
        if each.account.get("balanced_accuracy") is None:
            gates.append(rate_gate(agreement, each.n_agreed, each.n_rows, reason=each.reason))
        else:
            reason = f"corrected for a classifier of accuracy {each.account['accuracy']:.2f}"
            reason = f"{reason}; {each.reason}" if each.reason else reason
            gates.append(
                figure_gate(agreement, each.agreement, each.n_rows, interval=each.interval, reason=reason)
            )
        if each.p_corrected is None:
            gates.append(unmeasured_gate(distribution, "only one value is planned"))
        else:
            proof = _prove_distribution(each, n_tests)
            gates.append(figure_gate(distribution, each.p_corrected, each.n_rows, proof=proof))
    return gates


def _prove_distribution(result: DimensionResult, n_tests: int) -> dict[str, Any] | None:
    """Say with which power the rarest planned value would be noticed at half its share."""
    planned = {each.value: each.planned for each in result.values if each.planned}
    if len(planned) < 2:
        return None
    value = min(planned, key=lambda each: (planned[each], each))
    share = planned[value] / sum(planned.values())
    level = LEVEL / max(1, n_tests)
    power = short_value_power(result.n_rows, share, share / 2, level=level)
    # The binomial sums grow with n; a value this rare wants more rows than anybody plans.
    wanted = (
        smallest_n(lambda n: short_value_power(n, share, share / 2, level=level)) if share >= 0.01 else None
    )
    what = f"{value!r} ({share * 100:.3g} %) at half its share"
    return {
        "value": value,
        "true_share": share / 2,
        "power": power,
        "rows_for_power_80": wanted,
        "sentence": describe_power(result.n_rows, what, power, wanted),
    }


def _coverage(inputs: ValidationInputs, rules: Mapping[str, GateRule], measured: Measured, seed: int) -> Gate:
    """Ask the coverage of real embeddings, where all that it needs is there."""
    rule = rules["coverage"]
    if inputs.vectors is None or inputs.real_vectors is None:
        return unmeasured_gate(rule, "it needs embeddings of the records and of real rows")
    real, written = (
        vectors[usable_vectors(vectors)]
        for vectors in (inputs.real_vectors, inputs.vectors[inputs.is_ordinary])
    )
    if len(real) < 2 or len(written) < 2:
        return unmeasured_gate(rule, f"{len(real)} real and {len(written)} written vectors are too few")
    try:
        found = coverage(real, written, seed=seed)
    except TaskselError as error:
        return unmeasured_gate(rule, str(error))
    if found.coverage_equivalent is None:
        why = " ".join(found.notes) or "the sets are too small"
        return unmeasured_gate(rule, f"coverage could not be calibrated: {why}")
    n_cells = max(2, len(found.clusters))
    power = missing_share_power(len(written), 0.2, n_cells, n_reference=len(real))
    wanted = smallest_n(lambda n: missing_share_power(n, 0.2, n_cells, n_reference=len(real)))
    what = f"a missing 20 % over {n_cells} clusters of {len(real):,} real rows (χ²)"
    proof = {
        "missing_share": 0.2,
        "power": power,
        "rows_for_power_80": wanted,
        "sentence": describe_power(len(written), what, power, wanted),
    }
    value = float(found.coverage_equivalent)
    measured.figures["coverage"] = {"coverage_equivalent": value if np.isfinite(value) else None}
    return figure_gate(rule, value, len(written), interval=found.interval, proof=proof)


def _describe_dimension(result: DimensionResult) -> dict[str, Any]:
    content = asdict(result)
    content["confusion"] = [
        {"requested": one, "realised": other, "count": count}
        for (one, other), count in result.confusion.items()
    ]
    content["is_measured"] = result.is_measured
    return content


def _values_frame(results: list[DimensionResult]) -> pl.DataFrame:
    rows = [
        {
            "dimension": result.name,
            "value": each.value,
            "planned": each.planned,
            "requested": each.requested,
            "realised": each.realised if result.is_measured else None,
            "realised_share": each.share,
            "share_low": None if each.interval is None else each.interval.low,
            "share_high": None if each.interval is None else each.interval.high,
            "missing": each.missing,
        }
        for result in results
        for each in result.values
    ]
    texts = dict.fromkeys(("dimension", "value"), pl.String)
    counts = dict.fromkeys(("planned", "requested", "realised"), pl.Int64)
    shares = dict.fromkeys(("realised_share", "share_low", "share_high"), pl.Float64)
    return pl.DataFrame(rows, schema={**texts, **counts, **shares, "missing": pl.Int64})


def _confusion_frame(results: list[DimensionResult]) -> pl.DataFrame:
    rows = [(result.name, *pair, count) for result in results for pair, count in result.confusion.items()]
    names = dict.fromkeys(("dimension", "requested", "realised"), pl.String)
    return pl.DataFrame(rows, schema={**names, "count": pl.Int64}, orient="row")


def _shortfall_frame(
    inputs: ValidationInputs, dimensions: list[CheckedDimension], results: list[DimensionResult]
) -> pl.DataFrame:
    """List what the next plan should add: values, strata and edge categories that are short.

    A stratum is short of planned examples without a record. Values are short by what the checks found; where
    nothing was measured, by records that are missing.
    """
    rows: list[tuple[str, str, int]] = []
    for column, named in (("stratum", STRATUM), ("edge", EDGE)):
        planned, have = (
            Counter(each[column].drop_nulls().to_list()) for each in (inputs.planned, inputs.records)
        )
        rows += [(named, value, count) for value, count in sorted((planned - have).items())]
    for dimension, result in zip(dimensions, results, strict=True):
        for each in result.values:
            missing = each.missing if result.is_measured else max(0, each.planned - each.requested)
            if missing:
                rows.append((dimension.name, each.value, missing))
    schema = {"dimension": pl.String, "value": pl.String, "missing": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _flagged_frame(inputs: ValidationInputs, flagged: Mapping[str, list[int]]) -> pl.DataFrame:
    """List the records that something is wrong with, so that a person can look at them or leave them out."""
    ids = inputs.records["plan_id"].to_list()
    rows = [(ids[row], gate) for gate, found in flagged.items() for row in found]
    return pl.DataFrame(rows, schema={"plan_id": pl.String, "gate": pl.String}, orient="row").sort(
        "plan_id", "gate"
    )


def _write(out: Path, validation: Validation, inputs: ValidationInputs, seed: int) -> None:
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    frames = {
        "dimensions.parquet": validation.values,
        "confusion.parquet": validation.confusion,
        "shortfall.parquet": validation.shortfall,
        "flagged.parquet": validation.flagged,
    }
    for name, frame in frames.items():
        write_frame(out / name, frame)
    write_json(out / "results.json", validation.to_dict())
    manifest = {
        "format_version": FORMAT_VERSION,
        "inputs": inputs.described,
        "settings": {"tier": validation.tier, "seed": seed, "gates": dict(inputs.config.gates)},
        "failed": validation.failed,
        "files": ["results.json", *frames],
        "versions": find_versions(("tasksel",)),
    }
    write_json(out / MANIFEST_NAME, manifest)
