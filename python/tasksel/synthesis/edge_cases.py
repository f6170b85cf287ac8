"""Edge cases by name: what each is, what a model is asked to write, and whether a program can make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EDGE_CASES",
    "SHORT_NAMES",
    "EdgeCase",
    "canonical_category",
    "custom_category",
    "edge_case",
    "instruction_for",
    "is_mutable",
]


@dataclass(frozen=True)
class EdgeCase:
    """A category of edge cases.

    Attributes
    ----------
    name : str
        What the column ``edge`` says.
    summary : str
        What the category is.
    instruction : str
        What a request says to a model that is to write such an item.
    is_mutable : bool
        Whether `tasksel.synthesis.edge_mutations.mutate` makes such items from ordinary ones.
    """

    name: str
    summary: str
    instruction: str
    is_mutable: bool


_CASES: Final = (
    EdgeCase(
        "boundary",
        "a value exactly at a limit of the schema, or the next one inside it",
        "Make one value lie exactly at a limit that the schema allows: the lowest or highest number, the "
        "shortest or longest text, the smallest or largest list, or the first or last of the listed values.",
        is_mutable=True,
    ),
    EdgeCase(
        "very-short",
        "the main text is a word or a few characters, or as short as the schema allows",
        "Make the main text as short as the schema allows: one word or a few characters that someone might "
        "really send.",
        is_mutable=True,
    ),
    EdgeCase(
        "very-long",
        "a text of 10,000 characters and more, or as long as the schema allows",
        "Make the main text as long as the schema allows: somebody who tells everything, goes back, and "
        "repeats themselves.",
        is_mutable=True,
    ),
    EdgeCase(
        "unicode",
        "control characters, stacked marks, bidi overrides, zero-width and astral characters, lone "
        "surrogates, unusual forms of normalisation",
        "Put characters into the text that programs stumble over: emoji with modifiers, right-to-left "
        "overrides, zero-width spaces, stacked accents, control characters, full-width letters.",
        is_mutable=True,
    ),
    EdgeCase(
        "missing",
        "a value is null, left out, empty, or nothing but spaces",
        "Leave one value out that should be there: null, absent, empty, or nothing but spaces.",
        is_mutable=True,
    ),
    EdgeCase(
        "invalid-but-parseable",
        "valid JSON that breaks the schema or sense: a wrong type, a number as text, 2023-02-30",
        "Write valid JSON whose content is wrong: a number as text, a negative quantity, a date such as "
        "2023-02-30, a value that is not among those listed, or a field that nobody asked for.",
        is_mutable=True,
    ),
    EdgeCase(
        "near-duplicate",
        "all but the same text as another example, and another label",
        "Take the example that is shown and change as little of its text as possible, a word or two, so that "
        "another label becomes right; give the item that label.",
        is_mutable=False,
    ),
    EdgeCase(
        "extreme",
        "the largest and smallest numbers and dates, texts such as NaN, deep nesting, huge lists",
        "Use a value at the end of what computers represent: the largest or smallest number, the first or "
        "last date, a text such as NaN or null, deeply nested brackets, a very long list.",
        is_mutable=True,
    ),
)
EDGE_CASES: Final[Mapping[str, EdgeCase]] = {case.name: case for case in _CASES}
"""Name -> category, in the order of documents."""

SHORT_NAMES: Final[Mapping[str, str]] = {
    "invalid": "invalid-but-parseable",
    "near-duplicate-different-label": "near-duplicate",
    "extremes": "extreme",
    "null": "missing",
    "control": "unicode",
}
"""Other names that a configuration may use."""


def canonical_category(category: str, config: Any = None) -> str:
    """Return the name of a category as `EDGE_CASES` or the configuration has it.

    Parameters
    ----------
    category : str
        A name, a short form such as ``invalid``, or the name of a custom category.
    config : EdgeConfig, optional
        The configuration's section ``[edge]``, whose ``custom`` categories are known too.

    Raises
    ------
    ConfigError
        There is no such category; the message lists those that there are.

    Examples
    --------
    >>> canonical_category("invalid")
    'invalid-but-parseable'
    """
    own = {} if config is None else config.custom
    if category in EDGE_CASES or category in own:
        return category
    if category in SHORT_NAMES:
        return SHORT_NAMES[category]
    raise ConfigError(
        f"{category!r} is not an edge category; allowed are {', '.join([*EDGE_CASES, *own])}. A category of "
        "your own is a section [edge.custom.NAME] with an instruction."
    )


def custom_category(category: str, config: Any = None) -> Any | None:
    """Return the configuration of a custom category, or None for one of `EDGE_CASES`; errors as above."""
    name = canonical_category(category, config)
    return None if name in EDGE_CASES else config.custom[name]


def edge_case(category: str, config: Any = None) -> EdgeCase:
    """Return a category by name, a custom one among them.

    Raises
    ------
    ConfigError
        There is no such category.
    """
    custom = custom_category(category, config)
    if custom is None:
        return EDGE_CASES[canonical_category(category, config)]
    return EdgeCase(category, "a category of your own", custom.instruction, is_mutable=False)


def instruction_for(category: str, config: Any = None) -> str:
    """Return what a request says so that a model writes an item of a category.

    Parameters
    ----------
    category : str
        A category's name.
    config : EdgeConfig, optional
        Knows the custom categories.

    Raises
    ------
    ConfigError
        There is no such category.

    Examples
    --------
    >>> instruction_for("missing")
    'Leave one value out that should be there: null, absent, empty, or nothing but spaces.'
    """
    return edge_case(category, config).instruction


def is_mutable(category: str, config: Any = None) -> bool:
    """Return whether items of a category are made from ordinary ones by a program, without a model.

    Near-duplicates with another label and custom categories need a model.

    Examples
    --------
    >>> is_mutable("unicode"), is_mutable("near-duplicate")
    (True, False)
    """
    return edge_case(category, config).is_mutable
