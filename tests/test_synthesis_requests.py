from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted_provider import make_config, read_request
from tasksel.synthesis.config_file import parse_config
from tasksel.synthesis.edge_cases import instruction_for
from tasksel.synthesis.planned_examples import PlannedExample, find_tier
from tasksel.synthesis.records import fill_template, normalised, write_record
from tasksel.synthesis.requests import (
    correction_request,
    group_examples,
    may_break_schema,
    settings_key,
    write_request,
)
from tasksel_core.errors import ConfigError


def configure(**changes):
    return parse_config(make_config(**changes), name="reviews", folder=Path())


def example(number, stratum="phone/1", edge=None, **values):
    product, rating = stratum.split("/")
    given = {"product": product, "rating": rating, "tone": "calm", **values}
    return PlannedExample(f"s-{number:06}", 8, stratum, given, edge)


# Groups

strata = st.sampled_from(["phone/1", "phone/5", "watch/1"])
planned = st.lists(st.tuples(strata, st.sampled_from([None, None, "missing"])), max_size=30)


@given(planned, st.integers(1, 7))
def test_groups_hold_every_example_once_and_never_two_strata(cells, items):
    examples = [example(number, *cell) for number, cell in enumerate(cells)]
    groups = group_examples(examples, items)
    assert sorted(each.plan_id for group in groups for each in group) == [each.plan_id for each in examples]
    for group in groups:
        assert 1 <= len(group) <= items
        assert len({(each.stratum, each.edge is None) for each in group}) == 1
        assert list(group) == sorted(group, key=lambda each: each.plan_id)
    # No more requests than each cell needs.
    sizes = [
        sum((each.stratum, each.edge is None) == cell for each in examples)
        for cell in {(each.stratum, each.edge is None) for each in examples}
    ]
    assert len(groups) == sum(-(-size // items) for size in sizes)


# What a request says


def test_a_request_says_all_that_the_model_must_know():
    strata = {**make_config()["strata"], "descriptions": {"rating": "stars, 5 is best"}}
    config = configure(language="en", strata=strata)
    request = write_request(
        config,
        [example(1), example(2, tone="angry")],
        exemplars=["A real\none."],
        avoided=["Seen before."],
    )
    system, user = request.chat.messages
    assert system.role == "system"
    assert system.content.startswith("Write reviews of a shop.")
    assert "exactly 2 objects" in user.content
    assert json.dumps(config.schema) in user.content
    assert "tone: of the customer" in user.content
    assert "rating: stars, 5 is best" in user.content
    assert '2. {"product": "phone", "rating": "1", "tone": "angry"}' in user.content
    assert "Language of the texts: en." in user.content
    assert '"A real\\none."' in user.content
    assert "write something else" in user.content
    assert user.content.count("Seen before.") == 1
    assert (request.chat.max_tokens, request.chat.temperature) == (1024, 1.0)


def test_equal_arguments_give_equal_requests():
    one, two = (write_request(configure(), [example(1), example(2)]) for _ in range(2))
    assert one == two
    assert write_request(configure(), [example(2), example(1)]) != one
    # Alike examples are asked for in different words: equal ones would bring equal items.
    assert write_request(configure(), [example(3), example(4)]).chat.messages != one.chat.messages


def test_values_with_quotes_and_line_ends_stay_one_line():
    strange = 'a "b"\n2. {"product": "x"}'
    body = {"messages": [
        {"role": each.role, "content": each.content}
        for each in write_request(configure(), [example(1, tone=strange)]).chat.messages
    ]}  # fmt: skip
    assert [each["tone"] for each in read_request(body).values] == [strange]


def test_long_texts_are_shown_clipped():
    request = write_request(configure(), [example(1)], exemplars=["x" * 26_000], avoided=["y" * 26_000] * 50)
    assert len(request.chat.messages[1].content) < 5_000


def test_an_edge_case_brings_its_instruction():
    edge = {"share": 0.1, "custom": {"sarcasm": {"instruction": "Praise it while complaining."}}}
    config = configure(edge=edge)
    text = write_request(config, [example(1, edge="sarcasm")]).chat.messages[1].content
    assert "This one is an edge case. Praise it while complaining." in text
    assert instruction_for("missing", config.edge)


def test_only_some_edge_cases_may_break_the_schema():
    assert [
        each for each in ("missing", "invalid", "boundary", None) if may_break_schema(example(1, edge=each))
    ] == [
        "missing",
        "invalid",
    ]


def test_near_duplicates_show_what_they_are_made_from():
    edge = {"share": 0.1, "custom": {"odd": {"instruction": "Be odd."}}}
    request = write_request(configure(edge=edge), [example(1, edge="odd")], base='{"text": "The base."}')
    assert '{"text": "The base."}' in request.chat.messages[1].content


def test_a_correction_sends_the_reply_back_and_asks_for_what_failed_alone():
    config = configure()
    first = write_request(config, [example(1), example(2), example(3)])
    found = correction_request(config, first, "[1]", [(example(3), "schema: rating: 9 is too large")])
    assert [turn.role for turn in found.chat.messages] == ["system", "user", "assistant", "user"]
    assert found.chat.messages[2].content == "[1]"
    assert "- item 3: schema: rating: 9 is too large" in found.chat.messages[3].content
    assert "exactly 1 object alone" in found.chat.messages[3].content
    assert found.examples == (example(3),)
    assert found.chat.schema["maxItems"] == 1


# The schema of a reply


def test_what_the_plan_knows_is_set_in_the_schema_in_the_type_of_the_field():
    checks = {
        "dimensions": {"tone": {"values": ["calm", "angry"], "check": {"kind": "rule", "field": "mood"}}}
    }
    schema = make_config()["schema"]
    properties = {**schema["properties"], "mood": {"enum": ["calm", "angry"]}, "product": {"type": "boolean"}}
    config = configure(schema={**schema, "properties": properties}, **checks)
    array = write_request(config, [example(1), example(2, "phone/5", tone="angry")]).chat.schema
    first, second = (item["properties"] for item in array["prefixItems"])
    assert (array["minItems"], array["maxItems"], array["items"]) == (2, 2, False)
    assert (first["rating"], second["rating"]) == ({"const": 1}, {"const": 5})
    assert (first["mood"], second["mood"]) == ({"const": "calm"}, {"const": "angry"})
    assert first["product"] == {"type": "boolean"}, "'phone' is no boolean"
    array = write_request(config, [example(1, "true/1"), example(2, "null/1")]).chat.schema
    kinds = [item["properties"]["product"] for item in array["prefixItems"]]
    assert kinds == [{"const": True}, {"type": "boolean"}]
    assert first["text"] == schema["properties"]["text"]


def test_definitions_stand_where_references_look_for_them():
    schema = {
        "type": "object",
        "properties": {"text": {"$ref": "#/$defs/short"}},
        "$defs": {"short": {"type": "string", "maxLength": 20}},
    }
    array = write_request(configure(schema=schema, record={"prompt": "{text}"}), [example(1)]).chat.schema
    assert array["$defs"] == schema["$defs"]
    assert "$defs" not in array["prefixItems"][0]


# Names of what is asked


def test_what_is_asked_has_a_name_that_changes_with_it():
    config = configure()
    settings = settings_key(config)
    names = {
        example(1).key(settings),
        example(2).key(settings),
        example(1, tone="angry").key(settings),
        example(1, edge="missing").key(settings),
        example(1).key(settings_key(configure(instructions="Other."))),
    }
    assert len(names) == 5
    assert example(1).key(settings) == example(1).key(settings_key(configure(limits={"concurrency": 1})))


def test_tiers_are_found_by_size_and_by_name():
    assert [find_tier((8, 20), tier) for tier in ("8", 20, "full")] == [8, 20, 20]
    with pytest.raises(ConfigError, match="allowed are 8, 20 and full"):
        find_tier((8, 20), "100")
    with pytest.raises(ConfigError, match="no examples"):
        find_tier((), "full")


# Records


def test_templates_take_fields_as_they_are():
    values = {"text": "{rating} {{", "rating": 5, "ok": True, "none": None, "tags": ["ä"]}
    assert fill_template("{text}|{rating}|{ok}|{none}|{gone}|{tags}|{{x}}", values) == (
        '{rating} {{|5|true|||["ä"]|{x}'
    )


def test_a_field_goes_before_a_column_of_the_same_name():
    record = configure(record={"prompt": "{tone}: {text}", "response": "{rating} {stratum} {edge}"}).record
    item = {"text": "Good.", "rating": 3}
    assert write_record(record, example(1), item) == ("calm: Good.", "3 phone/1 ")
    assert write_record(configure(record={"prompt": "{text}"}).record, example(1), item) == ("Good.", None)


@given(st.text(max_size=40))
def test_case_and_space_make_no_other_text(text):
    assert normalised(f"  {text}\n") == normalised(text)
    assert normalised(normalised(text)) == normalised(text) or not text.isascii()
