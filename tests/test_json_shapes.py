from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tasksel.json_shapes import AN_OBJECT, NUMBER, NUMBER_OR_NULL, TEXT_OR_NULL, check_shape
from tasksel_core.errors import ResumeError

PATH = Path("run/manifest.json")


def refusal(content, shape):
    with pytest.raises(ResumeError) as raised:
        check_shape(content, shape, PATH)
    text = str(raised.value)
    assert text.startswith("run/manifest.json is not as tasksel wrote it: ")
    assert text.endswith("; restore it, or make it anew.")
    return text.removeprefix("run/manifest.json is not as tasksel wrote it: ").split(";")[0]


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ({}, AN_OBJECT),
        ({"unknown": [None]}, {"known?": str}),
        ({"a": "text"}, {"a": str}),
        ({"a": 1}, {"a": int}),
        ({"a": True}, {"a": bool}),
        ({"a": None}, {"a": TEXT_OR_NULL}),
        ({"a": 1}, {"a": NUMBER}),
        ({"a": -0.5}, {"a": NUMBER}),
        ({"a": math.nan}, {"a": NUMBER_OR_NULL}),
        ({"a": math.inf}, {"a": NUMBER}),
        ({"a": []}, {"a": [{"b": str}]}),
        ({"a": {"x": 1, "y": 2}}, {"a": {...: int}}),
        ({"a": {"b": {"c": [1, 2.5]}}}, {"a": {"b": ({"c": [NUMBER]}, None)}}),
    ],
)
def test_what_is_of_the_shape(content, shape):
    check_shape(content, shape, PATH)
    check_shape(json.loads(json.dumps(content)), shape, PATH)


@pytest.mark.parametrize(
    ("content", "shape", "said"),
    [
        ({}, {"a": str}, "a is missing"),
        ({"a": {}}, {"a": {"b": str}}, "a.b is missing"),
        ({"a": 1}, {"a": str}, "a is 1, where text stands"),
        ({"a": True}, {"a": int}, "a is True, where a whole number stands"),
        ({"a": True}, {"a": NUMBER}, "a is True, where a number stands"),
        ({"a": 1}, {"a": bool}, "a is 1, where true or false stands"),
        ({"a": 1.5}, {"a": int}, "a is 1.5, where a whole number stands"),
        ({"a": 2**63}, {"a": int}, "a is 9223372036854775808, where a whole number stands"),
        ({"a": "x"}, {"a": NUMBER_OR_NULL}, "a is 'x', where a number or null stands"),
        ({"a": [1, "x"]}, {"a": [int]}, "a[1] is 'x', where a whole number stands"),
        ({"a": {"b": [{"c": None}]}}, {"a": {...: [{"c": str}]}}, "a.b[0].c is None, where text stands"),
        ({"a": {"b": 1}}, {"a": ({"b": str}, None)}, "a.b is 1, where text stands"),
        ({"a": 1}, {"a": ({"b": str}, None)}, "a is 1, where an object or null stands"),
        ({"a": 1}, {"a": [int]}, "a is 1, where a list stands"),
        ({"a?": 1, "a": 1}, {"a?": str}, "a is 1, where text stands"),
        ({"a\x1b[31m": 1}, {...: str}, "a\\x1b[31m is 1, where text stands"),
        ({"a": "\x1b"}, {"a": int}, "a is '\\x1b', where a whole number stands"),
        ({"a": "k" * 500}, {"a": int}, f"a is '{'k' * 58}…, where a whole number stands"),
    ],
)
def test_what_is_otherwise_is_named_with_its_place(content, shape, said):
    assert refusal(content, shape) == said


def test_a_place_that_is_very_long_is_cut():
    assert len(refusal({"k" * 10_000: 1}, {...: str})) <= 400
