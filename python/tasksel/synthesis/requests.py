"""Planned examples become requests: few items of one stratum each, the same words every time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers import ChatRequest, Message
from tasksel.run_folder import text_sha256
from tasksel.synthesis.edge_cases import instruction_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasksel.synthesis.config import SynthesisConfig
    from tasksel.synthesis.planned_examples import PlannedExample

__all__ = [
    "NEAR_DUPLICATE",
    "ItemRequest",
    "correction_request",
    "group_examples",
    "may_break_schema",
    "write_request",
]

NEAR_DUPLICATE: Final = "near-duplicate"
_NEAR_DUPLICATES: Final = (NEAR_DUPLICATE, "near-duplicate-different-label")
_BREAKING: Final = ("missing", "null", "invalid", "invalid-but-parseable", "extreme", "extremes")
"""Edge cases whose point may be that an item breaks the schema."""
_MOST_AVOIDED: Final = 10
_SHOWN_CHARS: Final = 300
_SYSTEM: Final = (
    "You write synthetic examples for a data set. Each one must be realistic, differ from the others in "
    "wording and content, and have exactly the properties that are asked for. Reply with JSON alone."
)


@dataclass(frozen=True)
class ItemRequest:
    """A request for items, one for each planned example, in their order.

    Parameters
    ----------
    examples : tuple of PlannedExample
        Of one stratum.
    chat : ChatRequest
        What is asked.
    """

    examples: tuple[PlannedExample, ...]
    chat: ChatRequest


def may_break_schema(example: PlannedExample) -> bool:
    """Whether an item may break the schema, since that is what is asked for."""
    return example.edge in _BREAKING


def is_near_duplicate(example: PlannedExample) -> bool:
    """Whether an item is to be a near-duplicate of another one, which must be there first."""
    return example.edge in _NEAR_DUPLICATES


def group_examples(examples: Iterable[PlannedExample], items: int) -> list[tuple[PlannedExample, ...]]:
    """Deal examples into requests: one stratum each, edge cases apart from ordinary ones.

    Parameters
    ----------
    examples : iterable of PlannedExample
        In the plan's order, which decides who stands together.
    items : int
        Most in a request.

    Returns
    -------
    list of tuple of PlannedExample
        In the order of their first examples.
    """
    cells: dict[tuple[str, bool], list[PlannedExample]] = {}
    for each in examples:
        cells.setdefault((each.stratum, each.edge is not None), []).append(each)
    return [
        tuple(cell[start : start + items]) for cell in cells.values() for start in range(0, len(cell), items)
    ]


def settings_key(config: SynthesisConfig) -> str:
    """Name what all requests of a configuration have in common."""
    common = [config.model.model, config.instructions, config.language, config.schema]
    return text_sha256(json.dumps(common, sort_keys=True))


def write_request(
    config: SynthesisConfig,
    examples: Sequence[PlannedExample],
    *,
    exemplars: Sequence[str] = (),
    avoided: Sequence[str] = (),
    base: str | None = None,
) -> ItemRequest:
    """Write the request for some examples of one stratum.

    Parameters
    ----------
    config : SynthesisConfig
        Instructions, schema, language, model.
    examples : sequence of PlannedExample
        What is wanted.
    exemplars : sequence of str
        Real texts of the stratum that are shown.
    avoided : sequence of str
        Texts that were written before and must not come again.
    base : str, optional
        The item that near-duplicates are made from, as JSON.

    Returns
    -------
    ItemRequest
        Equal arguments give equal requests.
    """
    parts = [
        _ask_for(len(examples)),
        f"JSON Schema of each item:\n{_json(config.schema)}",
        *_about_values(config, examples),
        _about_items(config, examples),
    ]
    # Requests for equal properties would be equal, and so would their likeliest replies.
    numbers = ", ".join(each.plan_id for each in examples)
    parts.append(
        f"Numbers of these items in the data set: {numbers}. The others are written apart from these, so do "
        "not take what comes to mind first."
    )
    if config.language is not None and "language" not in examples[0].values:
        parts.append(f"Language of the texts: {config.language}.")
    if base is not None:
        parts.append(f"The example that near-duplicates are made from:\n{base}")
    if exemplars:
        shown = "\n".join(_json(_clipped(each)) for each in exemplars)
        parts.append(f"Real examples, for style and content; do not copy them:\n{shown}")
    if avoided:
        shown = "\n".join(_json(_clipped(each)) for each in avoided[:_MOST_AVOIDED])
        parts.append(f"These exist already; write something else:\n{shown}")
    parts.append(f"Reply with the JSON array of {_items(len(examples))} alone, in the order above.")
    system = "\n\n".join(part for part in (config.instructions.strip(), _SYSTEM) if part)
    return _request(config, examples, (Message("system", system), Message("user", "\n\n".join(parts))))


def correction_request(
    config: SynthesisConfig,
    first: ItemRequest,
    reply: str,
    failed: Sequence[tuple[PlannedExample, str]],
) -> ItemRequest:
    """Write the turn that sends a reply back with what was wrong, and asks for the failed items alone.

    Parameters
    ----------
    config : SynthesisConfig
        As for the first request.
    first : ItemRequest
        What was asked.
    reply : str
        What the model wrote.
    failed : sequence of (PlannedExample, str)
        Examples without a usable item, and why.
    """
    numbers = {each.plan_id: number for number, each in enumerate(first.examples, 1)}
    lines = [f"- item {numbers[example.plan_id]}: {why}" for example, why in failed]
    text = (
        f"These items cannot be used:\n{chr(10).join(lines)}\n\nReply with a JSON array of "
        f"{_items(len(lines))} alone: new versions of these, in this order. Leave out the others."
    )
    turns = (Message("assistant", reply), Message("user", text))
    return _request(config, [example for example, _ in failed], (*first.chat.messages, *turns))


def _request(
    config: SynthesisConfig, examples: Sequence[PlannedExample], messages: tuple[Message, ...]
) -> ItemRequest:
    model = config.model
    chat = ChatRequest(messages, model.temperature, model.top_p, model.max_tokens, _array(config, examples))
    return ItemRequest(tuple(examples), chat)


def _ask_for(count: int) -> str:
    return f"Write {_items(count)} as one JSON array."


def _items(count: int) -> str:
    return "exactly 1 object" if count == 1 else f"exactly {count} objects"


def _about_values(config: SynthesisConfig, examples: Sequence[PlannedExample]) -> list[str]:
    """Explain the levels and dimensions that have a description."""
    described = {**config.strata.descriptions, **{each.name: each.description for each in config.dimensions}}
    lines = [f"- {name}: {text}" for name, text in described.items() if text and name in examples[0].values]
    return ["What the properties mean:\n" + "\n".join(lines)] if lines else []


def _about_items(config: SynthesisConfig, examples: Sequence[PlannedExample]) -> str:
    lines = ["Properties of each item:"]
    for number, each in enumerate(examples, 1):
        lines.append(f"{number}. {_json(dict(each.values))}")
        if each.edge is not None:
            lines.append(f"   This one is an edge case. {instruction_for(each.edge, config.edge)}")
    return "\n".join(lines)


def _array(config: SynthesisConfig, examples: Sequence[PlannedExample]) -> dict[str, Any]:
    """Return the schema of a whole reply, for providers that can hold a model to it.

    Where a level or dimension is checked by a field of the item, or has the name of one, that field is set
    to the value which is wanted.
    """
    item = {key: value for key, value in config.schema.items() if key not in ("$defs", "definitions")}
    shared = {key: config.schema[key] for key in ("$defs", "definitions") if key in config.schema}
    items = [_pinned(item, _known_fields(config, each)) for each in examples]
    return {
        "type": "array",
        "prefixItems": items,
        "items": False,
        "minItems": len(items),
        "maxItems": len(items),
        **shared,
    }


def _known_fields(config: SynthesisConfig, example: PlannedExample) -> dict[str, str]:
    checks = {**config.strata.checks, **{each.name: each.check for each in config.dimensions}}
    fields = {name: name for name in example.values}
    fields |= {
        name: check.field for name, check in checks.items() if check is not None and check.kind == "rule"
    }
    return {fields[name]: value for name, value in example.values.items()}


def _pinned(item: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    properties = dict(item["properties"])
    for name, value in known.items():
        given = properties.get(name)
        if isinstance(given, dict):
            properties[name] = _constant(given, value)
    return {**item, "properties": properties}


def _constant(schema: dict[str, Any], value: str) -> dict[str, Any]:
    """Return the schema of one value, in the type that the field has; the field's own where none fits."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    allowed = schema.get("enum")
    for candidate in (value, _plain(value)):
        fits_kind = kinds is None or _kind(candidate) in kinds
        if fits_kind and (allowed is None or candidate in allowed) and not isinstance(candidate, dict):
            return {"const": candidate}
    return schema


def _plain(value: str) -> Any:
    """Read a number or a truth value that the plan holds as text."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
