"""What a reply is, which of several counts, and what settings are refused."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted_provider import completion
from tasksel.endpoint import Endpoint, Reply
from tasksel.providers import Answer, OpenAIProvider
from tasksel.teacher import TeacherLimits, TeacherSettings
from tasksel.teacher.replies import read_answer, repeats_prompt, split_reasoning
from tasksel.teacher.votes import vote, vote_key
from tasksel_core.errors import ConfigError

PROVIDER = OpenAIProvider(Endpoint("http://localhost:1/v1"), "m")
PROMPT = "Name the capital of France."


def read(body, *, prompt=PROMPT, **settings):
    teacher = TeacherSettings("m", endpoint="http://localhost:1/v1", **settings)
    return read_answer(Answer(Reply(200, body)), PROVIDER, prompt, teacher)


# Replies

SET_ASIDE = {
    "refusal in words": (completion("I'm sorry, but I can't help with that."), "refusal"),
    "refusal field": (completion(None, refusal="No."), "refusal"),
    "content filter": (completion("Par", finish="content_filter"), "filtered"),
    "cut": (completion("Par", finish="length"), "truncated"),
    "cut before a word": (completion("", finish="length"), "truncated"),
    "empty": (completion(""), "empty"),
    "null": (completion(None), "empty"),
    "white space": (completion(" \n\t"), "empty"),
    "the prompt": (completion('"name the capital of France"'), "repeats the prompt"),
    "open reasoning": (completion("<think>France is"), "empty"),
    "a page": ("<html>busy</html>", "unreadable"),
    "an error with status 200": ('{"error": {"code": 502}}', "unreadable"),
    "no choices": ('{"choices": []}', "unreadable"),
}


@pytest.mark.parametrize("case", SET_ASIDE)
def test_what_is_no_answer_is_set_aside(case):
    body, reason = SET_ASIDE[case]
    reading = read(body)
    assert (reading.reason, reading.is_answer) == (reason, False)


def test_an_answer_is_read_without_white_space_around_it():
    reading = read(completion("\n Paris. ", usage=(7, 3)))
    assert (reading.text, reading.reason, reading.usage.total_tokens) == ("Paris.", "", 10)


def test_problems_that_are_no_reply():
    teacher = TeacherSettings("demo")
    assert read_answer(Answer(None, "unanswered", "status 500"), PROVIDER, PROMPT, teacher) is None
    for problem, reason in (("filtered", "filtered"), ("refused", "refused by the server")):
        reading = read_answer(Answer(None, problem, "status 400: too long"), PROVIDER, PROMPT, teacher)
        assert (reading.reason, reading.detail) == (reason, "status 400: too long")


def test_what_is_kept_by_flag():
    cut = read(completion("Par", finish="length"), keep_truncated=True)
    assert (cut.text, cut.is_answer, cut.is_cut) == ("Par", True, True)
    assert read(completion("", finish="length"), keep_truncated=True).reason == "truncated"
    refused = read(completion("I'm sorry, I can't help."), keep_refusals=True)
    assert refused.is_answer
    assert read(completion(None, refusal="No."), keep_refusals=True).text == "No."
    assert read(completion("x", finish="content_filter"), keep_refusals=True).reason == "filtered"
    thought = completion("<think>Hm.</think>\nParis")
    assert (read(thought).text, read(thought).has_reasoning) == ("Paris", True)
    kept = read(thought, keep_reasoning=True)
    assert (kept.text, kept.has_reasoning) == ("<think>Hm.</think>\nParis", False)


def test_a_prompt_that_did_not_fit_is_no_question():
    body = completion("Paris").replace('{"choices"', '{"truncated_tokens": 3, "choices"')
    assert read(body).reason == "cut prompt"


def test_an_answer_that_repeats_what_the_template_made_of_the_prompt():
    body = completion("Question: Sum of 1 and 2? Answer:")
    assert read(body, prompt="Sum of 1 and 2?", prompt_template="Question: {prompt}\nAnswer:").reason == (
        "repeats the prompt"
    )


@pytest.mark.parametrize(
    ("text", "prompt", "is_echo"),
    [
        (PROMPT, PROMPT, True),
        (f"{PROMPT}\n{PROMPT}\nName the cap", PROMPT, True),
        (f"{PROMPT} Paris", PROMPT, False),
        ("Name the capital", PROMPT, False),
        ("hello", "Hello!", False),
        ("", PROMPT, False),
        ("你好吗你好吗你好吗你好吗你好吗你好", "你好吗你好吗你好吗你好吗你好吗你好", True),
    ],
)
def test_echoes(text, prompt, is_echo):
    assert repeats_prompt(text, prompt) == is_echo


@given(st.text(), st.text())
def test_no_text_is_an_error(text, prompt):
    repeats_prompt(text, prompt)
    assert split_reasoning(text, keep=True)[0] == text.strip()
    assert len(split_reasoning(text, keep=False)[0]) <= len(text)


# Votes


def test_the_most_frequent_answer_wins_and_the_first_of_equals():
    assert vote(["b", "A.", "a", "c"]) == (1, 2, 4)
    assert vote(["x", "y", "y", "x"]) == (0, 2, 4)
    assert vote(["only"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Paris", "paris.", True),
        ("The answer", "answer", True),
        ("(B)", "B", True),
        ("A", "a.", True),
        ("A", "B", False),
        ("1.5", "15", False),
        ("-3", "3", False),
        ("3", "3.", True),
        ("50%", "50", False),
        ("Да", "да!", True),
        ("?", "!", False),
        ("\N{GRINNING FACE}", "\N{CRYING FACE}", False),
    ],
)
def test_answers_that_count_as_the_same(one, other, is_same):
    assert (vote_key(one) == vote_key(other)) == is_same


@given(st.lists(st.text(max_size=4), min_size=1, max_size=8))
def test_a_vote_is_what_counting_gives(answers):
    found = vote(answers)
    counts = Counter(map(vote_key, answers))
    assert found.votes == max(counts.values())
    assert found.place == min(
        place for place, text in enumerate(answers) if counts[vote_key(text)] == found.votes
    )


# Settings

MISTAKES = {
    "nowhere": ({"model": "gpt"}, "Where the model 'gpt' is"),
    "no model": ({"model": " "}, "The model is empty"),
    "provider": (
        {"model": "m", "provider": "opnai"},
        "allowed are 'openai', 'anthropic', 'hf'. Did you mean",
    ),
    "temperature": ({"model": "demo", "temperature": 3}, "temperature is 3; a number from 0 to 2"),
    "top_p": ({"model": "demo", "top_p": 0}, "top_p is 0"),
    "tokens": ({"model": "demo", "max_tokens": 0}, "max_tokens is 0"),
    "samples": ({"model": "demo", "samples": 0}, "samples is 0"),
    "equal samples": ({"model": "demo", "samples": 2, "temperature": 0}, "the same answer"),
    "template": ({"model": "demo", "prompt_template": "Q:"}, "holds {prompt} 0 times"),
    "local endpoint": ({"model": "demo", "provider": "hf", "endpoint": "http://h"}, "goes with an endpoint"),
    "no url": ({"model": "m", "endpoint": "localhost:8000"}, "The endpoint is no address"),
    "query": ({"model": "m", "endpoint": "https://h/v1?key=sk-secret"}, "query"),
    "password": ({"model": "m", "endpoint": "https://me:sk-secret@h/v1"}, "without user or password"),
    "key": ({"model": "m", "endpoint": "https://h", "key_variable": "sk-secret"}, "keys do not belong"),
    "seed": ({"model": "demo", "seed": -1}, "seed is -1"),
    "flag": ({"model": "demo", "keep_truncated": "yes"}, "true or false"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_setting_that_is_none_is_one_sentence(mistake):
    values, sentence = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        TeacherSettings(**values)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"max_cost": 1.0}, "max_cost wants input_price"),
        ({"input_price": 1.0}, "output_price is missing"),
        ({"input_price": -1.0, "output_price": 1.0}, "input_price is -1"),
        ({"max_total_tokens": 1.5}, "max_total_tokens is 1.5"),
    ],
)
def test_a_limit_that_is_none_is_one_sentence(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        TeacherLimits(**values)


def test_defaults_by_what_is_asked(tmp_path):
    assert TeacherSettings("demo").temperature == 0.0
    assert TeacherSettings("demo", samples=3).temperature == 0.7
    own = TeacherSettings("claude", provider="anthropic")
    assert (own.endpoint, own.key_variable) == ("https://api.anthropic.com", "ANTHROPIC_API_KEY")
    local = TeacherSettings(str(tmp_path))
    assert (local.provider, local.annotator) == ("hf", f"teacher:{tmp_path.name}")


def test_a_port_of_this_machine_is_no_part_of_what_labels_depend_on():
    one, other = (TeacherSettings("m", endpoint=f"http://127.0.0.1:{port}/v1/") for port in (8000, 8001))
    assert one.identity(None) == other.identity(None)
    assert one.identity(None)["endpoint"] == "http://localhost/v1"
    far = TeacherSettings("m", endpoint="https://host:8443/v1").identity(None)
    assert far["endpoint"] == "https://host:8443/v1"
