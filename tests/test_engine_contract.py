"""What scoring relies on, whichever engine answers."""

from __future__ import annotations

import json
import threading
from itertools import permutations

import numpy as np
import pytest

from tasksel.engines.engine import ShardPrompts
from tasksel.engines.hf import HfEngine
from tasksel.engines.openai import OpenAIEngine
from token_server import running_server  # noqa: F401 - a fixture

MAX_NEW_TOKENS = 24
SECRET = "sk-planted-secret-of-the-test"
SHARDS = [
    ["Translate to French: good morning, where is the station?", "Add two and three.", "the dog", "a"],
    ["def add(a, b):\n    return a + b\n", "The quick brown fox", "naïve 🦊 日本", "fox jumps", "b"],
    ["Write the sum of two and three, then the sum of three and two.", "The sum", "the sum", "c"],
]


def make_hf(models, realm):
    return HfEngine(str(models["tiny"]), max_new_tokens=MAX_NEW_TOKENS, device="cpu", batch_tokens=128)


def make_openai(models, realm):
    return OpenAIEngine(
        "tiny", base_url=realm.url(), max_new_tokens=MAX_NEW_TOKENS, max_concurrency=4, timeout_s=60.0
    )


FACTORIES = {"hf": make_hf, "openai": make_openai}


@pytest.fixture(params=FACTORIES)
def make_engine(request, running_server, monkeypatch):  # noqa: F811 - pytest passes the fixture
    """Give a function that makes a new engine over the same model; all of them are closed."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    realm = running_server.realm(request.node.nodeid)
    made = []

    def make():
        made.append(FACTORIES[request.param](running_server.models, realm))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(make_engine):
    engine = make_engine()
    engine.start()
    return engine


def make_shards(shards=SHARDS, answered=None):
    return [
        ShardPrompts(
            number,
            sorted(prompts, key=lambda prompt: -len(prompt.encode())),
            frozenset((answered or {}).get(number, ())),
        )
        for number, prompts in enumerate(shards)
    ]


def collect(engine, shards, stopped=None):
    """Give every answer by shard and position; none may come twice."""
    found = {}
    for batch in engine.answer(iter(shards), stopped or threading.Event()):
        assert len(batch.positions) == len(batch.answers) > 0
        for position, answer in zip(batch.positions, batch.answers, strict=True):
            assert (batch.number, position) not in found
            found[batch.number, position] = answer
    return found


def by_prompt(engine, shards):
    found = collect(engine, shards)
    return {shards[number].prompts[position]: each.generation for (number, position), each in found.items()}


def assert_same(first, second):
    assert first.text == second.text
    assert first.finish_reason == second.finish_reason
    np.testing.assert_allclose(first.token_logprobs, second.token_logprobs, atol=1e-4)


def every_place(shards):
    return {
        (shard.number, position)
        for shard in shards
        for position in range(len(shard.prompts))
        if position not in shard.answered
    }


def test_every_position_is_answered_once(engine):
    shards = make_shards()
    assert collect(engine, shards).keys() == every_place(shards)


def test_answers_are_whole_and_their_numbers_possible(engine):
    for answer in collect(engine, make_shards()).values():
        generation = answer.generation
        assert answer.refusal is None
        assert answer.prompt_tokens > 0
        n_tokens = len(generation.token_logprobs)
        assert 0 < n_tokens <= MAX_NEW_TOKENS
        assert generation.finish_reason in ("stop", "length")
        assert generation.finish_reason == "stop" or n_tokens == MAX_NEW_TOKENS
        assert isinstance(generation.text, str)
        if generation.token_ids is not None:
            assert generation.token_ids.shape == (n_tokens,)
            assert generation.token_ids.dtype == np.int32
        for numbers in (generation.token_logprobs, generation.token_entropy, generation.token_margin):
            assert numbers.shape == (n_tokens,)
            assert numbers.dtype == np.float32
            assert np.isfinite(numbers).all()
        assert (generation.token_logprobs <= 0.0).all()
        assert (generation.token_entropy >= 0.0).all()
        assert ((generation.token_margin >= 0.0) & (generation.token_margin <= 1.0)).all()


def test_some_answers_end_and_some_are_cut(engine):
    reasons = {each.generation.finish_reason for each in collect(engine, make_shards()).values()}
    assert reasons == {"stop", "length"}


def test_decoding_is_greedy(engine):
    shards = make_shards()
    first, second = collect(engine, shards), collect(engine, shards)
    for place, answer in first.items():
        assert_same(answer.generation, second[place].generation)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1::2])
def test_answers_do_not_depend_on_the_order_of_prompts_and_shards(engine, order):
    usual = by_prompt(engine, make_shards())
    other = by_prompt(engine, make_shards([SHARDS[number][::-1] for number in order]))
    assert usual.keys() == other.keys()
    for prompt, generation in usual.items():
        assert_same(generation, other[prompt])


def test_what_is_answered_is_left_out(engine):
    shards = make_shards(answered={0: {0, 2}, 1: range(5)})
    found = collect(engine, shards)
    assert found.keys() == every_place(shards)
    usual = collect(engine, make_shards())
    for place, answer in found.items():
        assert_same(answer.generation, usual[place].generation)


def test_equal_prompts_are_all_answered(engine):
    shards = make_shards([["the dog", "a", "the dog"], ["the dog"]])
    found = collect(engine, shards)
    assert found.keys() == every_place(shards)
    assert len({found[place].generation.text for place in [(0, 0), (0, 1), (1, 0)]}) == 1


def test_nothing_is_a_case(engine):
    assert collect(engine, []) == {}
    assert collect(engine, [ShardPrompts(0, [])]) == {}
    assert collect(engine, make_shards(answered={number: range(5) for number in range(3)})) == {}


def test_shards_are_taken_one_after_the_other_and_numbers_are_kept(engine):
    shards = [shard._replace(number=10 * shard.number + 5) for shard in make_shards()]
    taken = []

    def give():
        for shard in shards:
            taken.append(shard.number)
            yield shard

    assert collect(engine, give()).keys() == every_place(shards)
    assert taken == [5, 15, 25]


def test_a_stopped_engine_gives_what_was_under_way_and_begins_nothing(engine):
    shards = make_shards([[f"{word} {number}" for number in range(40)] for word in ("the", "fox")])
    stopped = threading.Event()
    found = {}
    for batch in engine.answer(iter(shards), stopped):
        stopped.set()
        found.update({(batch.number, position): None for position in batch.positions})
    assert 0 < len(found) < 80
    rest = [
        shard._replace(answered=frozenset(place for number, place in found if number == shard.number))
        for shard in shards
    ]
    assert collect(engine, rest).keys() == every_place(shards) - found.keys()


def test_an_engine_that_is_stopped_already_does_nothing(engine):
    stopped = threading.Event()
    stopped.set()
    assert collect(engine, make_shards(), stopped) == {}


def test_a_walk_that_is_left_does_not_hang_and_the_engine_goes_on(engine):
    walk = engine.answer(iter(make_shards()), threading.Event())
    next(walk)
    walk.close()
    assert collect(engine, make_shards()).keys() == every_place(make_shards())


def test_settings_are_json_without_secrets(make_engine):
    engine = make_engine()
    before = dict(engine.settings)
    start = engine.start()
    assert before.keys() == start.settings.keys()
    assert before["max_new_tokens"] == start.settings["max_new_tokens"] == MAX_NEW_TOKENS
    text = json.dumps([before, dict(start.settings), dict(start.versions), dict(engine.identify_model())])
    assert SECRET not in text
    assert "auto" not in json.dumps(dict(start.settings))
    assert all(isinstance(version, str) for version in start.versions.values())
    assert isinstance(engine.name, str)


def test_the_model_is_identified_without_starting(make_engine):
    first, second = make_engine().identify_model(), make_engine().identify_model()
    assert first == second
    assert len(first["sha256"]) == 64


def test_a_second_start_finds_the_same(make_engine):
    assert make_engine().start() == make_engine().start()


def test_closing_twice_is_allowed_also_before_the_start(make_engine):
    unused, used = make_engine(), make_engine()
    used.start()
    collect(used, make_shards())
    for engine in (unused, used, unused, used):
        engine.close()
