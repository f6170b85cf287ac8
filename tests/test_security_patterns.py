"""No text of a stranger takes the square of its length: readers and patterns in time proportional to it.

Nothing here measures a time. On texts of this length a quadratic pattern would be busy for minutes, and the
timeout would say where.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import re

import pytest

import tasksel
from tasksel.answer_match import normalise_answer, token_f1
from tasksel.csv_cells import defused
from tasksel.engines.openai_replies import IncompleteReplyError, read_completion
from tasksel.html_page import prose, visible
from tasksel.masking import masked
from tasksel.personal_data import find_personal_data
from tasksel.refusals import find_refusal, sounds_like_refusal
from tasksel.synthesis.probe_signatures import plain_line, signature_of
from tasksel.synthesis.replies import parse_reply
from tasksel.task_discovery.task_names import clean_name
from tasksel.teacher.replies import repeats_prompt, split_reasoning
from tasksel.text_language import detect_language
from tasksel.text_shingles import comparable_text
from tasksel_core.errors import TaskselError

N_CHARS = 100_000
UNITS = [
    " ", "a", "0", "-", "'", '"', "\\", "[", "{", "<think>", ",", "[ ", "a ", "1-", "a.", "a@", "1 ",
    "```\n", "0:", "+1 ", "I cannot ", "'=", "/a", "\u9519", '{"a":', '{"a":1},',
]  # fmt: skip
"""Each is repeated to a text, which then ends in what no pattern wants."""


def complete(text):
    with contextlib.suppress(IncompleteReplyError, TaskselError):
        read_completion(json.dumps({"choices": [{"text": text, "finish_reason": "stop"}]}), top_k=1)


READERS = {
    "answers": normalise_answer,
    "common words": lambda text: token_f1(text, text[::-1]),
    "completions": complete,
    "formulas": defused,
    "keys": lambda text: masked(text, "sk-0123456789abcdef"),
    "languages": detect_language,
    "names": clean_name,
    "personal data": find_personal_data,
    "pages": lambda text: prose(text) + visible(text),
    "reasoning": lambda text: split_reasoning(text, keep=False),
    "refusals": lambda text: (find_refusal(text), sounds_like_refusal(text)),
    "repeats": lambda text: repeats_prompt(text, text[: len(text) // 2]),
    "replies": lambda text: parse_reply(text, ("text",)),
    "shingles": comparable_text,
    "signatures": lambda text: signature_of("exit 1", plain_line(text)),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("reader", READERS)
def test_a_long_hostile_text_is_read_in_time(reader):
    for unit in UNITS:
        text = (unit * (N_CHARS // len(unit) + 1))[:N_CHARS]
        READERS[reader](text + "!")


@pytest.mark.timeout(30)
def test_many_findings_are_not_compared_with_each_other():
    assert len(find_personal_data("a@b.co " * 40_000)) == 40_000


def patterns_of(value, depth=0):
    """Give the patterns in a value of a module, also those in tables."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 3 and isinstance(value, (dict, list, tuple, frozenset)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from patterns_of(each, depth + 1)


def all_patterns():
    for module in pkgutil.walk_packages(tasksel.__path__, "tasksel."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for pattern in patterns_of(value):
                yield pattern, f"{module.name}.{name}"


ONE_SEPARATOR_IN_THE_MIDDLE = {
    "tasksel.annotation.label_studio_client._JWT",  # of our own key, whole
    "tasksel.charts._LONG_FRACTION",  # of pictures of ours, whose texts are cut
    "tasksel.task_discovery.discovery_settings._RANGE",  # of a flag
}
"""Patterns that would take the square of a text that is searched, and are never given one of a stranger."""


@pytest.mark.timeout(120)
def test_every_pattern_is_read_in_time_where_it_begins():
    """From each place of a text at most some hundred characters: then a search takes no square either."""
    searched = dict(all_patterns())
    assert len(searched) > 80
    for pattern, name in searched.items():
        if name in ONE_SEPARATOR_IN_THE_MIDDLE:
            continue
        for unit in UNITS:
            text = unit * (N_CHARS // len(unit)) + "!"
            pattern.match(text.encode() if isinstance(pattern.pattern, bytes) else text)
