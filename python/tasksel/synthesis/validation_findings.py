"""What a person should know of a validation: the number, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasksel.synthesis.gates import Gate
    from tasksel.synthesis.realised import DimensionResult
    from tasksel.synthesis.validation_inputs import ValidationInputs

__all__ = ["find_concerns"]

_ADVICE: Final[Mapping[str, str]] = {
    "completeness": "`tasksel synth run --resume` writes what is missing; rejects.jsonl says why it is.",
    "answered": "Look at the item's fields that the response is made of.",
    "schema_validity": "Take a model that decodes by the schema, or loosen what the schema asks.",
    "language": "Name the language in the instructions.",
    "length": "Give the schema minLength and maxLength, or show real examples in the request.",
    "exact_duplicates": "Ask for fewer items a request, raise the temperature, add dimensions.",
    "near_duplicates": "Ask for fewer items a request, raise the temperature, add dimensions.",
    "embedding_duplicates": "The texts say the same in other words: add dimensions that vary what is said.",
    "copies": "Show other exemplars, or none, and drop the rows in flagged.parquet.",
    "embedding_copies": "Show other exemplars, or none, and look at the rows in flagged.parquet.",
    "personal_data": "Look at the rows in flagged.parquet and drop them, or mask what they hold.",
    "edge_share": "`tasksel synth run --resume` writes what is missing.",
    "edge": "Make these by mutation, or say in the category's instruction what must hold.",
    "agreement": "Say the value's meaning in the description, or ask for one value a request.",
    "distribution": "shortfall.parquet is what the next plan adds.",
    "coverage": "`tasksel coverage` lists the gaps and the real rows nearest to them.",
}


def find_concerns(
    inputs: ValidationInputs,
    gates: Sequence[Gate],
    results: Sequence[DimensionResult],
    figures: Mapping[str, Any],
) -> list[str]:
    """Return what went otherwise than planned, the most important first.

    Parameters
    ----------
    inputs : ValidationInputs
    gates : sequence of Gate
    results : sequence of DimensionResult
    figures : mapping
        Of the texts.

    Returns
    -------
    list of str
        A sentence or two each.
    """
    found = _left_out(inputs)
    for gate in gates:
        if gate.outcome == "failed":
            found.append(f"{_describe(gate)} {_ADVICE[gate.name.partition(':')[0]]}")
    found += _confusions(results)
    found += _unproven(gates)
    errors = figures.get("schema", {}).get("errors", {})
    if errors:
        most, count = next(iter(errors.items()))
        found.append(f"The schema is broken most often by {most} ({count:,} items).")
    return found


def _left_out(inputs: ValidationInputs) -> list[str]:
    found = []
    if not inputs.records.height:
        found.append("There are no records of planned examples, so nothing could be measured.")
    if inputs.n_unknown:
        found.append(
            f"{_rows(inputs.n_unknown)} left out: no planned example has the plan_id. Is this the run that "
            "they were written for?"
        )
    if inputs.n_repeated:
        found.append(f"{_rows(inputs.n_repeated)} left out: an earlier record has the same plan_id.")
    return found


def _rows(count: int) -> str:
    return "1 record was" if count == 1 else f"{count:,} records were"


def _describe(gate: Gate) -> str:
    if gate.name.startswith("distribution"):
        return (
            f"{gate.name}: counts so far from the planned shares come by chance with probability "
            f"{gate.value:.2g} alone."
        )
    if gate.name == "coverage":
        return f"coverage is {gate.value:.2f} with {gate.n_rows:,} records; {gate.threshold:.2f} is wanted."
    side = "at least" if gate.at_least else "at most"
    value = _percent(gate.value or 0.0)
    return f"{gate.name} is {value} of {gate.n_rows:,}; {side} {_percent(gate.threshold)} is wanted."


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _confusions(results: Sequence[DimensionResult]) -> list[str]:
    """Name the commonest way in which each poorly realised dimension goes wrong."""
    found = []
    for result in results:
        wrong = {pair: count for pair, count in result.confusion.items() if pair[0] != pair[1]}
        if not wrong or result.n_agreed >= 0.9 * result.n_rows:
            continue
        (asked, got), count = max(wrong.items(), key=lambda each: (each[1], each[0]))
        total = sum(number for (one, _), number in result.confusion.items() if one == asked)
        found.append(f"{result.name}: {count:,} of {total:,} records asked to be {asked!r} came as {got!r}.")
    return found


def _unproven(gates: Sequence[Gate]) -> list[str]:
    """Say which gates passed or failed by less than their interval."""
    names = [
        gate.name
        for gate in gates
        if gate.interval is not None and gate.outcome != "not measured" and not gate.is_proven
    ]
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    said = f"{', '.join(names)} {verb} within chance of the threshold"
    return [f"{said}: more rows decide, see what the gates can prove."]
