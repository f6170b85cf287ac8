from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasksel.synthesis import item_schema
from tasksel.synthesis.config import CustomEdgeConfig, EdgeConfig
from tasksel.synthesis.edge_cases import (
    EDGE_CASES,
    canonical_category,
    edge_case,
    instruction_for,
    is_mutable,
)
from tasksel.synthesis.edge_mutations import mutate, variant_names
from tasksel.synthesis.edge_places import ABSENT, find_places, replaced, without
from tasksel.synthesis.edge_predicates import holds
from tasksel.synthesis.edge_schema import find_violations, infer_schema, item_json
from tasksel.synthesis.edge_similarity import compare_texts, word_distance
from tasksel.synthesis.edge_unicode import unicode_kinds
from tasksel_core.errors import ConfigError, MissingExtraError

jsonschema = pytest.importorskip("jsonschema", reason="the extra synth is not installed")

MUTABLE = [name for name in EDGE_CASES if is_mutable(name)]
_WORDS = "screen battery strap charger works broke after two days support never answered Grüße señor"
WORDS = _WORDS.split()
TICKET = {
    "type": "object",
    "required": ["text", "rating"],
    "properties": {
        "text": {"type": "string", "minLength": 10, "maxLength": 2000},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "day": {"type": "string", "format": "date"},
        "product": {"enum": ["phone", "laptop", "watch"]},
        "price": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
        "customer": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "maxLength": 80}, "vip": {"type": "boolean"}},
        },
    },
}
ORDINARY = {
    "text": "The battery of my phone lasts two days. I like it very much. Would buy again!",
    "rating": 3,
    "day": "2024-05-06",
    "product": "laptop",
    "price": 12.5,
    "tags": ["slow", "loud", "late"],
    "customer": {"name": "Ada Lovelace", "vip": True},
}


def rng(seed=0):
    return np.random.default_rng(seed)


# Random schemas, and items that conform to them and are ordinary


@st.composite
def text_field(draw):
    low = draw(st.sampled_from([0, 1, 5]))
    high = draw(st.sampled_from([None, 120, 400, 3000]))
    words = draw(st.lists(st.sampled_from(WORDS), min_size=5, max_size=9))
    schema = {"type": "string"} | ({"minLength": low} if low else {}) | ({"maxLength": high} if high else {})
    return schema, " ".join(words)[:90] + "."


@st.composite
def number_field(draw):
    low, high = draw(st.sampled_from([(None, None), (0, None), (-50, 1000), (None, 500), (0.5, 300.25)]))
    whole = draw(st.booleans()) and not isinstance(low, float)
    strict = draw(st.booleans())
    names = ("exclusiveMinimum", "exclusiveMaximum") if strict else ("minimum", "maximum")
    schema = {"type": "integer" if whole else "number"}
    schema |= {name: end for name, end in zip(names, (low, high), strict=True) if end is not None}
    return schema, draw(st.integers(10, 200)) + (0 if whole else 0.25)


FIELDS = st.one_of(
    text_field(),
    number_field(),
    st.sampled_from(
        [
            ({"enum": ["red", "green", "blue"]}, "green"),
            ({"type": "boolean"}, True),
            ({"type": "string", "format": "date"}, "2024-05-06"),
            ({"type": "string", "format": "date-time"}, "2024-05-06T10:11:12Z"),
            ({"type": ["string", "null"], "maxLength": 300}, "It was late, and nobody said why."),
            ({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 99}, {"type": "null"}]}, 42),
            ({"$ref": "#/$defs/name"}, "Ada Lovelace of London"),
            ({"allOf": [{"type": "integer", "minimum": 0}, {"maximum": 70}]}, 33),
            (
                {"type": "array", "minItems": 1, "maxItems": 40, "items": {"type": "integer"}},
                [11, 12, 13, 14],
            ),
            ({"type": "array", "items": {"type": "string"}}, ["one of them", "another one", "and a third"]),
            ({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}, {"n": 17}),
            ({"type": "string", "format": "email"}, "ada@example.org"),
        ]
    ),
)


@st.composite
def schema_and_item(draw):
    fields = [draw(text_field()), *draw(st.lists(FIELDS, max_size=4))]
    names = ["text", "a", "b c", "d.e", "größe"][: len(fields)]
    schema = {
        "type": "object",
        "properties": {name: each[0] for name, each in zip(names, fields, strict=True)},
    }
    schema["$defs"] = {"name": {"type": "string", "minLength": 2, "maxLength": 150}}
    schema["required"] = draw(st.lists(st.sampled_from(names), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    return schema, {name: each[1] for name, each in zip(names, fields, strict=True)}


@given(schema_and_item())
def test_predicates_are_false_on_ordinary_items(drawn):
    schema, item = drawn
    assert find_violations(item, schema) == []
    for category in MUTABLE:
        assert holds(category, item, schema).holds is False, category
        assert holds(category, item, schema, original=item).holds is False, category


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(schema_and_item(), st.integers(0, 2**32))
def test_every_mutation_is_proved_and_keeps_the_schema_where_it_must(drawn, seed):
    schema, item = drawn
    before = json.dumps(item)
    for category in MUTABLE:
        for variant in (None, *variant_names(category)):
            made = mutate(category, item, schema, rng(seed), variant=variant)
            assert made is not None or variant is not None, category
            if made is None:
                continue
            assert made.category == category
            assert variant in (None, made.variant)
            proof = holds(category, made.item, schema, field=made.field, original=item)
            assert proof.holds is True, (made, proof)
            assert json.loads(item_json(made.item)) == made.item
            if category not in ("missing", "invalid-but-parseable"):
                assert find_violations(made.item, schema) == [], made
            assert made.change.isprintable()
    assert json.dumps(item) == before, "the original was changed"


@settings(max_examples=30)
@given(schema_and_item(), st.sampled_from(MUTABLE), st.integers(0, 99))
def test_a_mutation_is_proved_without_its_original_and_differs_by_seed_alone(drawn, category, seed):
    schema, item = drawn
    one, two = mutate(category, item, schema, rng(seed)), mutate(category, item, schema, rng(seed))
    assert one == two
    assert holds(category, one.item, schema, field=one.field, original=item).holds


@given(schema_and_item(), st.text(max_size=40))
def test_any_text_is_looked_at_without_failing(drawn, text):
    schema, item = drawn
    hostile = {**item, "text": text}
    for category in MUTABLE:
        assert holds(category, hostile, schema).holds in (True, False)
        made = mutate(category, hostile, schema, rng())
        assert made is None or holds(category, made.item, schema, field=made.field, original=hostile).holds


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_looked_at_without_a_schema(item):
    for category in MUTABLE:
        assert holds(category, item, {}).holds in (True, False)
        mutate(category, item, {}, rng())
    assert find_violations(item, infer_schema([item])) == []


# Each category


def test_boundaries_are_exactly_at_the_limits_and_one_inside():
    texts = {"properties": {"text": TICKET["properties"]["text"]}}
    for variant, length in {
        "lowest": 10,
        "next-to-lowest": 11,
        "next-to-highest": 1999,
        "highest": 2000,
    }.items():
        made = mutate("boundary", {"text": ORDINARY["text"]}, texts, rng(), variant=variant)
        assert len(made.item["text"]) == len(made.item["text"].strip()) == length
    assert mutate("boundary", ORDINARY, TICKET, rng(), variant="first-choice").item["product"] == "phone"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer", "exclusiveMinimum": 4, "maximum": 40}, 5, True),
        ({"type": "integer", "exclusiveMinimum": 4, "maximum": 40}, 4, False),
        ({"type": "integer", "minimum": 4, "exclusiveMinimum": True}, 5, True),
        ({"type": "integer", "minimum": 3, "multipleOf": 5, "maximum": 99}, 95, True),
        ({"type": "integer", "minimum": 3, "multipleOf": 5, "maximum": 99}, 90, True),
        ({"type": "integer", "minimum": 3, "multipleOf": 5, "maximum": 99}, 85, False),
        ({"type": "number", "minimum": 0}, 5e-324, True),
        ({"type": "number", "minimum": 0}, 0.1, False),
        ({"type": "integer", "minimum": 4, "maximum": 10**400}, 4, True),
        ({"type": "number", "maximum": 10**400}, 0.1, False),
        ({"enum": [1, 2, 3]}, 3, True),
        ({"enum": [1, 2, 3]}, 2, False),
        ({"enum": [1, 2, True]}, 1.0, False),
        ({"const": 1}, 1, False),
        ({"type": "number", "minimum": 3, "multipleOf": 5, "maximum": 99}, 95, True),
        ({"type": "number", "minimum": 3, "multipleOf": 5, "maximum": 99}, 99, False),
        # Of several schemas that hold at once, the narrowest limits count.
        ({"minimum": 2, "allOf": [{"type": "integer", "minimum": 4}], "maximum": 40}, 4, True),
        ({"minimum": 2, "allOf": [{"type": "integer", "minimum": 4}], "maximum": 40}, 2, False),
        ({"allOf": [{"type": "integer", "maximum": 40}, {"maximum": 50}], "minimum": 2}, 40, True),
        ({"allOf": [{"type": "integer", "maximum": 40}, {"maximum": 50}], "minimum": 2}, 50, False),
        # Of branches that are alternatives, the one of the value's type, or the first that is not null's.
        ({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 4, "maximum": 40}]}, 4, True),
        ({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 3}]}, 3, False),
    ],
)
def test_limits_of_every_kind(schema, value, expected):
    assert holds("boundary", {"n": value}, {"properties": {"n": schema}}).holds is expected


def test_a_narrow_range_proves_a_boundary_only_where_there_is_no_wide_one():
    at_end = {**ORDINARY, "rating": 5}
    assert holds("boundary", at_end, TICKET).holds is False
    assert holds("boundary", at_end, TICKET, field="rating").holds is True
    assert holds("boundary", {"rating": 5}, {"properties": {"rating": TICKET["properties"]["rating"]}}).holds


def test_a_very_long_text_without_a_limit_has_10_000_to_26_000_characters():
    schema = {"properties": {"text": {"type": "string"}}}
    lengths = [
        len(mutate("very-long", {"text": "It broke. Twice!"}, schema, rng(seed)).item["text"])
        for seed in range(20)
    ]
    assert all(10_000 <= length <= 26_000 for length in lengths)
    assert len(set(lengths)) > 10


@pytest.mark.parametrize("kind", variant_names("unicode"))
def test_each_kind_of_character_is_made_and_recognised(kind):
    made = mutate("unicode", {"text": "Plain words stand here"}, {}, rng(), variant=kind)
    assert kind in unicode_kinds(made.item["text"])
    assert json.loads(item_json(made.item)) == made.item
    item_json(made.item).encode()


@pytest.mark.parametrize(
    "text",
    [
        "Grüße aus Köln\r\n\tbald",
        "Привет, мир",
        "नमस्ते दुनिया",
        "你好世界。",
        "مرحبا بالعالم",
        "Ελλάδα",
        "50 %: “so” …",
    ],
)
def test_ordinary_text_of_any_script_is_no_edge_case(text):
    assert unicode_kinds(text) == frozenset()


@pytest.mark.parametrize("value", [None, "", " \t\n", ABSENT])
def test_every_way_to_be_missing_is_proved(value):
    item = without(ORDINARY, ("text",)) if value is ABSENT else {**ORDINARY, "text": value}
    assert holds("missing", item, TICKET).holds is True
    assert holds("missing", item, TICKET, field="text", original=ORDINARY).holds is True


def test_what_need_not_be_there_is_not_missing_unless_the_original_had_it():
    item = without(ORDINARY, ("day",))
    assert holds("missing", item, TICKET).holds is False
    assert holds("missing", item, TICKET, original=ORDINARY).holds is True
    assert holds("missing", item, TICKET, field="day", original=ORDINARY).holds is True


@pytest.mark.parametrize(
    "change",
    [
        {"rating": "3"},
        {"rating": -3},
        {"rating": 6},
        {"day": "2023-02-30"},
        {"extra": 1},
        {"product": "Laptop"},
        {"text": ["a", "b"]},
    ],
)
def test_what_breaks_schema_or_sense_is_invalid(change):
    assert holds("invalid-but-parseable", {**ORDINARY, **change}, TICKET).holds is True
    assert holds("invalid", {**ORDINARY, **change}, TICKET).holds is True


@pytest.mark.parametrize("change", [{"text": None}, {"text": ""}, {"price": float("nan")}])
def test_what_is_missing_or_no_json_is_not_invalid_but_parseable(change):
    assert holds("invalid-but-parseable", {**ORDINARY, **change}, TICKET).holds is False


@pytest.mark.parametrize(
    "change",
    [
        {"price": 1.7e308},
        {"price": -0.0},
        {"price": 5e-324},
        {"day": "9999-12-31"},
        {"text": "NaN  null\nNone"},
        {"text": "[" * 100},
        {"text": "9" * 300},
        {"tags": ["x"] * 1000},
        {"extra": json.loads("[" * 90 + "]" * 90)},
    ],
)
def test_values_at_the_ends_of_computers_are_extreme(change):
    assert holds("extreme", {**ORDINARY, **change}, TICKET).holds is True


def test_ordinary_words_beside_the_text_are_not_extreme():
    assert holds("extreme", {"text": "Is water wet?", "answer": "true"}, {}).holds is False
    assert holds("extreme", {"text": "Is water wet?", "answer": "true"}, {}, field="answer").holds is True
    assert holds("extreme", {"answer": "null"}, {}).holds is True


@pytest.mark.parametrize(("n_elements", "is_extreme"), [(179, False), (180, True)])
def test_a_list_that_nearly_fills_its_schema_is_extreme(n_elements, is_extreme):
    schema = {"properties": {"tags": {"type": "array", "maxItems": 200}}}
    proof = holds("extreme", {"tags": ["a"] * n_elements}, schema)
    assert proof.holds is is_extreme
    assert not is_extreme or proof.why == "tags has 180 elements"


def test_a_choice_of_other_things_than_texts_is_left_by_a_text():
    made = mutate(
        "invalid", {"n": 2}, {"properties": {"n": {"enum": [1, 2, 3]}}}, rng(), variant="not-listed"
    )
    assert made.item == {"n": "other"}


@pytest.mark.parametrize("bad", [float("nan"), "deep"])
def test_an_item_that_is_no_json_is_not_changed(bad):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    item = {"text": ORDINARY["text"], "x": deep if bad == "deep" else bad}
    with pytest.raises(ValueError, match=r"nested too deeply|not JSON compliant"):
        item_json(item)
    assert mutate("boundary", item, {"properties": {"text": TICKET["properties"]["text"]}}, rng()) is None


def test_without_limits_short_lists_and_numbers_are_at_no_boundary():
    item = {"text": "Is water wet?", "tags": ["one"], "n": 0}
    assert holds("boundary", item, {}).holds is False
    assert holds("boundary", {**item, "text": ""}, {}).holds is True
    assert holds("boundary", item, {}, field="tags").holds is True


def test_a_missing_jsonschema_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    item_schema._make_validator.cache_clear()
    with pytest.raises(MissingExtraError, match=r"tasksel\[synth\]"):
        find_violations({}, {})


def test_a_near_duplicate_needs_its_original_a_small_change_and_another_label():
    near = {**ORDINARY, "text": ORDINARY["text"].replace("like it", "hate it"), "rating": 1}
    assert holds("near-duplicate", near, TICKET).holds is None
    proof = holds("near-duplicate", near, TICKET, original=ORDINARY, labels=("rating",))
    assert proof.holds is True
    assert "to be reviewed" in proof.why
    same_label = {**near, "rating": 3}
    assert holds("near-duplicate", same_label, TICKET, original=ORDINARY).holds is False
    assert (
        holds("near-duplicate", {**near, "price": 1}, TICKET, original=near, labels=("rating",)).holds
        is False
    )
    far = {**near, "text": "Something else altogether, about a watch that I never got."}
    assert holds("near-duplicate", far, TICKET, original=ORDINARY).holds is False
    assert holds("near-duplicate", {"n": 1}, {}, original={"n": 2}).why == "there is no text to compare"


def test_a_field_that_nobody_has_proves_nothing():
    for original in (ABSENT, ORDINARY):
        proof = holds("missing", ORDINARY, TICKET, field="nowhere", original=original)
        assert (proof.holds, proof.why) == (False, "there is no field nowhere")


def test_long_texts_are_compared_in_no_time():
    text = " ".join(WORDS * 300)
    assert len(text) > 26_000
    assert compare_texts(text, text.replace("charger", "cable", 1)).is_near
    assert not compare_texts(text, text[::-1]).is_near


@given(
    st.lists(st.sampled_from("abc"), max_size=8),
    st.lists(st.sampled_from("abc"), max_size=8),
    st.integers(0, 8),
)
def test_word_distance_is_that_of_the_whole_table(one, other, most):
    table = [[max(row, column) for column in range(len(other) + 1)] for row in range(len(one) + 1)]
    for row in range(1, len(one) + 1):
        for column in range(1, len(other) + 1):
            table[row][column] = min(
                table[row - 1][column] + 1,
                table[row][column - 1] + 1,
                table[row - 1][column - 1] + (one[row - 1] != other[column - 1]),
            )
    expected = table[-1][-1]
    assert word_distance(one, other, most=most) == (expected if expected <= most else None)


# Custom categories and names


def edge_config(**custom):
    return EdgeConfig(custom={name: CustomEdgeConfig(name, **each) for name, each in custom.items()})


def test_custom_categories_have_an_instruction_and_perhaps_a_pattern():
    config = edge_config(
        sarcasm={"instruction": "Praise while complaining.", "pattern": "(?i)great"},
        vague={"instruction": "Say nothing.", "pattern": ""},
        named={"instruction": "Say Ada.", "pattern": "Ada", "field": "customer.name"},
    )
    assert instruction_for("sarcasm", config) == "Praise while complaining."
    assert not is_mutable("sarcasm", config)
    assert holds("sarcasm", ORDINARY, TICKET, config=config).holds is False
    assert holds("sarcasm", ORDINARY, TICKET, config=config, prompt="Great, thanks.").holds is True
    assert holds("vague", ORDINARY, TICKET, config=config).holds is None
    assert holds("named", ORDINARY, TICKET, config=config, prompt="nobody").holds is True


def test_unknown_categories_are_refused_with_the_list():
    with pytest.raises(
        ConfigError, match=r"'unicorn' is not an edge category; allowed are boundary, .*extreme"
    ):
        canonical_category("unicorn")
    with pytest.raises(ConfigError, match="sarcasm"):
        holds("unicorn", {}, {}, config=edge_config(sarcasm={"instruction": "x", "pattern": ""}))
    with pytest.raises(ConfigError, match="'nil' is no way to make missing items; allowed are null, absent"):
        mutate("missing", {}, {}, rng(), variant="nil")
    with pytest.raises(ConfigError, match="a model writes them"):
        mutate("near-duplicate", {}, {}, rng())


def test_every_category_is_explained():
    for name in EDGE_CASES:
        case = edge_case(name)
        assert case.name == name
        assert re.fullmatch(r"[A-Z].*\.", instruction_for(name))


# Places and schemas


def test_protected_places_stay_as_they_are():
    for seed in range(20):
        made = mutate("boundary", ORDINARY, TICKET, rng(seed), protected=["text", "price"])
        assert made.item["text"] == ORDINARY["text"]
    assert (
        mutate("very-short", {"text": "Some words here are long enough."}, {}, rng(), protected=["text"])
        is None
    )


def test_references_that_lead_nowhere_or_in_circles_say_nothing():
    circle = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert [place.name for place in find_places({"x": 1}, circle)] == ["$", "x"]
    nowhere = {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"b": {}}}
    assert find_places({"x": 1}, nowhere)[1].schema == {}
    away = {"properties": {"x": {"$ref": "https://example.org/schema.json"}}}
    assert find_places({"x": 1}, away)[1].schema == {}
    with pytest.raises(ConfigError, match="schema cannot be followed"):
        find_violations({"x": 1}, away)


def test_schemas_that_hold_at_once_are_put_together():
    schema = {
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "allOf": [{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["b"]}],
    }
    assert [(place.name, place.kind) for place in find_places({}, schema)] == [
        ("$", "object"),
        ("a", "absent"),
        ("b", "absent"),
    ]
    assert holds("missing", {"a": "x"}, schema).holds is True
    assert find_places({}, schema)[1].schema == {"type": "string"}


def test_whole_numbers_beside_others_are_numbers():
    assert infer_schema([1, 2.5]) == {"type": "number"}
    assert infer_schema([1, 2]) == {"type": "integer"}
    assert infer_schema([1, 2.5, "x", None]) == {"type": ["null", "number", "string"]}


def test_texts_that_are_all_written_like_dates_are_dates():
    assert infer_schema(["2024-01-31", "2024-02-29"])["format"] == "date"
    assert infer_schema(["2024-01-31", "2024-02-29T10:00:00Z"])["format"] == "date-time"
    assert "format" not in infer_schema(["2024-01-31", "soon"])


def test_a_wrong_schema_is_a_sentence():
    with pytest.raises(ConfigError, match="The JSON Schema is wrong"):
        find_violations({}, {"type": "text"})
    with pytest.raises(ConfigError, match="is not a 'regex'"):
        find_violations({"a": "b"}, {"properties": {"a": {"pattern": "("}}})


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"pattern": "("}, r"A pattern of the schema is not a regular expression \(missing \)"),
        ({"minLength": "x"}, r"The schema cannot be followed \("),
        ({"type": "objekt"}, r"The schema cannot be followed \("),
        ({"required": 5}, r"The schema cannot be followed \("),
    ],
)
def test_what_a_reference_leads_to_may_be_wrong_too(part, sentence):
    """Nothing looks at what stands under a name that JSON Schema does not know, until it is referred to."""
    schema = {"properties": {"a": {"$ref": "#/parts"}, "b": {"$ref": "#/parts"}}, "parts": part}
    with pytest.raises(ConfigError, match=sentence):
        find_violations({"a": "x", "b": {}}, schema)


def test_numbers_that_jsonschema_cannot_divide_are_a_violation():
    assert find_violations({"n": 10**400}, {"properties": {"n": {"multipleOf": 0.1}}})


def test_unique_elements_stay_unique_in_huge_lists():
    schema = {"properties": {"tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}}}
    made = mutate("extreme", {"tags": ["a", "b"]}, schema, rng(), variant="huge-list")
    assert len(set(made.item["tags"])) == 2000


def test_changed_items_share_nothing_that_changes():
    item = {"a": {"b": [1, 2]}}
    assert replaced(item, ("a", "b", 1), 9) == {"a": {"b": [1, 9]}}
    assert without(item, ("a", "b")) == {"a": {}}
    assert item == {"a": {"b": [1, 2]}}


def test_fields_inside_others_are_named_and_changed():
    named = {place.name for place in find_places(ORDINARY, TICKET)}
    assert {"customer.name", "tags[0]"} <= named
    made = [mutate("missing", ORDINARY, TICKET, rng(seed), variant="absent") for seed in range(40)]
    assert {"customer.name"} < {each.field for each in made} <= named


def test_the_document_names_every_category_and_every_way():
    text = (Path(__file__).parents[1] / "docs" / "synthesis" / "edge_cases.md").read_text(encoding="utf-8")
    for name in EDGE_CASES:
        assert text.count(f"| `{name}` |") == (2 if is_mutable(name) else 1)
        for variant in variant_names(name):
            assert f"`{variant}`" in text
    for source in re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        known = {}
        exec(source, known)
        assert known["proof"].holds
