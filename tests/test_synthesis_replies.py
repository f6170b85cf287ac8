from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.refusals import sounds_like_refusal
from tasksel.synthesis.item_intake import contradicts_language
from tasksel.synthesis.items import ItemCheck, item_json
from tasksel.synthesis.replies import REPAIRS, parse_reply
from tasksel_core.errors import ConfigError

FIELDS = ("text", "rating", "tags")
TWO = [{"text": "a, b", "rating": 1}, {"text": "[c}", "rating": 2}]
PLAIN = json.dumps(TWO)

texts = st.text(max_size=30)
items = st.lists(st.fixed_dictionaries({"text": texts, "rating": st.integers()}), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        (PLAIN, ()),
        (f"\ufeff  {PLAIN}\n", ()),
        (f"```json\n{PLAIN}\n```", ("fence",)),
        (f"Here you are:\n\n```\n{PLAIN}\n```\nEnjoy!", ("fence",)),
        (f"```json\n{PLAIN}", ("fence",)),
        (json.dumps({"items": TWO}), ("wrapper",)),
        (json.dumps({"data": {"items": TWO}}), ("wrapper", "wrapper")),
        (json.dumps({"reviews": TWO, "count": 2}), ("wrapper",)),
        (json.dumps({"1": TWO[0], "2": TWO[1]}), ("wrapper",)),
        (f"Sure, as in [1] and (a): {PLAIN}", ("prose",)),
        (f"{PLAIN}\n\nI hope that helps.", ("prose",)),
        (f'["no"] or {{"maybe": 1}}?\n{PLAIN}', ("prose",)),
        (f'<think>[{{"text": "a draft"}}]</think>\n{PLAIN}', ("prose",)),
        (f'<think>["no"] or {{"maybe": 1}}?</think>{PLAIN}', ("prose",)),
        ("\n".join(map(json.dumps, TWO)), ("json-lines",)),
        (",\n".join(map(json.dumps, TWO)), ("json-lines",)),
        ("".join(map(json.dumps, TWO)), ("json-lines",)),
        ("\n".join(map(json.dumps, TWO)) + "\nI hope that helps.", ("json-lines",)),
        ("\n".join(map(json.dumps, TWO)) + '\n{"text": "cut', ("json-lines",)),
        (PLAIN.replace("}]", ",},]").replace("}, {", ",\n}, {"), ("trailing-comma",)),
        (PLAIN[:-1], ("truncated",)),
        (PLAIN[:-1] + ', {"text": "c", "ra', ("truncated",)),
        (f'{{"items": {PLAIN[:-1]}, {{"te', ("truncated",)),
        (f"```json\n{PLAIN[:-1]},\n  {{", ("fence", "truncated")),
        (json.dumps([{"item": each} for each in TWO]), ("item-wrapper",)),
    ],
)
def test_what_can_be_mended_is_and_says_how(text, repairs):
    found = parse_reply(text, FIELDS)
    assert list(found.items) == TWO
    assert found.repairs == repairs
    assert set(found.repairs) <= set(REPAIRS)


def test_a_text_with_a_bare_line_end_is_read():
    found = parse_reply('[{"text": "a\nb\t"}]', FIELDS)
    assert found.items == ({"text": "a\nb\t"},)
    assert found.repairs == ("control-characters",)


def test_a_lone_object_becomes_a_list():
    assert parse_reply('{"text": "a"}', FIELDS).repairs == ("single-object",)
    assert parse_reply('{"item": {"text": "a"}}', FIELDS).items == ({"text": "a"},)


def test_an_item_with_a_list_of_its_own_is_no_wrapper():
    assert parse_reply('{"text": "a", "tags": [{"b": 1}]}', FIELDS).items == (
        {"text": "a", "tags": [{"b": 1}]},
    )
    assert parse_reply('[{"tags": [1, 2,]}]', FIELDS).items == ({"tags": [1, 2]},)


def test_curly_quotes_are_straightened_only_where_no_straight_ones_are():
    found = parse_reply("[{“text”: “it\u2019s”}]", FIELDS)
    assert found.items == ({"text": "it\u2019s"},)
    assert found.repairs == ("smart-quotes",)
    assert parse_reply('[{"text": "“so”"}]', FIELDS).items == ({"text": "“so”"},)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "I'm sorry, but I can't.",
        "[1, 2",
        "{",
        '{"text": "cut',
        "[[[[",
        "[" * 100_000,
        "null",
        "[NOT JSON]",
        "``````",
    ],
)
def test_what_holds_nothing_says_so(text):
    found = parse_reply(text, FIELDS)
    assert found.items == ()
    assert found.problem


def test_an_empty_array_is_no_problem_of_the_parser():
    assert parse_reply("[]", FIELDS).problem == ""


@given(items)
def test_plain_json_is_never_repaired(values):
    for indent in (None, 2):
        for ascii_only in (True, False):
            text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
            found = parse_reply(text, FIELDS)
            assert list(found.items) == values
            assert found.repairs == ()


@given(items, st.data())
def test_whatever_the_end_cuts_whole_items_stay_and_none_is_invented(values, data):
    text = json.dumps(values)
    size = data.draw(st.integers(0, len(text) - 1))
    found = parse_reply(text[:size], FIELDS)
    assert list(found.items) == values[: len(found.items)]
    ends = [len(json.dumps(values[: n + 1])) - 1 for n in range(len(values))]
    assert len(found.items) == sum(end <= size for end in ends)


@given(st.text(max_size=200))
def test_nothing_that_a_model_writes_is_an_error(text):
    found = parse_reply(text, FIELDS)
    assert bool(found.items) + bool(found.problem) < 2


@given(items, st.sampled_from(["fence", "wrapper", "prose"]))
def test_frames_change_no_item(values, frame):
    plain = json.dumps(values, ensure_ascii=False)
    framed = {
        "fence": f"```json\n{plain}\n```",
        "wrapper": f'{{"items": {plain}}}',
        "prose": f"Here: {plain}",
    }[frame]
    assert list(parse_reply(framed, FIELDS).items) == values


def test_refusals_are_told_from_answers():
    for text in ("I'm sorry, I can\u2019t help.", "As an AI model, I will not", "I am not able to do this."):
        assert sounds_like_refusal(text), text
    for text in ("Here are the items.", "", "x" * 500 + " I'm sorry"):
        assert not sounds_like_refusal(text), text


# Items


def test_items_are_checked_and_the_problem_is_named():
    check = ItemCheck(
        {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer", "maximum": 3}, "t": {"type": "string"}},
        }
    )
    assert check.find_problem({"n": 3}) == ""
    assert check.find_problem({"n": 4}) == "n: 4 is greater than the maximum of 3"
    assert check.find_problem({}) == "the item: 'n' is a required property"
    assert check.find_problem([1]) == "[1] is not an object"
    assert check.find_problem({"n": 9}, may_break_schema=True) == ""
    assert "nan" in check.find_problem({"n": 1, "x": float("nan")}, may_break_schema=True)
    assert "surrogate" in check.find_problem({"n": 1, "t": "\ud800"})
    deep = value = []
    for _ in range(200):
        value.append([])
        value = value[0]
    assert "deep" in check.find_problem({"n": 1, "x": deep})
    assert len(check.find_problem({"n": "x" * 9000})) < 400
    assert item_json({"b": "ä", "a": None}) == '{"b": "ä", "a": null}'


def test_a_schema_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="type"):
        ItemCheck({"type": "objekt"})


# Languages


def test_a_text_in_another_language_is_told_and_one_that_is_not_clear_passes():
    german = "Der Akku ist nach einem Tag leer und ich habe euch schon zweimal geschrieben."
    assert contradicts_language(german, "en-US")
    assert contradicts_language(german, "French")
    for language in ("de", "de_AT", "German", " german "):
        assert not contradicts_language(german, language), language
    for text in ("", "OK", "5/5", "x" * 26_000, "iPhone 15 Pro Max 256 GB"):
        assert not contradicts_language(text, "de"), text[:20]


def test_a_reference_out_of_the_schema_is_refused_and_not_fetched():
    check = ItemCheck({"type": "object", "properties": {"text": {"$ref": "http://127.0.0.1:9/other"}}})
    with pytest.raises(ConfigError, match="cannot be followed"):
        check.find_problem({"text": "fine"})
