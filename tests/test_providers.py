from __future__ import annotations

import dataclasses
import json
import threading
import time
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted_provider import KEY, SCHEMA, completion
from tasksel.endpoint import Endpoint, Reply
from tasksel.providers import (
    AnthropicProvider,
    Ask,
    Asker,
    ChatRequest,
    Completion,
    LocalModelProvider,
    Message,
    OpenAIProvider,
    count_journal,
    estimate_tokens,
    most_tokens,
)
from tasksel.providers.constrained_decoding import Grammars, RowSampler, bounded_schema, sample_token
from tasksel.reply_journal import JournalEntry, ReplyJournal, read_journal, request_key
from tasksel.request_pacing import PacingSettings, RequestPacing
from tasksel.spending_caps import SpendingCaps, Usage
from tasksel_core.errors import ConfigError, ProviderError

CHAT = ChatRequest((Message("system", "Be brief."), Message("user", "Hello")), 0.5, 0.9, 64)


def make_asker(server, journal, *, caps=None, timeout_s=5.0, **pacing):
    settings = {"concurrency": 4, "breaker_pause_s": 0.01, **pacing}
    provider = OpenAIProvider(Endpoint(server.url, timeout_s=timeout_s), "scripted")
    return Asker(provider, journal, RequestPacing(PacingSettings(**settings)), caps or SpendingCaps())


def make_asks(asker, count=3):
    asks = []
    for number in range(count):
        chat = ChatRequest((Message("user", f'1. {{"product": "p{number}", "rating": "1"}}'),), max_tokens=50)
        body = asker.provider.make_body(chat)
        asks.append(Ask(request_key(body), body, chat.messages, chat.max_tokens, {"number": number}))
    return asks


# Bodies and replies


def test_chat_completions_bodies():
    body = OpenAIProvider(Endpoint("http://localhost:1/v1"), "m").make_body(CHAT)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 64,
        "temperature": 0.5,
        "top_p": 0.9,
    }
    assert OpenAIProvider(Endpoint("http://h/v1"), "m").make_body(ChatRequest((), seed=3))["seed"] == 3
    own = OpenAIProvider(Endpoint("https://api.openai.com/v1"), "m").make_body(ChatRequest(CHAT.messages))
    assert sorted(own) == ["max_completion_tokens", "messages", "model"]


def test_messages_bodies():
    provider = AnthropicProvider(Endpoint("http://localhost:1"), "m")
    assert provider.make_body(CHAT) == {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hello"}],
        "system": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
    }
    hot = ChatRequest((Message("user", "Hello"),), temperature=1.7)
    assert provider.make_body(hot)["temperature"] == 1.0


@pytest.mark.parametrize("base", ["", "/v1", "/v1/"])
def test_messages_are_sent_with_their_own_headers(server, monkeypatch, base):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server.play = lambda _: (200, json.dumps({"content": [{"type": "text", "text": "hi"}]}))
    url = server.url.removesuffix("/v1") + base
    provider = AnthropicProvider(Endpoint(url, key_variable="ANTHROPIC_API_KEY"), "m")
    attempt = provider.attempt(provider.make_body(CHAT))
    assert provider.read(attempt.reply).text == "hi"
    assert [path for path, _ in server.seen] == ["/v1/messages"]
    headers = {name.lower(): value for name, value in server.headers_seen[0].items()}
    assert headers["x-api-key"] == KEY
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (completion("a", usage=(3, 4)), ("a", "text", False, Usage(3, 4))),
        (completion("a", finish="length", usage=None), ("a", "text", True, None)),
        (completion("a", finish="content_filter", usage=None), ("a", "filtered", False, None)),
        (completion(None, refusal="No.", usage=None), ("No.", "refusal", False, None)),
        (completion(None, usage=None), ("", "text", False, None)),
        (completion([{"type": "text", "text": "a"}, {"text": "b"}], usage=None), ("ab", "text", False, None)),
        (completion("a", usage=(-1, 4)), ("a", "text", False, None)),
        (completion("a", usage=("3", 4)), ("a", "text", False, None)),
    ],
)
def test_chat_completions_are_read(body, expected):
    assert OpenAIProvider(Endpoint("http://h/v1"), "m").read(Reply(200, body)) == (*expected, False)


def test_messages_are_read():
    provider = AnthropicProvider(Endpoint("http://h"), "m")

    def read(**content):
        return provider.read(Reply(200, json.dumps(content)))

    blocks = [
        {"type": "thinking", "thinking": "?"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    usage = {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 10}
    assert read(content=blocks, stop_reason="end_turn", usage=usage) == Completion(
        "ab", "text", usage=Usage(13, 4)
    )
    assert read(content=blocks, stop_reason="max_tokens").is_cut
    assert read(content=[], stop_reason="refusal").outcome == "refusal"
    assert read(error="x").outcome == "unreadable"
    for broken in ({"input_tokens": "3"}, {"cache_read_input_tokens": 1.5, "input_tokens": 3}, {}, [3, 4]):
        assert read(content=blocks, usage=broken) == Completion("ab", "text", usage=None)


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_no_body_is_an_error(content):
    for provider in (
        OpenAIProvider(Endpoint("http://h/v1"), "m"),
        AnthropicProvider(Endpoint("http://h"), "m"),
    ):
        for body in (json.dumps(content), json.dumps({"choices": content, "content": content}), str(content)):
            assert provider.read(Reply(200, body)).outcome in ("text", "unreadable")


def test_estimates_go_by_bytes():
    assert estimate_tokens("ääää") == 2
    assert most_tokens([Message("user", "ää"), Message("user", "")]) == 4 + 2 * 16


# Asking


def test_everything_is_asked_once_and_kept(server, tmp_path):
    told = []
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        asks = make_asks(asker, 20)
        answers = asker.ask(asks, answered=lambda key, _: told.append(key))
        assert set(answers) == set(told) == {each.key for each in asks}
        assert asker.sent == len(server.seen) == 20
        assert asker.ask(asks) == answers
        assert len(server.seen) == 20
        assert server.most_under_way <= 4
        assert asker.caps.spent.usage == Usage(2000, 800)
    kept = read_journal(tmp_path / "r.jsonl")
    assert kept[asks[3].key].facts["number"] == 3
    caps = SpendingCaps()
    count_journal(caps, asker.provider, kept)
    assert caps.spent == asker.caps.spent
    assert all(each.get("Authorization") == f"Bearer {KEY}" for each in server.headers_seen)


def test_nothing_to_ask_is_no_problem(server, tmp_path):
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        assert make_asker(server, journal).ask([]) == {}


@pytest.mark.parametrize("wait", ["0", "0.05", "Thu, 01 Jan 2026 00:00:00 GMT", "soon"])
def test_being_asked_to_wait_costs_no_attempt(server, tmp_path, wait):
    slow_down = (429, "slow down", {"Retry-After": wait})
    server.first_times(*[slow_down] * 4)
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        asker.max_attempts = 1
        assert len(asker.ask(make_asks(asker))) == 3
        assert asker.pacing.waits == 4
        assert asker.pacing.limit < 4


def test_failures_are_tried_again_and_a_request_that_always_fails_is_set_aside(server, tmp_path):
    def play(asked):
        return (500, "broken") if asked.values[0]["product"] == "p1" else (200, completion("ok"))

    server.play = play
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, failures_to_open=100)
        asks = make_asks(asker)
        answers = asker.ask(asks)
        assert [answers[each.key].problem for each in asks] == ["", "unanswered", ""]
        assert answers[asks[1].key].detail == "status 500 on 5 attempts"
        assert len(server.seen) == 2 + 5
        assert asker.caps.spent.requests == 2
        server.first_times()
        assert not any(each.problem for each in asker.ask(asks).values()), "a problem is asked again"


def test_hanging_requests_time_out_and_count_as_maybe_paid(server, tmp_path):
    server.first_times((0.6, ""))
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, timeout_s=0.2)
        asks = make_asks(asker, 1)
        assert asker.ask(asks)[asks[0].key].problem == ""
        assert asker.caps.spent.requests == 2
        assert asker.caps.spent.usage.is_estimate
    assert spent_by(tmp_path, asker) == asker.caps.spent, "a later run counts what may have been paid for"


def spent_by(folder, asker):
    caps = SpendingCaps()
    count_journal(caps, asker.provider, read_journal(folder / "r.jsonl"))
    return caps.spent


def test_what_may_have_been_paid_for_is_never_forgotten(server, tmp_path):
    server.first_times(*[(1.5, "")] * 3)
    for spent, problem in ((1, "unanswered"), (2, "unanswered"), (4, "")):
        with ReplyJournal(tmp_path / "r.jsonl") as journal:
            asker = make_asker(server, journal, timeout_s=0.6, failures_to_open=100)
            asker.max_attempts = 1 if problem else 2
            count_journal(asker.caps, asker.provider, journal.entries)
            (each,) = make_asks(asker, 1)
            assert asker.ask([each])[each.key].problem == problem
        assert spent_by(tmp_path, asker) == asker.caps.spent
        assert asker.caps.spent.requests == spent


@pytest.mark.parametrize("noted", [3, "3", None, [3], [[1, 2, 3]], [["1", 2]], [[True, 2]], [[-1, 2]], {}])
def test_a_loss_that_somebody_wrote_wrong_is_none(noted):
    caps = SpendingCaps()
    entry = JournalEntry("key", Reply(0, ""), {"maybe_paid": noted})
    count_journal(caps, OpenAIProvider(Endpoint("http://h/v1"), "m"), {"key": entry})
    assert caps.spent.requests == 0


def test_a_provider_that_is_gone_is_given_up_and_what_came_is_kept(server, tmp_path):
    count = []

    def play(asked):
        count.append(1)
        return (200, completion("ok")) if len(count) <= 5 else (503, "gone")

    server.play = play
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, failures_to_open=3, max_probes=2)
        answers = asker.ask(make_asks(asker, 12))
        assert asker.was_given_up
        assert "given up" in asker.ended
        assert sum(each.reply is not None for each in answers.values()) == 5
        assert len(count) < 30
    assert sum(each.reply.status == 200 for each in read_journal(tmp_path / "r.jsonl").values()) == 5


def test_a_request_that_fails_as_its_provider_is_given_up_is_left_open(server, tmp_path):
    server.play = lambda _: (503, "gone")
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, concurrency=1, failures_to_open=1, max_probes=1)
        asker.max_attempts = 1
        first, second, third = make_asks(asker)
        answers = asker.ask([first, second, third])
        assert asker.was_given_up
        assert [*answers] == [first.key], "the second was the probe that ended it"
        assert answers[first.key].detail == "status 503 on 1 attempts"


@pytest.mark.parametrize("status", [401, 404])
def test_what_anthropic_refuses_is_described(server, tmp_path, monkeypatch, status):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server.play = lambda _: (status, f"not with {KEY}")
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        asker.provider = AnthropicProvider(Endpoint(server.url, key_variable="ANTHROPIC_API_KEY"), "m")
        with pytest.raises(ProviderError, match=rf"status {status}") as caught:
            asker.ask(make_asks(asker, 1))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, f"the key {KEY} is wrong"), (404, "no model"), (429, "insufficient_quota"), (307, "")],
)
def test_what_no_request_would_change_ends_it_at_once(server, tmp_path, status, body):
    server.play = lambda _: (status, body, {"Location": "http://127.0.0.1:9/elsewhere"})
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        with pytest.raises(ProviderError, match=str(status)) as caught:
            asker.ask(make_asks(asker, 30))
    assert KEY not in str(caught.value)
    assert KEY not in (tmp_path / "r.jsonl").read_text()
    assert len(server.seen) <= 8


def test_requests_that_are_refused_one_by_one_are_set_aside(server, tmp_path):
    def play(asked):
        bad = {"p1": (400, "too long"), "p2": (400, '{"code": "content_filter"}')}
        return bad.get(asked.values[0]["product"], (200, completion("ok")))

    server.play = play
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        asks = make_asks(asker)
        answers = asker.ask(asks)
        assert [answers[each.key].problem for each in asks] == ["", "refused", "filtered"]
        assert len(server.seen) == 3


def test_a_server_that_refuses_everything_is_told_so(server, tmp_path):
    server.play = lambda _: (422, "max_tokens is not supported")
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        with pytest.raises(ProviderError, match=r"every request so far.*max_tokens"):
            asker.ask(make_asks(asker, 30))


def test_a_cap_ends_it_and_is_not_passed(server, tmp_path):
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, caps=SpendingCaps(max_requests=7))
        answers = asker.ask(make_asks(asker, 30))
        assert len(answers) == len(server.seen) == 7
        assert asker.ended == "the cap max_requests (7) is reached"
        assert not asker.was_given_up


def test_a_reply_that_cannot_be_written_ends_it(server, tmp_path, monkeypatch):
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)

        def fail(_):
            raise OSError(28, "No space left on device", "r.jsonl")

        monkeypatch.setattr(journal, "append_all", fail)
        with pytest.raises(OSError, match="No space"):
            asker.ask(make_asks(asker, 30))
        assert len(server.seen) <= 4


def test_stopping_does_not_wait_for_requests_that_hang(server, tmp_path):
    server.first_times(*[(30.0, "")] * 4)
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, timeout_s=60.0)
        asks = make_asks(asker, 4)

        def interrupt(*_):
            raise KeyboardInterrupt

        monkey = threading.Timer(0.1, asker.stopped.set)
        monkey.start()
        began_s = time.monotonic()
        server.play = lambda _: (200, completion("ok"))
        with pytest.raises(KeyboardInterrupt):
            asker.ask(asks, answered=interrupt)
        assert time.monotonic() - began_s < 30.0, "it is the timeout that would last longer"
        monkey.cancel()


@pytest.mark.parametrize(("status", "noted"), [(200, 3), (401, 0)])
def test_what_nobody_waits_for_any_more_is_noted_as_maybe_paid(server, tmp_path, status, noted):
    """After Ctrl-C a provider goes on with what it was asked; where the key is wrong it never began."""
    arrived = threading.Semaphore(0)

    def play(asked):
        if asked.values[0]["product"] == "p0":
            for _ in range(3):
                arrived.acquire(timeout=20.0)
            return status, completion("ok")
        arrived.release()
        time.sleep(3.0)
        return status, ""

    server.play = play
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal, timeout_s=60.0)
        asks = make_asks(asker, 4)

        def interrupt(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt if noted else ProviderError):
            asker.ask(asks, answered=interrupt)
        assert asker.caps.spent.requests == (1 + noted if noted else 0)
    assert spent_by(tmp_path, asker) == asker.caps.spent


def test_half_a_reply_over_the_wire_is_no_reply(server, tmp_path):
    class Half(str):
        """Claims to be longer than it is."""

        def encode(self, *_):
            return _HalfBytes(b'{"choices": [{"mess')

    server.first_times((200, Half()))
    with ReplyJournal(tmp_path / "r.jsonl") as journal:
        asker = make_asker(server, journal)
        asks = make_asks(asker, 1)
        assert asker.ask(asks)[asks[0].key].problem == ""
        assert asker.caps.spent.requests == 2, "the first may have been paid for"


class _HalfBytes(bytes):
    def __len__(self):
        return 500


def test_a_placeholder_key_does_not_damage_replies(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    server.play = lambda _: (200, completion("EMPTY"))
    provider = OpenAIProvider(Endpoint(server.url), "m")
    assert provider.read(provider.attempt(provider.make_body(CHAT)).reply).text == "EMPTY"


# Sampling


@given(
    st.lists(st.floats(-30, 30), min_size=1, max_size=20),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.05, 2),
    st.floats(0.01, 1),
    st.data(),
)
def test_a_forbidden_token_is_never_drawn(logits, uniform, temperature, top_p, data):
    import numpy as np

    values = np.array(logits)
    banned = data.draw(st.sets(st.integers(0, len(logits) - 1), max_size=len(logits) - 1))
    values[list(banned)] = -np.inf
    drawn = sample_token(values, uniform, temperature=temperature, top_p=top_p)
    assert drawn not in banned
    assert sample_token(values, uniform, temperature=0.0, top_p=1.0) == values.argmax()


def test_tokens_are_drawn_as_often_as_they_should():
    import numpy as np

    logits = np.log(np.array([0.5, 0.3, 0.2]))
    rng = np.random.default_rng(0)
    drawn = [sample_token(logits, rng.random(), temperature=1.0, top_p=1.0) for _ in range(4000)]
    assert np.bincount(drawn) / 4000 == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    nucleus = {sample_token(logits, rng.random(), temperature=1.0, top_p=0.7) for _ in range(200)}
    assert nucleus == {0, 1}


def test_what_is_open_is_bounded_and_what_is_bounded_stays():
    schema = {
        "type": "object",
        "properties": {
            "open": {"type": "string"},
            "long": {"type": "string", "minLength": 500},
            "narrow": {"type": "string", "maxLength": 5},
            "chosen": {"enum": ["a"]},
            "pattern": {"type": "string", "pattern": "^a+$"},
            "many": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer", "minimum": 5_000_000},
            "share": {"type": "number", "maximum": 1},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    found = bounded_schema(schema, 200)
    fields = found["properties"]
    assert found["additionalProperties"] is False
    assert fields["open"]["maxLength"] < 400
    assert fields["long"]["maxLength"] == 500
    assert fields["narrow"]["maxLength"] == 5
    assert (fields["chosen"], fields["pattern"]) == (
        schema["properties"]["chosen"],
        schema["properties"]["pattern"],
    )
    assert fields["many"]["maxItems"] == 4
    assert fields["count"]["maximum"] > 5_000_000
    assert (fields["share"]["maximum"], fields["share"]["minimum"]) == (1, -1_000_000)
    assert "maxLength" in fields["either"]["anyOf"][0]
    assert "maxLength" not in schema["properties"]["open"], "the schema that was given is not touched"


# A local model


class Typist:
    """Answers four requests at a time with their number; what a local provider is to whoever asks."""

    model = "typist"
    batch_requests = 4

    def make_body(self, request):
        return {"messages": [each.content for each in request.messages]}

    def read(self, reply):
        return OpenAIProvider(Endpoint("http://h/v1"), "m").read(reply)

    def answer(self, bodies, seeds):
        return [Reply(200, completion(body["messages"][0], usage=(1, 1))) for body in bodies]


def test_a_cap_inside_a_batch_ends_the_asking(tmp_path):
    with ReplyJournal(tmp_path / "replies.jsonl") as journal:
        asker = Asker(Typist(), journal, RequestPacing(PacingSettings()), SpendingCaps(max_requests=6))
        answers = asker.ask(make_asks(asker, 12))
        assert (len(answers), asker.sent, len(journal.entries)) == (4, 4, 4)
        assert asker.ended == "the cap max_requests (6) is reached"


def test_a_stop_between_two_batches_keeps_the_first(tmp_path):
    with ReplyJournal(tmp_path / "replies.jsonl") as journal:
        asker = Asker(Typist(), journal, RequestPacing(PacingSettings()), SpendingCaps())
        answers = asker.ask(make_asks(asker, 12), answered=lambda *_: asker.stopped.set())
        assert (len(answers), len(journal.entries)) == (4, 4)


@pytest.fixture(scope="module")
def local():
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("llguidance", reason="the extra synth is not installed")
    return LocalModelProvider("demo", device="cpu", batch_requests=4)


def local_bodies(provider, schema, count=3, max_tokens=200, **settings):
    return [
        provider.make_body(
            ChatRequest((Message("user", f"Item {n}"),), max_tokens=max_tokens, schema=schema, **settings)
        )
        for n in range(count)
    ]


class TestSchemas:
    """Schemas that people write; each reply must be valid JSON that keeps to them."""

    CASES: ClassVar = {
        "review": {"type": "array", "items": SCHEMA, "minItems": 2, "maxItems": 2},
        "enum": {
            "type": "object",
            "required": ["label", "ok"],
            "properties": {"label": {"enum": ["ä", "b\n"]}, "ok": {"type": "boolean"}},
        },
        "nested": {
            "type": "object",
            "required": ["who", "tags"],
            "properties": {
                "who": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
                },
                "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                "price": {"type": "number"},
            },
        },
        "references": {
            "type": "array",
            "prefixItems": [{"$ref": "#/$defs/day"}, {"const": "fixed"}],
            "items": False,
            "minItems": 2,
            "$defs": {"day": {"type": "string", "format": "date"}},
        },
        "pattern": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"},
    }

    @pytest.mark.parametrize("name", CASES)
    def test_replies_keep_to_the_schema(self, local, name):
        jsonschema = pytest.importorskip("jsonschema")
        schema = self.CASES[name]
        bodies = local_bodies(local, schema)
        found = [local.read(each) for each in local.answer(bodies, [1, 2, 3])]
        for each in found:
            assert not each.is_cut
            value = json.loads(each.text)
            if name == "nested":  # uniqueItems is left to the check of each item
                value["tags"] = list(dict.fromkeys(value["tags"]))
            jsonschema.validate(value, schema)
            assert each.usage.output_tokens <= 200
            assert not each.usage.is_estimate
        if name in ("review", "nested"):
            assert len({each.text for each in found}) == 3


def test_a_seed_gives_its_reply_again_whatever_shares_the_batch(local):
    schema = TestSchemas.CASES["review"]
    bodies = local_bodies(local, schema)
    whole = local.answer(bodies, [1, 2, 3])
    assert local.answer(bodies, [1, 2, 3]) == whole
    assert local.answer(bodies[1:2], [2]) == whole[1:2]
    assert local.answer(bodies[1:2], [9]) != whole[1:2]
    assert local.answer([], []) == []


def test_no_temperature_is_the_likeliest_reply(local):
    bodies = local_bodies(local, TestSchemas.CASES["enum"], count=2, temperature=0.0)
    one, two = local.answer([bodies[0], bodies[0]], [1, 2])
    assert one == two


def test_free_text_needs_no_schema_and_ends_by_length(local):
    bodies = local_bodies(local, None, count=1, max_tokens=5)
    found = local.read(local.answer(bodies, [1])[0])
    assert found.usage.output_tokens <= 5


def test_a_reply_that_is_too_long_is_cut_and_says_so(local):
    schema = {"type": "array", "items": SCHEMA, "minItems": 50, "maxItems": 50}
    found = local.read(local.answer(local_bodies(local, schema, count=1, max_tokens=40), [1])[0])
    assert found.is_cut
    assert found.usage.output_tokens == 40


def test_an_end_that_is_near_closes_texts_with_words_and_not_with_brackets(local):
    text = {"type": "string", "minLength": 20, "maxLength": 400}
    item = {"type": "object", "required": ["text"], "properties": {"text": text}}
    schema = {"type": "array", "items": item, "minItems": 4, "maxItems": 4}
    for reply in local.answer(local_bodies(local, schema, max_tokens=160), [1, 2, 3]):
        found = local.read(reply)
        assert not found.is_cut
        texts = [each["text"] for each in json.loads(found.text)]
        assert all(len(each) >= 20 and set(each) - set("}]") for each in texts)


def test_a_number_that_could_go_on_ends_in_time(local):
    local_bodies(local, None, count=1)
    causal_model = local._causal_model
    grammars = Grammars(causal_model)
    logits = np.zeros(causal_model.n_embeddings)
    for text, logit in ((".", 20.0), ("1", 10.0)):
        logits[causal_model.tokenizer.convert_tokens_to_ids(text)] = logit
    row = RowSampler(
        grammars.matcher({"type": "number"}),
        np.random.default_rng(0),
        temperature=0.0,
        top_p=1.0,
        max_tokens=40,
        eos_ids=causal_model.eos_ids,
        closing_ids=grammars.closing_ids,
    )
    while not row.has_ended:
        row.draw(logits)
    assert len(row.token_ids) < 40
    assert float(causal_model.tokenizer.decode(row.token_ids)) == pytest.approx(1.1111, abs=1e-4)


def test_a_model_that_cannot_be_held_to_a_schema_says_why(local):
    local_bodies(local, None, count=1)
    causal_model = local._causal_model
    with pytest.raises(ConfigError, match="names no end token, so that it cannot be held to a schema"):
        Grammars(dataclasses.replace(causal_model, eos_ids=()))
    with pytest.raises(ConfigError, match=r"tokenizer cannot be held to a schema: .*fast"):
        Grammars(dataclasses.replace(causal_model, tokenizer=object()))


def test_a_prompt_past_the_context_is_cut_and_says_so(local):
    chat = ChatRequest((Message("user", "word " * 5000),), max_tokens=20, schema={"enum": ["a"]})
    reply = local.answer([local.make_body(chat)], [1])[0]
    assert json.loads(reply.body)["truncated_tokens"] > 1000
    assert local.read(reply).has_cut_prompt
    assert local.read(reply).text == '"a"'


def test_a_single_turn_is_the_prompt_as_it_stands(local):
    alone = ChatRequest((Message("user", "1+1="),), temperature=0.0, max_tokens=3)
    with_system = ChatRequest((Message("system", "Add."), *alone.messages), temperature=0.0, max_tokens=3)
    sizes = [
        local.read(local.answer([local.make_body(each)], [1])[0]).usage.input_tokens
        for each in (alone, with_system)
    ]
    assert sizes[0] == len(local._causal_model.tokenizer("1+1=")["input_ids"])
    assert sizes[1] > sizes[0]


def test_a_schema_that_no_grammar_holds_is_refused(local):
    with pytest.raises(ConfigError, match="grammar"):
        local.answer(local_bodies(local, {"type": "string", "pattern": "(?=a)b"}, count=1), [1])


def test_another_model_has_other_keys(local):
    body = local_bodies(local, None, count=1)[0]
    assert len(body["model_sha256"]) == 64
    assert "seed" not in body
    seeded = local.make_body(ChatRequest((Message("user", "Item 0"),), max_tokens=200, seed=1))
    assert request_key(seeded) != request_key(body)
    with pytest.raises(ConfigError, match="no model folder"):
        LocalModelProvider("./gone").make_body(CHAT)
