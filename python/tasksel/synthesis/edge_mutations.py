"""Edge cases made from ordinary items: the change is drawn, and kept only where the predicate proves it.

A mutated text keeps the label of the item that it was made from. Whether that still fits, a program cannot
tell: mutations are for asking how a program or a pipeline behaves, and stand apart from the other records.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.edge_cases import canonical_category, is_mutable
from tasksel.synthesis.edge_places import (
    ABSENT,
    Place,
    find_places,
    limits_of,
    main_text,
    replaced,
    without,
)
from tasksel.synthesis.edge_predicates import holds
from tasksel.synthesis.edge_schema import find_violations, item_json
from tasksel.synthesis.edge_texts import (
    EXTREME_TEXT_VARIANTS,
    SKIP,
    UNICODE_VARIANTS,
    VERY_LONG_VARIANTS,
    VERY_SHORT_VARIANTS,
)
from tasksel.synthesis.edge_values import (
    BOUNDARY_VARIANTS,
    EXTREME_VARIANTS,
    INVALID_VARIANTS,
    MISSING_VARIANTS,
)
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import numpy as np

    from tasksel.synthesis.edge_texts import Builder

__all__ = ["Mutation", "mutate", "variant_names"]

SHOWN_CHARS: Final = 60

_TEXT_VARIANTS: Final = {
    "very-short": VERY_SHORT_VARIANTS,
    "very-long": VERY_LONG_VARIANTS,
    "unicode": UNICODE_VARIANTS,
}
_VALUE_VARIANTS: Final = {
    "boundary": BOUNDARY_VARIANTS,
    "missing": MISSING_VARIANTS,
    "invalid-but-parseable": INVALID_VARIANTS,
    "extreme": {**EXTREME_VARIANTS, **EXTREME_TEXT_VARIANTS},
}
_VARIANTS: Final[Mapping[str, Mapping[str, Builder]]] = {**_TEXT_VARIANTS, **_VALUE_VARIANTS}
_BREAKING: Final = frozenset({"missing", "invalid-but-parseable"})
"""Categories whose items may break the schema, and may touch what is protected."""


@dataclass(frozen=True)
class Mutation:
    """An edge case made from an ordinary item.

    Attributes
    ----------
    category, variant : str
        What it is, and in which way: a name of `variant_names`.
    field : str
        The place that was changed.
    item : object
        The whole changed item.
    change : str
        What was there and what is there now, in printable characters.
    why : str
        The proof's clause.
    """

    category: str
    variant: str
    field: str
    item: Any
    change: str
    why: str


def variant_names(category: str) -> tuple[str, ...]:
    """Return the ways in which items of a category are made; none where a model has to write them.

    Raises
    ------
    ConfigError
        There is no such category.

    Examples
    --------
    >>> variant_names("missing")
    ('null', 'absent', 'empty', 'whitespace')
    """
    return tuple(_VARIANTS.get(canonical_category(category), ()))


def mutate(
    category: str,
    item: Any,
    schema: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    variant: str | None = None,
    protected: Collection[str] = (),
) -> Mutation | None:
    """Make an edge case of a category from an ordinary item.

    Each variant that applies is equally likely, whatever number of places it applies to. The result is proved
    by `holds` and conforms to the schema wherever the original does, except for ``missing`` and
    ``invalid-but-parseable``.

    Parameters
    ----------
    category : str
        A name of `EDGE_CASES` that `is_mutable`.
    item : object
        What ``json.loads`` gives.
    schema : mapping
        JSON Schema of the item.
    rng : numpy.random.Generator
        Draws variant, place and value.
    variant : str, optional
        One of `variant_names`; default: any.
    protected : collection of str
        Names of places that stay as they are, such as those of the stratum; only ``missing`` and
        ``invalid-but-parseable`` may change them.

    Returns
    -------
    Mutation or None
        None where the category does not apply to the item.

    Raises
    ------
    ConfigError
        There is no such category or variant, it needs a model, or the schema is wrong.
    MissingExtraError
        jsonschema is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> schema = {"properties": {"text": {"type": "string", "maxLength": 29}}}
    >>> made = mutate("boundary", {"text": "It broke."}, schema, np.random.default_rng(0), variant="highest")
    >>> made.item, made.field
    ({'text': 'It broke. It broke. It broke.'}, 'text')
    """
    name = canonical_category(category)
    variants = _checked_variants(name, variant)
    for chosen, place in _candidates(name, variants, item, schema, rng, protected):
        made = _applied(name, chosen, variants[chosen], place, item, schema, rng)
        if made is not None:
            return made
    return None


def _checked_variants(category: str, variant: str | None) -> Mapping[str, Builder]:
    if not is_mutable(category):
        raise ConfigError(
            f"Items of the edge category {category} are not made by mutation; a model writes them."
        )
    variants = _VARIANTS[category]
    if variant is None:
        return variants
    if variant not in variants:
        raise ConfigError(
            f"{variant!r} is no way to make {category} items; allowed are {', '.join(variants)}."
        )
    return {variant: variants[variant]}


def _candidates(
    category: str,
    variants: Mapping[str, Builder],
    item: Any,
    schema: Mapping[str, Any],
    rng: np.random.Generator,
    protected: Collection[str],
) -> Iterator[tuple[str, Place]]:
    """Give pairs of variant and place, the telling places first, each in random order."""
    places = [place for place in find_places(item, schema) if place.value is not ABSENT]
    if category not in _BREAKING:
        places = [place for place in places if place.name not in protected]
    if category in _TEXT_VARIANTS:
        places = [place for place in places if place.kind == "text"]
    by_tier: dict[int, list[Place]] = {}
    longest = main_text(places)
    for place in places:
        by_tier.setdefault(_tier(category, place, longest), []).append(place)
    for tier in sorted(by_tier):
        for chosen in rng.permutation(list(variants)).tolist():
            for position in rng.permutation(len(by_tier[tier])).tolist():
                yield chosen, by_tier[tier][position]


def _tier(category: str, place: Place, longest: Place | None) -> int:
    """Return 0 for the places where the category says most."""
    if category == "boundary":
        limits = limits_of(place)
        return 0 if limits.is_wide else 1 if limits.is_set or place.kind == "choice" else 2
    if category in ("very-short", "very-long"):
        return 0 if place is longest else 1
    return 0 if category != "missing" or place.required else 1


def _applied(
    category: str,
    variant: str,
    build: Builder,
    place: Place,
    item: Any,
    schema: Mapping[str, Any],
    rng: np.random.Generator,
) -> Mutation | None:
    """Return the change if it is one, is JSON, keeps the schema where it must, and is proved."""
    if variant in EXTREME_TEXT_VARIANTS and place.kind != "text":
        return None
    value = build(place, rng)
    if value is SKIP:
        return None
    made = without(item, place.path) if value is ABSENT else replaced(item, place.path, value)
    try:
        if item_json(made) == item_json(item):
            return None
    except ValueError:
        return None
    if category not in _BREAKING and find_violations(made, schema) and not find_violations(item, schema):
        return None
    proof = holds(category, made, schema, field=place.name, original=item)
    if not proof.holds:
        return None
    return Mutation(category, variant, place.name, made, _change(place, value), proof.why)


def _change(place: Place, value: Any) -> str:
    """Say what was there and what is there now; of long texts from shortly before they differ."""
    if isinstance(value, dict) and isinstance(place.value, dict) and value.keys() > place.value.keys():
        return f"{place.name}: added {', '.join(map(json.dumps, value.keys() - place.value.keys()))}"
    start = 0
    if isinstance(value, str) and isinstance(place.value, str):
        pairs = zip(value, place.value, strict=False)
        differs = next((at for at, (new, old) in enumerate(pairs) if new != old), 0)
        start = max(differs - SHOWN_CHARS // 3, 0)
    return f"{place.name}: {_shown(place.value, start)} -> {_shown(value, start)}"


def _shown(value: Any, start: int) -> str:
    if value is ABSENT:
        return "(absent)"
    text = json.dumps(value[start:] if start else value)
    before = "..." if start else ""
    size = f" ({len(value):,})" if isinstance(value, (str, list, dict)) else ""
    return f"{before}{text}" if len(text) <= SHOWN_CHARS else f"{before}{text[:SHOWN_CHARS]}...{size}"
