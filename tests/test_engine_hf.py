from __future__ import annotations

import threading

import numpy as np
import pytest

from tasksel.causal_model import load_model, model_sha256
from tasksel.engines.engine import ShardPrompts
from tasksel.engines.hf import HfEngine
from tasksel.generation import generate
from tasksel.hidden_states import embed_hidden_states
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")

NEW_TOKENS = 12
INSTRUCTION = "Add the numbers and write the sum, then translate it. "
PROMPTS = sorted(
    [
        "",
        "0123456789" * 2600,
        "quotes </s> and <s><|user|>",
        "café 東京\n",
        *(f"prompt {number} " + "word " * (number % 9) for number in range(24)),
    ],
    key=lambda prompt: -len(prompt.encode()),
)
SETTINGS = {"max_new_tokens": NEW_TOKENS, "device": "cpu", "batch_tokens": 400, "max_batch_rows": 7}
NUMBERS = ("token_logprobs", "token_entropy", "token_margin")


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(str(tiny_model_folder), device="cpu")


@pytest.fixture(scope="module")
def open_engine(tiny_model_folder):
    """Give a function that starts an engine of the tiny model; all are closed at the end."""
    engines = []

    def open_one(**settings):
        engines.append(HfEngine(str(tiny_model_folder), **(SETTINGS | settings)))
        engines[-1].start()
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def engine(open_engine):
    return open_engine()


def collect(engine, shards, stopped=None):
    """Give the answers by shard and position, and the batches as they came."""
    batches = list(engine.answer(shards, stopped or threading.Event()))
    answers = {
        (batch.number, position): answer
        for batch in batches
        for position, answer in zip(batch.positions, batch.answers, strict=True)
    }
    assert len(answers) == sum(len(batch.positions) for batch in batches), "a position was given twice"
    return answers, batches


def assert_close(found, expected, atol=1e-5):
    np.testing.assert_array_equal(found.token_ids, expected.token_ids)
    assert (found.text, found.finish_reason) == (expected.text, expected.finish_reason)
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol, rtol=0)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.token_ids, expected.token_ids)
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_answers_are_those_of_generate_for_each_prompt_alone(engine, tiny):
    shards = [ShardPrompts(0, PROMPTS[:20]), ShardPrompts(5, PROMPTS[20:])]
    answers, batches = collect(engine, shards)
    assert max(len(batch.positions) for batch in batches) > 1
    encoder = PromptEncoder(tiny, prompt_template=None, max_new_tokens=NEW_TOKENS)
    for shard in shards:
        for position, encoded in enumerate(encoder.encode(shard.prompts)):
            answer = answers.pop((shard.number, position))
            (alone,) = generate(tiny, [encoded.token_ids], max_new_tokens=NEW_TOKENS)
            assert_close(answer.generation, alone)
            assert answer.prompt_tokens == len(encoded.token_ids)
            assert answer.truncated_tokens == encoded.truncated_tokens
            assert answer.refusal is None
            assert answer.hidden_mean is None
    assert not answers


def test_a_prompt_beyond_the_context_is_cut_and_counted(engine, tiny):
    answers, _ = collect(engine, [ShardPrompts(0, ["0123456789" * 2600, ""])])
    assert answers[0, 0].prompt_tokens == tiny.context_tokens - NEW_TOKENS
    assert answers[0, 0].truncated_tokens > 20_000
    assert (answers[0, 1].prompt_tokens, answers[0, 1].truncated_tokens) == (1, 0)


def test_batches_follow_from_the_shard_whatever_is_answered(engine):
    whole, batches = collect(engine, [ShardPrompts(0, PROMPTS)])
    first, second = batches[0].positions, batches[1].positions
    answered = frozenset([*first, *second[:-1]])
    rest, resumed = collect(engine, [ShardPrompts(0, PROMPTS, answered)])
    assert resumed[0].positions == second[-1:]
    assert {position for _, position in rest} == set(range(len(PROMPTS))) - answered
    for key, answer in rest.items():
        assert_same(answer.generation, whole[key].generation)


def test_a_shard_that_is_wholly_answered_is_left_out(engine, monkeypatch):
    monkeypatch.setattr(type(engine._loaded.generator), "answer", lambda *_: pytest.fail("generated"))
    shards = [ShardPrompts(0, PROMPTS, frozenset(range(len(PROMPTS)))), ShardPrompts(1, [])]
    assert collect(engine, shards) == ({}, [])


def test_what_is_under_way_is_finished_when_it_is_stopped(engine):
    stopped = threading.Event()
    taken = []

    def shards():
        for number in range(50):
            taken.append(number)
            yield ShardPrompts(number, PROMPTS)

    given = []
    for batch in engine.answer(shards(), stopped):
        given.append(batch)
        if len(given) == 2:
            stopped.set()
    assert len(given) == 2
    assert len(taken) <= 2, "no more than the next shard is taken ahead"


def test_an_error_of_the_tokenizing_thread_arrives(engine):
    with pytest.raises(TypeError):
        collect(engine, [ShardPrompts(0, ["fine", None])])


def test_a_lack_of_memory_halves_the_batch_and_is_counted(open_engine):
    engine = open_engine()
    expected, _ = collect(engine, [ShardPrompts(0, PROMPTS)])
    loop = engine._loaded.generator.loop
    real = loop.answer

    def run_out_of_memory(prompts, **rest):  # lack of memory cannot be had on a CPU
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return real(prompts, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "answer", run_out_of_memory)
        found, _ = collect(engine, [ShardPrompts(0, PROMPTS)])
    assert engine.split_batches > 0
    for key, answer in found.items():
        assert_close(answer.generation, expected[key].generation)
    splits = engine.split_batches
    engine.close()
    assert engine.split_batches == splits


def test_a_shared_instruction_is_read_once_and_changes_nothing(open_engine, tiny):
    prompts = [INSTRUCTION + prompt for prompt in ["7 8", "6 </s>", "5", "4 and", "9", ""]]
    states = []
    passes = []
    for shares_prefix in (True, False):
        engine = open_engine(shares_prefix=shares_prefix, records_hidden=True)
        assert engine._loaded.generator.loop is not None
        seen = passes_of(engine._loaded.causal_model.model)
        answers, _ = collect(engine, [ShardPrompts(0, prompts)])
        passes.append(seen[0])
        states.append([answers[0, position] for position in range(len(prompts))])
    assert passes[0][0] == 1, "the first pass reads one row: what all share"
    assert passes[1][0] == len(prompts)
    for shared, plain in zip(*states, strict=True):
        assert_close(shared.generation, plain.generation)
        np.testing.assert_allclose(shared.hidden_mean, plain.hidden_mean, rtol=1e-5, atol=1e-6)


def passes_of(network):
    """Give a list that fills with the shapes that a network reads."""
    shapes = []
    network.register_forward_pre_hook(
        lambda _module, _given, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    return shapes


@pytest.mark.parametrize("static_cache", [False, True])
def test_hidden_means_are_those_of_embedding_the_prompts(open_engine, tiny, static_cache):
    engine = open_engine(records_hidden=True, static_cache=static_cache)
    answers, _ = collect(engine, [ShardPrompts(0, PROMPTS)])
    encoder = PromptEncoder(tiny, prompt_template=None, max_new_tokens=NEW_TOKENS)
    kept = [place for place, prompt in enumerate(encoder.encode(PROMPTS)) if not prompt.truncated_tokens]
    expected = embed_hidden_states(tiny, [PROMPTS[place] for place in kept])
    for place, row in zip(kept, expected, strict=True):
        found = answers[0, place].hidden_mean
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, row, rtol=0, atol=1e-5 * np.abs(row).max())


def test_recording_hidden_states_changes_no_number(engine, open_engine):
    plain, _ = collect(engine, [ShardPrompts(0, PROMPTS)])
    recorded, _ = collect(open_engine(records_hidden=True), [ShardPrompts(0, PROMPTS)])
    for key, answer in recorded.items():
        assert_same(answer.generation, plain[key].generation)


def test_a_static_cache_gives_the_same_answers(engine, open_engine):
    expected, _ = collect(engine, [ShardPrompts(0, PROMPTS[-12:])])
    found, _ = collect(open_engine(static_cache=True), [ShardPrompts(0, PROMPTS[-12:])])
    for key, answer in found.items():
        assert_close(answer.generation, expected[key].generation)


def test_a_prompt_template_is_used(open_engine, tiny):
    answers, _ = collect(open_engine(prompt_template="Q: {prompt}\nA:"), [ShardPrompts(0, ["2 + 3"])])
    encoder = PromptEncoder(tiny, prompt_template="Q: {prompt}\nA:", max_new_tokens=NEW_TOKENS)
    (encoded,) = encoder.encode(["2 + 3"])
    (expected,) = generate(tiny, [encoded.token_ids], max_new_tokens=NEW_TOKENS)
    assert_close(answers[0, 0].generation, expected)


def test_it_says_what_answers_depend_on(tiny_model_folder):
    engine = HfEngine(str(tiny_model_folder), **SETTINGS, records_hidden=True)
    assert engine.name == "hf"
    asked = {"device": "cpu", "dtype": "auto", "attention": "auto", "max_new_tokens": NEW_TOKENS}
    assert asked.items() <= dict(engine.settings).items()
    started = engine.start()
    assert {"device": "cpu", "dtype": "float32", "attention": "sdpa"}.items() <= started.settings.items()
    assert started.settings.keys() == engine.settings.keys()
    assert set(started.versions) == {"torch", "transformers", "tokenizers"}
    assert started.hidden_dimensions == 32
    engine.close()
    engine.close()


def test_a_model_is_identified_without_being_loaded(tiny_model_folder, monkeypatch):
    monkeypatch.setattr("tasksel.engines.hf.load_model", lambda *_, **__: pytest.fail("loaded"))
    engine = HfEngine(str(tiny_model_folder))
    expected = {"name": str(tiny_model_folder), "sha256": model_sha256(tiny_model_folder)}
    assert engine.identify_model() == expected


def test_a_missing_adapter_is_one_sentence(tiny_model_folder, tmp_path):
    with pytest.raises(ConfigError, match="adapter folder"):
        HfEngine(str(tiny_model_folder), adapter=str(tmp_path / "none")).identify_model()


@pytest.mark.parametrize("name", ["max_new_tokens", "batch_tokens", "max_batch_rows"])
def test_numbers_are_at_least_one(name):
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        HfEngine("demo", **{name: 0})
