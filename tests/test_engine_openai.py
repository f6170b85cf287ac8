from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.endpoint import Endpoint, Reply
from tasksel.engines.engine import ShardPrompts
from tasksel.engines.openai import OpenAIEngine, replies_path
from tasksel.engines.openai_replies import IncompleteReplyError, read_completion
from tasksel.engines.openai_sending import EndCounts, Question, Sender, StopEvent
from tasksel.generation import generate, load_model
from tasksel.prompt_encoding import PromptEncoder
from tasksel.reply_journal import read_journal
from tasksel.request_pacing import PacingSettings, RequestPacing
from tasksel_core.errors import ConfigError, ProviderError
from token_server import running_server, served  # noqa: F401 - fixtures

SECRET = "sk-planted-secret-of-the-test"
WORDS = ["the", "fox", "dog", "sum", "add", "station", "French", "return"]
PROMPTS = [
    *(f"{word} {WORDS[-number]} {number}" for number, word in enumerate(WORDS)),
    *(f"Translate to French: good {word}, where is the {word}?" for word in WORDS),
    *(f"def {word}(a, b):\n    return a + b\n" for word in WORDS),
    *(
        "naïve café",
        "日本語のテスト",
        "🦊🐶👩‍👩‍👧",
        "\u202eright to left",
        "a\u0301 combining",
        "\x00\x07 control",
    ),
    *("", " ", "\n\n", "a", "  leading", "trailing  ", "tab\tand\r\nreturn"),
    *("{prompt}", "\\u0041 \"quoted\" 'text'", "<|not special|>"),
]
QUOTING = ["What is </s>?", "<s>Again<s>", "<|user|> says <pad>"]


# Reading replies


def columns(numbers=(-0.5,), listed=None, *, tokens=None, text="a", finish="stop", usage=None, **more):
    """Give the body of a completion as vLLM and OpenAI write it."""
    listed = [{"a": number, "b": number - 1.0} for number in numbers] if listed is None else listed
    logprobs = {
        "tokens": ["a"] * len(numbers) if tokens is None else tokens,
        "token_logprobs": list(numbers),
        "top_logprobs": listed,
        "text_offset": [0] * len(numbers),
    }
    choice = {"text": text, "finish_reason": finish, "logprobs": logprobs, **more}
    return json.dumps({"choices": [choice], "usage": usage})


def entries(numbers=(-0.5,), *, token="a", text="a", finish="stop", usage=None, is_chat=True, **more):
    """Give the body of a chat completion, or of llama.cpp's completion."""
    listed = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    content = [
        {"token": token, "logprob": number, "bytes": [97], "top_logprobs": listed, **more}
        for number in numbers
    ]
    choice = {"finish_reason": finish, "logprobs": {"content": content}}
    choice |= {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    return json.dumps({"choices": [choice], "usage": usage})


def read(body):
    return read_completion(body, top_k=2)


@pytest.mark.parametrize(
    "body",
    [
        columns(),
        entries(),
        entries(is_chat=False),
        entries(text=[{"type": "text", "text": "a"}, {"type": "image"}]),
    ],
)
def test_every_shape_is_read(body):
    generation = read(body).generation
    p, q = math.exp(-0.5), math.exp(-1.5)
    rest = 1.0 - p - q
    assert (generation.text, generation.finish_reason, generation.entropy_top_k) == ("a", "stop", 2)
    assert generation.token_ids is None
    assert generation.token_logprobs.tolist() == [-0.5]
    assert generation.token_entropy[0] == pytest.approx(0.5 * p + 1.5 * q - rest * math.log(rest), abs=1e-6)
    assert generation.token_margin[0] == pytest.approx(p - q, abs=1e-6)


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=60), st.integers(2, 20))
def test_the_truncated_entropy_is_a_lower_bound_that_keeps_its_promise(logits, top_k):
    logprobs = np.array(logits) - np.logaddexp.reduce(logits)
    listed = sorted(logprobs, reverse=True)[:top_k]
    body = columns([listed[0]], [{str(place): number for place, number in enumerate(listed)}])
    entropy = float(read_completion(body, top_k=top_k).generation.token_entropy[0])
    whole = float(-(np.exp(logprobs) * logprobs).sum())
    rest = max(0.0, 1.0 - float(np.exp(listed).sum()))
    n_others = max(1, len(logits) - len(listed))
    assert whole - rest * math.log(n_others) - 1e-5 <= entropy <= whole + 1e-5


def test_ids_are_read_where_the_server_tells_them():
    assert read(columns(tokens=["token_id:7"])).generation.token_ids.tolist() == [7]
    assert read(columns(tokens=["x"], token_ids=[8])).generation.token_ids.tolist() == [8]
    assert read(entries(id=9)).generation.token_ids.tolist() == [9]
    assert read(columns(tokens=["token_id:x"])).generation.token_ids is None
    assert read(columns([-0.5, -0.5], tokens=["token_id:7", "a"])).generation.token_ids is None


@pytest.mark.parametrize(
    ("token", "text", "finish", "expected"),
    [
        ("</s>", "a", "stop", True),
        ("", "a", "stop", True),
        ("token_id:2", "a", "stop", True),
        ("a", "a", "stop", False),
        ("\ufffd", "é", "stop", None),
        (" ", "a", "stop", None),
        ("a", "a", "length", None),
    ],
)
def test_whether_the_end_token_counts_is_measured(token, text, finish, expected):
    assert read(columns(tokens=[token], text=text, finish=finish)).has_end_token is expected
    assert read(entries(token=token, text=text, finish=finish)).has_end_token is expected


def test_a_stop_string_is_no_end_token():
    assert read(columns(tokens=["User:"], text="a", stop_reason="User:")).has_end_token is False
    assert read(columns(tokens=["User:"], text="a", stop_reason=None)).has_end_token is True


def test_an_answer_without_tokens_has_none():
    for body in (
        columns([], text=""),
        columns([], text="", logprobs=None),
        columns([], text="", logprobs=None, usage={"prompt_tokens": 3, "completion_tokens": 1}),
    ):
        generation = read(body).generation
        assert (generation.text, generation.finish_reason) == ("", "stop")
        assert (
            len(generation.token_logprobs)
            == len(generation.token_entropy)
            == len(generation.token_margin)
            == 0
        )


def test_tokens_that_are_written_alike_do_not_hide_the_emitted_one():
    body = columns([-0.5], [{"\ufffd": -2.0, "x": -3.0}], tokens=["\ufffd"], text="é", finish="length")
    generation = read(body).generation
    assert generation.token_margin[0] == pytest.approx(math.exp(-0.5) - math.exp(-2.0), abs=1e-6)


def test_numbers_of_impossible_tokens_do_not_disturb():
    lowest = float(np.finfo(np.float32).min)
    sure = read(columns([0.0], [{"a": 0.0, "b": -9999.0, "c": lowest}])).generation
    assert (sure.token_entropy.tolist(), sure.token_margin.tolist()) == ([0.0], [1.0])
    assert read(columns([1e-7], [{"a": 1e-7}])).generation.token_logprobs.tolist() == [0.0]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (columns([0.5]), "gives 0.5 as a logprob"),
        (columns([-0.5], [{"a": -0.5, "b": 3.0}]), "gives 3 as a logprob"),
        (columns([-0.1], [{"a": -0.1, "b": -0.1}]), "add up to 1.81"),
        (columns([-2.0], [{"a": -0.5, "b": -2.0}]), "not its most likely one"),
        (columns([-9999.0], [{"a": -9999.0}]), "no logprob for some token"),
        (columns([None], [None]), "no logprob for some token"),
        (columns([math.nan], [None]), "no logprob for some token"),
        (columns(logprobs=None), "holds no logprobs"),
        (columns(logprobs={}), "holds no logprobs"),
        (columns(tokens=["a", "b"]), "2 tokens, 1 logprobs"),
        (columns(finish="abort"), "ended for the reason 'abort'"),
        (columns(finish=None), "ended for the reason None"),
        (columns(["-0.5"], [None]), "is no completion"),
        ('{"choices": []}', "is no completion"),
        ('{"error": "overloaded"}', "overloaded"),
        ("<html>busy</html>", "busy"),
        ("[" * 100_000, "is no completion"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_a_sentence(body, sentence):
    with pytest.raises(ProviderError, match=sentence):
        read(body)


@pytest.mark.parametrize(
    ("finish", "token", "n_written", "is_whole"),
    [
        ("stop", "</s>", 1, True),
        ("stop", "a", 2, True),  # its end token is counted and not listed
        ("stop", "</s>", 2, False),
        ("stop", "a", 3, False),
        ("length", "a", 1, True),
        ("length", "a", 2, False),
    ],
)
def test_an_answer_with_unlisted_tokens_has_no_confidence(finish, token, n_written, is_whole):
    body = columns(tokens=[token], finish=finish, usage={"completion_tokens": n_written, "prompt_tokens": 4})
    if is_whole:
        assert read(body).prompt_tokens == 4
    else:
        with pytest.raises(IncompleteReplyError, match=f"only 1 of the {n_written} tokens"):
            read(body)


def test_filtered_and_refused_answers_are_no_generations():
    filtered = read(columns(finish="content_filter", logprobs=None))
    assert (filtered.generation, filtered.refusal) == (
        None,
        "The server's content filter stopped the answer.",
    )
    message = {"role": "assistant", "content": None, "refusal": "I cannot."}
    refused = read(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert refused.refusal == "The model refused: 'I cannot.'."


@given(
    st.recursive(st.none() | st.text() | st.floats(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_no_body_breaks_the_reader(content):
    for body in (json.dumps(content), json.dumps({"choices": [content]}), columns(logprobs=content)):
        with contextlib.suppress(ProviderError):
            read(body)


# Scores over HTTP are those of the model


def make_engine(served, model="tiny", dialect="vllm", **options):  # noqa: F811 - a fixture's value
    settings = {"max_new_tokens": 24, "max_concurrency": 8, "timeout_s": 60.0, **options}
    return OpenAIEngine(model, base_url=served.url(dialect), **settings)


def collect(engine, prompts, *, answered=(), stopped=None):
    """Answer prompts as one shard; give answers by position."""
    found = {}
    shard = ShardPrompts(0, prompts, frozenset(answered))
    for batch in engine.answer(iter([shard]), stopped or threading.Event()):
        found.update(zip(batch.positions, batch.answers, strict=True))
    return found


@pytest.fixture(scope="module")
def reference(running_server):  # noqa: F811 - pytest passes the fixture
    """Give a function that answers prompts in this process."""
    models = {}

    def answer(name, prompts, *, quotes=False):
        if name not in models:
            models[name] = load_model(str(running_server.models[name]), device="cpu")
        encoder = PromptEncoder(models[name], prompt_template=None, max_new_tokens=24)
        if quotes:
            encoded = [
                np.array(models[name].tokenizer(each)["input_ids"], dtype=np.int32) for each in prompts
            ]
        else:
            encoded = [each.token_ids for each in encoder.encode(prompts)]
        return generate(models[name], encoded, max_new_tokens=24)

    return answer


def assert_agrees(answers, generations, *, has_ids=True, lists_end=True, hides_alike=False):
    assert sorted(answers) == list(range(len(generations)))
    for position, local in enumerate(generations):
        remote = answers[position].generation
        assert (remote.text, remote.finish_reason) == (local.text, local.finish_reason)
        n_tokens = len(local.token_logprobs) - (not lists_end and local.finish_reason == "stop")
        np.testing.assert_allclose(remote.token_logprobs, local.token_logprobs[:n_tokens], atol=1e-4)
        differences = remote.token_margin - local.token_margin[:n_tokens]
        assert (differences > -1e-4).all()
        assert hides_alike or (differences < 1e-4).all()
        assert (remote.token_entropy <= local.token_entropy[:n_tokens] + 1e-4).all()
        assert (remote.token_ids is not None) == has_ids
        if has_ids:
            assert remote.token_ids.tolist() == local.token_ids.tolist()


@pytest.mark.parametrize(("dialect", "has_ids"), [("vllm", True), ("llama_cpp", True), ("openai", False)])
def test_scores_over_http_are_those_of_the_model(served, reference, dialect, has_ids):  # noqa: F811
    assert len(PROMPTS) == 40
    answers = collect(make_engine(served, dialect=dialect), PROMPTS)
    generations = reference("tiny", PROMPTS)
    assert_agrees(answers, generations, has_ids=has_ids, lists_end=has_ids, hides_alike=not has_ids)


def test_scores_of_the_embedded_model_agree_too(served, reference):  # noqa: F811
    prompts = [each for each in PROMPTS[:12] if each]
    assert_agrees(collect(make_engine(served, "demo"), prompts), reference("demo", prompts))


@pytest.mark.parametrize(("dialect", "has_ids"), [("vllm", True), ("llama_cpp", True), ("openai", False)])
def test_scores_of_chats_agree_with_the_model_s_own_template(served, reference, dialect, has_ids):  # noqa: F811
    answers = collect(make_engine(served, "chatty", dialect, api="chat"), PROMPTS[::3])
    assert_agrees(answers, reference("chatty", PROMPTS[::3]), has_ids=has_ids, lists_end=has_ids)


def test_special_tokens_that_a_prompt_quotes_are_special_to_a_server(served, reference):  # noqa: F811
    """The one difference of prompts: in this process they stay text, a server reads what it gets."""
    answers = collect(make_engine(served), QUOTING)
    assert_agrees(answers, reference("tiny", QUOTING, quotes=True))
    text = reference("tiny", QUOTING)
    assert any(answers[place].generation.text != each.text for place, each in enumerate(text))


def test_a_template_stands_around_the_prompt(served):  # noqa: F811
    collect(make_engine(served, prompt_template="Q: {prompt}\nA:"), ["{prompt}"])
    assert "Q: {prompt}\nA:" in served.told()["prompts"]


# Starting


def test_a_start_tells_what_the_server_gives(served):  # noqa: F811
    start = make_engine(served, "chatty", api="chat").start()
    assert start.settings["top_logprobs"] == 20
    assert start.settings["tells_token_ids"] is True
    assert start.versions == {
        "host": "127.0.0.1",
        "server": "vllm",
        "server_version": "0.0.test",
        "served_model": "chatty",
    }
    assert make_engine(served, dialect="llama_cpp").start().versions["system_fingerprint"] == "b1-test"


def test_a_server_that_refuses_20_and_unknown_fields_is_asked_for_what_it_takes(served):  # noqa: F811
    start = make_engine(served, dialect="openai").start()
    assert start.settings["top_logprobs"] == 5
    assert start.settings["tells_token_ids"] is False
    assert "repetition_penalty" not in served.told()["bodies"][-1]
    with pytest.raises(ConfigError, match="Requested 30 logprobs"):
        make_engine(served, top_logprobs=30).start()


def test_where_the_end_token_counts_is_written_down(served):  # noqa: F811
    found = {}
    for dialect in ("vllm", "llama_cpp", "openai"):
        engine = make_engine(served, "chatty", dialect, api="chat")
        told = engine.start().settings["includes_end_token"]
        answers = collect(engine, PROMPTS[:20])
        n_ended = sum(each.generation.finish_reason == "stop" for each in answers.values())
        assert n_ended > 0
        found[dialect] = (told, engine.ends.listed == n_ended, engine.ends.unlisted > 0)
    assert found["vllm"] == found["llama_cpp"] == (True, True, False)
    assert found["openai"] == (None, False, True), "the answer to the small request does not end"
    served.play(always={"edit": "ends"})
    assert make_engine(served, "demo", "openai").start().settings["includes_end_token"] is False


def test_openai_itself_gets_only_fields_that_it_knows():
    from tasksel.engines.openai_requests import candidate_forms

    def bodies(api):
        forms = candidate_forms(
            model="m", api=api, max_new_tokens=9, prompt_template=None, top_logprobs=None, is_own_host=True
        )
        return [form.make_body("p") for form in forms]

    chat = {"model": "m", "temperature": 0.0, "max_completion_tokens": 9, "logprobs": True}
    chat["messages"] = [{"role": "user", "content": "p"}]
    assert bodies("chat") == [{**chat, "top_logprobs": 20}, {**chat, "top_logprobs": 5}]
    bare = {"model": "m", "temperature": 0.0, "max_tokens": 9, "prompt": "p"}
    assert bodies("completions") == [{**bare, "logprobs": 20}, {**bare, "logprobs": 5}]


def test_a_model_that_is_not_there_is_refused_by_name(served):  # noqa: F811
    with pytest.raises(ConfigError, match=r"no model 'other'; it lists 'chatty', 'demo', 'tiny'"):
        make_engine(served, "other").start()
    served.play(always={"has_no_list": True})
    assert make_engine(served).start().settings["top_logprobs"] == 20
    with pytest.raises(ProviderError, match="404"):
        make_engine(served, "other").start()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"edit": "no_logprobs"}, "holds no logprobs"),
        ({"edit": "positive"}, "as a logprob"),
        ({"edit": "no_choices"}, "is no completion"),
        ({"status": 401}, "no key in OPENAI_API_KEY"),
        ({"status": 403}, "403"),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:9/elsewhere"}}, "307"),
        ({"status": 429, "content": "insufficient_quota"}, "insufficient_quota"),
    ],
)
def test_a_server_that_is_of_no_use_is_refused_at_the_start(served, fault, sentence):  # noqa: F811
    served.play(always=fault)
    with pytest.raises(ProviderError, match=sentence):
        make_engine(served).start()


def test_a_first_answer_that_is_not_whole_tells_nothing_of_ends(served):  # noqa: F811
    served.play(always={"edit": "lacks_tokens"})
    settings = make_engine(served).start().settings
    told = (settings["top_logprobs"], settings["includes_end_token"], settings["tells_token_ids"])
    assert told == (20, None, False)


@pytest.mark.parametrize("body", ["<html>", "[" * 100_000, "[1]", ""], ids=["html", "deep", "list", "empty"])
def test_what_is_no_json_tells_nothing_of_a_server(monkeypatch, body):
    replied = SimpleNamespace(reply=Reply(200, body))
    monkeypatch.setattr(Endpoint, "attempt", lambda *_, **__: replied)
    engine = OpenAIEngine("m", base_url="http://localhost:1/v1")
    assert engine._ask(engine.endpoint, "models") == {}


def test_openai_itself_is_not_asked_for_a_path_that_it_has_not(monkeypatch):
    asked = []
    monkeypatch.setattr(Endpoint, "attempt", lambda _, path, *__: asked.append(path))
    engine = OpenAIEngine("m", base_url="https://api.openai.com/v1")
    assert engine._ask(engine.endpoint, "version") == {}
    assert asked == []


def make_sender(attempt, stopped):
    pacing = RequestPacing(PacingSettings(concurrency=1))
    endpoint, form = SimpleNamespace(attempt=attempt), SimpleNamespace(path="completions")
    return Sender(endpoint, form, pacing, StopEvent(stopped), EndCounts())


QUESTION = Question(0, (0,), "key", {}, None)


def test_nothing_is_sent_once_a_run_was_stopped():
    stopped, sent = threading.Event(), []
    stopped.set()
    sender = make_sender(lambda *given, **_: sent.append(given), stopped)
    assert sender.ask(QUESTION, connection=None) is None
    assert sent == []


def test_a_request_that_an_error_ends_makes_room_for_the_next():
    def fail(*_, **__):
        raise MemoryError

    sender = make_sender(fail, threading.Event())
    for _ in range(2):  # of one at a time
        with pytest.raises(MemoryError):
            sender.ask(QUESTION, connection=None)
    assert sender.pacing.failures == 0


def test_no_server_is_a_sentence(served):  # noqa: F811
    engine = OpenAIEngine("m", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1:9 does not answer"):
        engine.start()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"api": "responses"}, "allowed are completions and chat"),
        ({"top_logprobs": 1}, "at least 2"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"prompt_template": "no place"}, "0 times"),
        ({"api": "chat", "prompt_template": "{prompt}"}, "goes with the api completions"),
        ({"base_url": "ftp://host"}, "no address of an endpoint"),
    ],
)
def test_wrong_settings_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        OpenAIEngine("m", **{"base_url": "http://localhost:1/v1", **options})


def test_a_model_is_its_name_wherever_the_server_stands():
    first = OpenAIEngine("m", base_url="http://localhost:8000/v1").identify_model()
    assert first == OpenAIEngine("m", base_url="https://elsewhere/api/v1").identify_model()
    assert first != OpenAIEngine("n", base_url="http://localhost:8000/v1").identify_model()


# Trouble


def test_being_asked_to_wait_costs_no_attempt(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=2)
    engine.start()
    served.play(faults=[{"status": 429, "headers": {"Retry-After": "0.01"}}] * 12)
    assert all(each.generation for each in collect(engine, PROMPTS[:6]).values())


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"cut": True}, {"delay_s": 3.0}])
def test_failures_are_tried_again(served, fault):  # noqa: F811
    engine = make_engine(served, timeout_s=2.0 if "delay_s" in fault else 60.0)
    engine.start()
    served.play(faults=[fault] * 3)
    assert all(each.generation for each in collect(engine, PROMPTS[:6]).values())


def test_prompts_that_are_too_long_are_refused_one_by_one(served):  # noqa: F811
    long = [f"{number} " + "word " * 200 for number in range(8)]
    answers = collect(make_engine(served), [*long, "the dog"])
    assert [answers[place].generation is None for place in range(9)] == [True] * 8 + [False]
    assert "maximum context length is 128" in answers[0].refusal


def test_an_answer_that_the_context_cuts_is_refused_and_not_taken_for_a_short_one(served):  # noqa: F811
    engine = make_engine(served, max_new_tokens=100)
    answers = collect(engine, [" ".join(["word"] * 20), "the dog"])
    refused = [answer for answer in answers.values() if answer.generation is None]
    assert refused
    assert all("of 100 tokens: prompt and answer do not fit its context" in each.refusal for each in refused)


def test_a_prompt_that_the_server_fails_on_does_not_hold_up_the_others(served):  # noqa: F811
    served.play(poison={"poisonous": {"status": 500}})
    answers = collect(make_engine(served), ["a poisonous prompt", *PROMPTS[:4]])
    assert answers[0].generation is None
    assert "status 500 on 5 attempts" in answers[0].refusal
    assert all(answers[place].generation for place in range(1, 5))


def test_filtered_answers_are_refusals(served):  # noqa: F811
    served.play(poison={"filtered": {"edit": "content_filter"}})
    answers = collect(make_engine(served), ["filtered", "the dog"])
    assert "content filter" in answers[0].refusal
    assert answers[1].refusal is None


def test_an_answer_with_unlisted_tokens_is_left_out(served):  # noqa: F811
    served.play(poison={"reasoning": {"edit": "lacks_tokens"}})
    answers = collect(make_engine(served), ["reasoning", "the dog"])
    assert "gives logprobs of only" in answers[0].refusal
    assert answers[1].generation is not None


def run_into(engine, prompts, error):
    """Give the positions that were answered before the error."""
    found = {}

    def walk():
        for batch in engine.answer(iter([ShardPrompts(0, prompts)]), threading.Event()):
            found.update(zip(batch.positions, batch.answers, strict=True))

    with pytest.raises(error) as caught:
        walk()
    return found, str(caught.value)


def test_a_server_that_refuses_everything_ends_the_run(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=1)
    engine.start()
    served.play(always={"status": 400, "content": {"error": "no such field"}})
    found, sentence = run_into(engine, PROMPTS, ProviderError)
    assert len(found) == 4
    assert "5 prompts in a row were refused" in sentence
    assert "no such field" in sentence


def test_what_was_answered_before_an_error_is_given_first(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=2)
    engine.start()
    served.play(faults=[{}] * 6 + [{"status": 401}] * 50)
    found, sentence = run_into(engine, PROMPTS, ProviderError)
    assert len(found) == 6
    assert "401" in sentence


def test_a_server_that_is_gone_is_given_up_and_what_it_answered_is_given(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=2)
    engine.pacing_settings = replace(engine.pacing_settings, breaker_pause_s=0.01)
    engine.start()
    served.play(faults=[{}] * 3 + [{"status": 503}] * 99)
    found, sentence = run_into(engine, PROMPTS, ProviderError)
    assert len(found) == 3
    assert "was given up, since it failed" in sentence


def test_concurrency_is_kept_across_the_seam_of_shards(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=6, max_new_tokens=2)
    engine.start()
    served.play(always={"delay_s": 0.05})
    shards = [ShardPrompts(number, [f"{word} {number}" for word in WORDS[:2]]) for number in range(12)]
    batches = list(engine.answer(iter(shards), threading.Event()))
    assert sum(len(batch.positions) for batch in batches) == 24
    assert served.told()["most_under_way"] == 6


def test_connections_are_kept(served):  # noqa: F811
    engine = make_engine(served, max_concurrency=3, max_new_tokens=2)
    engine.start()
    before = served.told()["connections"]
    collect(engine, [f"{word} {number}" for word in WORDS for number in range(5)])
    assert served.told()["connections"] - before <= 3


def test_equal_prompts_of_a_shard_are_asked_once(served):  # noqa: F811
    answers = collect(make_engine(served), ["the dog", "a", "the dog"])
    assert answers[0] is answers[2]
    assert served.told()["prompts"]["the dog"] == 1


def test_the_key_is_sent_and_written_nowhere(served, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("ANOTHER_KEY", SECRET)
    served.play(poison={"leak": {"status": 400, "content": {"error": f"{SECRET} may not"}}})
    engine = make_engine(served, key_variable="ANOTHER_KEY", journal_folder=tmp_path)
    start = engine.start()
    answers = collect(engine, ["leak", "the dog"])
    assert {each["authorization"] for each in served.told()["headers"]} == {f"Bearer {SECRET}"}
    assert "*** may not" in answers[0].refusal
    assert SECRET not in json.dumps([start.settings, start.versions])
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())


# The journal


def test_replies_of_a_journal_are_not_asked_for_again(served, tmp_path):  # noqa: F811
    first = collect(make_engine(served, journal_folder=tmp_path), PROMPTS[:10])
    asked = served.told()["prompts"]
    engine = make_engine(served, journal_folder=tmp_path)
    second = collect(engine, PROMPTS[:12], answered={0, 1})
    now = served.told()["prompts"]
    assert sorted(second) == list(range(2, 12))
    assert all(now[prompt] == asked[prompt] == 1 for prompt in PROMPTS[:10])
    for place in range(2, 10):
        np.testing.assert_array_equal(
            first[place].generation.token_logprobs, second[place].generation.token_logprobs
        )


def test_a_reply_of_another_setting_is_none(served, tmp_path):  # noqa: F811
    collect(make_engine(served, journal_folder=tmp_path), ["the dog"])
    collect(make_engine(served, journal_folder=tmp_path, max_new_tokens=3), ["the dog"])
    assert served.told()["prompts"]["the dog"] == 2


def test_a_useless_reply_is_kept_and_asked_for_again(served, tmp_path):  # noqa: F811
    served.play(poison={"dog": {"edit": "no_logprobs"}})
    answers = collect(make_engine(served, journal_folder=tmp_path), ["the dog", "a"])
    assert "no logprobs" in answers[0].refusal
    assert len(read_journal(replies_path(tmp_path, 0))) == 2
    served.play(poison={})
    assert collect(make_engine(served, journal_folder=tmp_path), ["the dog", "a"])[0].generation is not None


def test_a_journal_is_closed_before_the_last_answers_of_its_shard(served, tmp_path):  # noqa: F811
    engine = make_engine(served, journal_folder=tmp_path, max_concurrency=2)
    shards = [ShardPrompts(number, [f"{word} {number}" for word in WORDS[:3]]) for number in range(3)]
    missing = dict.fromkeys(range(3), 3)
    for batch in engine.answer(iter(shards), threading.Event()):
        missing[batch.number] -= len(batch.positions)
        if not missing[batch.number]:
            replies_path(tmp_path, batch.number).unlink()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, threading
from pathlib import Path
from tasksel.engines.engine import ShardPrompts
from tasksel.engines.openai import OpenAIEngine

engine = OpenAIEngine("tiny", base_url=sys.argv[1], max_new_tokens=4, max_concurrency=4,
                      journal_folder=Path(sys.argv[2]))
shards = [ShardPrompts(number, [f"prompt {number} {each}" for each in range(20)]) for number in range(3)]
for batch in engine.answer(iter(shards), threading.Event()):
    print(batch.number, *batch.positions, flush=True)
"""


@pytest.mark.integration
def test_a_kill_loses_no_reply_that_was_paid_for(served, tmp_path):  # noqa: F811
    served.play(always={"delay_s": 0.02})
    command = [sys.executable, "-c", KILLED, served.url(), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(8):
        assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    kept = {number: len(read_journal(replies_path(tmp_path, number))) for number in range(3)}
    asked = served.told()["prompts"]
    assert 8 <= sum(kept.values()) < 60

    engine = OpenAIEngine(
        "tiny", base_url=served.url(), max_new_tokens=4, max_concurrency=4, journal_folder=tmp_path
    )
    shards = [ShardPrompts(number, [f"prompt {number} {each}" for each in range(20)]) for number in range(3)]
    found = [place for batch in engine.answer(iter(shards), threading.Event()) for place in batch.positions]
    assert sorted(found) == sorted([*range(20)] * 3)
    again = served.told()["prompts"]
    prompts = [prompt for shard in shards for prompt in shard.prompts]
    assert sum(again[prompt] - asked.get(prompt, 0) for prompt in prompts) == 60 - sum(kept.values())
