"""Proofs that an item is the edge case that it is said to be, whoever wrote it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.synthesis.edge_cases import canonical_category, custom_category
from tasksel.synthesis.edge_extremes import extreme_value
from tasksel.synthesis.edge_measures import (
    VERY_SHORT_CHARS,
    is_blank,
    is_impossible_date,
    longest_allowed,
    shortest_allowed,
)
from tasksel.synthesis.edge_places import (
    ABSENT,
    Place,
    find_places,
    limits_of,
    main_text,
    path_name,
    type_names,
)
from tasksel.synthesis.edge_schema import find_violations, item_json
from tasksel.synthesis.edge_similarity import compare_texts
from tasksel.synthesis.edge_unicode import UNICODE_KINDS, unicode_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Proof", "holds"]

LONG_TEXT_CHARS: Final = 100
"""Texts that may not be longer, such as names, are very long only where they are asked about by name."""


class Proof(NamedTuple):
    """Whether an item is what its category says.

    Attributes
    ----------
    holds : bool or None
        None where a program cannot tell.
    why : str
        One clause: what was found, or what is missing.
    """

    holds: bool | None
    why: str


class _Case(NamedTuple):
    """An item and the places in it that are asked about."""

    item: Any
    schema: Mapping[str, Any]
    places: Sequence[Place]
    original: Any
    originals: Mapping[tuple[str | int, ...], Place]
    field: str | None
    labels: Sequence[str]

    def original_place(self, place: Place) -> Place | None:
        """Return the same place of the original, if there is an original that has it."""
        return self.originals.get(place.path)


def holds(
    category: str,
    item: Any,
    schema: Mapping[str, Any],
    *,
    field: str | None = None,
    original: Any = ABSENT,
    labels: Sequence[str] = (),
    config: Any = None,
    prompt: str | None = None,
) -> Proof:
    """Prove or disprove that an item is an edge case of a category.

    Parameters
    ----------
    category : str
        A name of `EDGE_CASES`, or a custom category of `config`.
    item : object
        What ``json.loads`` gives.
    schema : mapping
        JSON Schema of ordinary items; ``{}`` where there is none.
    field : str, optional
        Name of the place that is to be the edge case, such as ``customer.name``; default: any place.
    original : object, optional
        The ordinary item that this one was made from, or is a near-duplicate of. What the original has too
        proves nothing.
    labels : sequence of str
        Names of the places that hold the label, which must differ between near-duplicates; default: any
        place but the text.
    config : EdgeConfig, optional
        Knows the custom categories.
    prompt : str, optional
        The record's prompt, that a custom category's pattern is looked for in; default: all texts of the
        item.

    Returns
    -------
    Proof

    Raises
    ------
    ConfigError
        There is no such category, or the schema is wrong.
    MissingExtraError
        The category is about breaking the schema, and jsonschema is not installed.

    Examples
    --------
    >>> schema = {"properties": {"text": {"type": "string", "maxLength": 40}}}
    >>> holds("boundary", {"text": "a" * 40}, schema)
    Proof(holds=True, why='text has 40 characters, and at most 40 are allowed')
    >>> holds("boundary", {"text": "a" * 20}, schema).holds
    False
    """
    name = canonical_category(category, config)
    custom = custom_category(category, config)
    if custom is not None:
        return _prove_custom(custom, item, prompt)
    places = find_places(item, schema)
    if field is not None:
        places = _named(places, field)
        if not places and original is not ABSENT:
            absent = _named(find_places(original, schema), field)
            places = [Place(each.path, ABSENT, each.schema, each.required) for each in absent]
        if not places:
            return Proof(False, f"there is no field {field}")
    before = [] if original is ABSENT else find_places(original, schema)
    originals = {place.path: place for place in before}
    return _PREDICATES[name](_Case(item, schema, places, original, originals, field, labels))


def _named(places: Sequence[Place], field: str) -> list[Place]:
    return [place for place in places if place.name == field]


def _first(proofs: Iterable[Proof | None], otherwise: str) -> Proof:
    """Return the first proof that there is, else that there is none."""
    return next((proof for proof in proofs if proof is not None), Proof(False, otherwise))


# Boundary


def _prove_boundary(case: _Case) -> Proof:
    """Ask the wide ranges first: in a narrow one, such as 1 to 5, ordinary items are at the end often."""
    measured = [place for place in case.places if place.kind in ("text", "list", "integer", "number")]
    choices = [place for place in case.places if place.kind == "choice"]
    wide = [place for place in measured if limits_of(place).is_wide]
    narrow = [place for place in measured if limits_of(place).is_set and place not in wide]
    narrow += [place for place in choices if _enum_ends(place)]
    # Without limits, empty is the natural end; a list of one element is ordinary all the same.
    natural = [place for place in measured if place.kind == "text" or case.field is not None]
    asked = [*wide, *narrow] if case.field is not None else wide or narrow
    proofs = [_at_limit(place) for place in asked or natural]
    return _first(proofs, "no value is at a limit of the schema")


def _enum_ends(place: Place) -> tuple[Any, ...]:
    values = place.schema.get("enum", ())
    return (values[0], values[-1]) if len(values) > 1 else ()


def _at_limit(place: Place) -> Proof | None:
    if place.kind == "choice":
        ends = _enum_ends(place)
        at_end = any(_same(place.value, end) for end in ends)
        return Proof(True, f"{place.name} is the first or last value of its list") if at_end else None
    limits = limits_of(place)
    size = len(place.value) if place.kind in ("text", "list") else place.value
    low = 0 if not limits.is_set and place.kind in ("text", "list") else limits.low
    unit = {"text": " characters", "list": " elements"}.get(place.kind, "")
    for end, inwards, word in ((low, 1, "at least"), (limits.high, -1, "at most")):
        if end is not None and size in (end, limits.near(end, towards=inwards)):
            had = f"has {len(place.value):,}{unit}" if unit else f"is {size!r}"
            return Proof(
                True, f"{place.name} {had}, and {word} {end if not unit else f'{end:,}'} are allowed"
            )
    return None


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


# Length


def _prove_very_short(case: _Case) -> Proof:
    place = main_text(case.places)
    if place is None:
        return Proof(False, "there is no text")
    if not place.value.strip():
        return Proof(False, f"{place.name} is blank, which is missing rather than short")
    most, length = shortest_allowed(place), len(place.value)
    return Proof(length <= most, f"{place.name} has {length:,} characters; very short is up to {most:,}")


def _prove_very_long(case: _Case) -> Proof:
    texts = [place for place in case.places if place.kind == "text"]
    if case.field is None:
        long = [place for place in texts if (limits_of(place).high or LONG_TEXT_CHARS) >= LONG_TEXT_CHARS]
        texts = long or texts
    for place in texts:
        if len(place.value) >= longest_allowed(place):
            return Proof(
                True,
                f"{place.name} has {len(place.value):,} characters; very long is from "
                f"{longest_allowed(place):,} on",
            )
    return Proof(False, "no text is very long")


# Unicode


def _prove_unicode(case: _Case) -> Proof:
    for place in case.places:
        if isinstance(place.value, str):
            before = case.original_place(place)
            kinds = unicode_kinds(place.value)
            if before is not None and isinstance(before.value, str):
                kinds -= unicode_kinds(before.value)
            if kinds:
                found = "; ".join(text for kind, text in UNICODE_KINDS.items() if kind in kinds)
                return Proof(True, f"{place.name} holds {found}")
    return Proof(False, "no text holds characters that programs stumble over")


# Missing


def _prove_missing(case: _Case) -> Proof:
    for place in case.places:
        if not is_blank(place.value):
            continue
        before = case.original_place(place)
        if before is not None:
            is_new = not is_blank(before.value)
        else:
            is_new = case.field is not None or _is_wanted(place)
        if is_new:
            return Proof(True, f"{place.name} {_blankness(place.value)}")
    return Proof(False, "nothing is missing")


def _is_wanted(place: Place) -> bool:
    """Return whether a blank at a place is more than an ordinary item without what it need not have."""
    if isinstance(place.value, list):
        return bool(limits_of(place).low)
    return place.required and not (place.value is None and "null" in type_names(place.schema))


def _blankness(value: Any) -> str:
    return "is left out" if value is ABSENT else "is null" if value is None else "is blank"


# Invalid but parseable


def _prove_invalid(case: _Case) -> Proof:
    try:
        item_json(case.item)
    except ValueError as error:
        return Proof(False, f"it cannot be written as JSON ({error})")
    paths = {place.path for place in case.places}
    for path, keyword, value in find_violations(case.item, case.schema):
        is_asked = case.field is None or path in paths
        # What is left out or empty breaks a schema too, and is the category `missing`.
        if is_asked and keyword != "required" and not is_blank(value):
            return Proof(True, f"{path_name(path)} breaks the schema ({keyword})")
    proofs = [*map(_impossible_date, case.places), *map(_undeclared, case.places)]
    return _first(proofs, "nothing breaks the schema or the calendar")


def _impossible_date(place: Place) -> Proof | None:
    if place.kind == "date" and is_impossible_date(place.value):
        return Proof(True, f"{place.name} is a date that no calendar has")
    return None


def _undeclared(place: Place) -> Proof | None:
    """Find a field that an object's schema does not name; without properties nothing is undeclared."""
    properties = place.schema.get("properties")
    if place.kind != "object" or not properties or isinstance(place.schema.get("additionalProperties"), dict):
        return None
    extra = [name for name in place.value if name not in properties]
    return Proof(True, f"{place.name} has a field that the schema does not name") if extra else None


# Near-duplicate


def _prove_near_duplicate(case: _Case) -> Proof:
    if case.original is ABSENT:
        return Proof(None, "the example that it is a near-duplicate of is not known")
    texts = [place for place in case.places if place.kind == "text"]
    before = [place for place in case.originals.values() if place.kind == "text"]
    ours, theirs = main_text(texts), main_text(before)
    same = next((each for each in before if ours is not None and each.path == ours.path), theirs)
    if ours is None or same is None:
        return Proof(False, "there is no text to compare")
    similarity = compare_texts(ours.value, same.value)
    if not similarity.is_near:
        return Proof(False, f"{ours.name} shares {similarity.shared_shingles:.0%} of its shingles, too few")
    if _label_values(case, case.item, ours) == _label_values(case, case.original, ours):
        return Proof(False, f"{ours.name} is near, but no label differs")
    return Proof(
        True,
        f"{ours.name} shares {similarity.shared_shingles:.0%} of its shingles, and a label differs; whether "
        "it is right is the model's word, to be reviewed",
    )


def _label_values(case: _Case, item: Any, text: Place) -> dict[str, Any]:
    return {
        place.name: place.value
        for place in find_places(item, case.schema)
        if (place.name in case.labels if case.labels else place.path not in ((), text.path))
    }


# Extreme


def _prove_extreme(case: _Case) -> Proof:
    longest = main_text(case.places)
    for place in case.places:
        is_word = place.kind == "text" and place is not longest and len(place.value) <= VERY_SHORT_CHARS
        if case.field is None and is_word:  # "none" and "true" are ordinary words beside the text
            continue
        found = extreme_value(place)
        before = case.original_place(place)
        if found and not (before is not None and extreme_value(before) == found):
            return Proof(True, f"{place.name} {found}")
    return Proof(False, "no value is extreme")


# Custom


def _prove_custom(custom: Any, item: Any, prompt: str | None) -> Proof:
    if not custom.pattern:
        return Proof(None, "the category has no pattern; a person or a model has to look")
    texts = [prompt] if prompt is not None else _texts(item)
    field = custom.field
    if field:
        texts = [place.value for place in find_places(item, {}) if place.name == field]
    found = any(isinstance(text, str) and re.search(custom.pattern, text) for text in texts)
    return Proof(found, "its pattern is found" if found else "its pattern is not found")


def _texts(item: Any) -> list[str]:
    return [place.value for place in find_places(item, {}) if isinstance(place.value, str)]


_PREDICATES: Final[dict[str, Callable[[_Case], Proof]]] = {
    "boundary": _prove_boundary,
    "very-short": _prove_very_short,
    "very-long": _prove_very_long,
    "unicode": _prove_unicode,
    "missing": _prove_missing,
    "invalid-but-parseable": _prove_invalid,
    "near-duplicate": _prove_near_duplicate,
    "extreme": _prove_extreme,
}
