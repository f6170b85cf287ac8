"""The engine vllm over a stand-in with vLLM's shapes, or over vLLM itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import test_engine_contract as contract
import vllm_stand_in
from tasksel.causal_model import load_model
from tasksel.engines import openai_replies, vllm_loading
from tasksel.engines.engine import ShardPrompts
from tasksel.engines.vllm import VllmEngine
from tasksel.engines.vllm_outputs import measure_top_logprobs, read_completion
from tasksel.generation import generate
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError, MissingExtraError, TaskselError

pytest.importorskip("torch", reason="the extra hf is not installed")
pytest.importorskip("transformers", reason="the extra hf is not installed")

VOCABULARY = 320
MEMORY_SHARE = 0.2
"""Of a machine on which other things run."""
NEW_TOKENS = contract.MAX_NEW_TOKENS
PROMPTS = [
    *(f"prompt {number} " + "word " * (number % 9) for number in range(40)),
    "",
    "it quotes </s> and <|user|>",
    "too long " * 60,
    "naïve 🦊 日本",
]
globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})
engine = contract.engine
"""Of the contract: an engine that has started."""


@pytest.fixture(scope="module")
def vllm():
    """Give vLLM, or its stand-in for as long as this module runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        vllm_stand_in.install(patch)
        import vllm

        yield vllm


@pytest.fixture(scope="module")
def folder(save_tiny_model, tmp_path_factory):
    return vllm_stand_in.save_model(tmp_path_factory.mktemp("vllm-model"), save_tiny_model, chat=True)


@pytest.fixture(scope="module")
def llm(vllm, folder):
    """Give one vLLM for many engines: a real one takes minutes to start."""
    llm = vllm.LLM(str(folder), dtype="float32", max_logprobs=VOCABULARY, enforce_eager=True, max_num_seqs=16)
    yield llm
    llm.llm_engine.engine_core.shutdown()


@pytest.fixture
def make_engine(llm, folder):
    """Give what the contract asks for."""
    return lambda: VllmEngine(str(folder), max_new_tokens=NEW_TOKENS, llm=llm)


@pytest.fixture(scope="module")
def causal_model(folder):
    return load_model(str(folder), device="cpu")


def encode(causal_model, **settings):
    settings = {"prompt_template": None, "max_new_tokens": NEW_TOKENS} | settings
    return PromptEncoder(causal_model, **settings).encode(PROMPTS)


def answer(engine):
    (batch,) = engine.answer([ShardPrompts(0, PROMPTS)], threading.Event())
    assert list(batch.positions) == list(range(len(PROMPTS)))
    return batch.answers


def assert_equal_answers(answers, encoded, expected, *, atol=1e-4):
    for given, prompt, generation in zip(answers, encoded, expected, strict=True):
        measured = given.generation
        assert given.prompt_tokens == len(prompt.token_ids)
        assert given.truncated_tokens == prompt.truncated_tokens
        np.testing.assert_array_equal(measured.token_ids, generation.token_ids)
        assert measured.text == generation.text
        assert measured.finish_reason == generation.finish_reason
        np.testing.assert_allclose(measured.token_logprobs, generation.token_logprobs, atol=atol, rtol=0)
        np.testing.assert_allclose(measured.token_margin, generation.token_margin, atol=atol, rtol=0)


@pytest.mark.parametrize("template", [None, "Q: {prompt}\nA:", "<s>{prompt}</s>"])
def test_answers_are_those_of_the_engine_hf(llm, folder, causal_model, template):
    engine = VllmEngine(str(folder), max_new_tokens=NEW_TOKENS, prompt_template=template, llm=llm)
    encoded = encode(causal_model, prompt_template=template)
    expected = generate(causal_model, [prompt.token_ids for prompt in encoded], max_new_tokens=NEW_TOKENS)
    assert {generation.finish_reason for generation in expected} == {"stop", "length"}
    assert any(prompt.truncated_tokens for prompt in encoded)
    assert_equal_answers(answer(engine), encoded, expected)


def test_an_answer_ends_with_any_end_token_of_the_model(make_engine, causal_model):
    assert causal_model.eos_ids == (2, 65)
    last = {int(given.generation.token_ids[-1]) for given in answer(make_engine())}
    assert last >= {2, 65}


def test_the_entropy_takes_what_is_not_listed_as_one_outcome(llm, folder, causal_model):
    encoded = encode(causal_model)
    full = answer(VllmEngine(str(folder), max_new_tokens=NEW_TOKENS, top_logprobs=VOCABULARY, llm=llm))
    few = answer(VllmEngine(str(folder), max_new_tokens=NEW_TOKENS, top_logprobs=5, llm=llm))
    expected = generate(causal_model, [prompt.token_ids for prompt in encoded], max_new_tokens=NEW_TOKENS)
    for whole, cut, prompt, generation in zip(full, few, encoded, expected, strict=True):
        assert (whole.generation.entropy_top_k, cut.generation.entropy_top_k) == (VOCABULARY, 5)
        np.testing.assert_allclose(whole.generation.token_entropy, generation.token_entropy, atol=1e-4)
        np.testing.assert_allclose(
            cut.generation.token_entropy,
            recompute_entropy(causal_model, prompt.token_ids, generation.token_ids, top_k=5),
            atol=1e-4,
        )
        assert (cut.generation.token_entropy <= generation.token_entropy + 1e-4).all()


def recompute_entropy(causal_model, prompt_ids, token_ids, *, top_k):
    """Give the truncated entropy of a teacher-forced pass, in plain Python."""
    import torch

    both = torch.tensor([[*prompt_ids.tolist(), *token_ids.tolist()]])
    with torch.inference_mode():
        logits = causal_model.model(both, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].double()
    entropies = []
    for row in logits.softmax(-1).numpy():
        listed = sorted(row, reverse=True)[:top_k]
        outcomes = [*listed, max(0.0, 1.0 - sum(listed))]
        entropies.append(-sum(p * np.log(p) for p in outcomes if p > 0.0))
    return entropies


def test_settings_of_a_vllm_that_is_given_are_read_from_it(make_engine):
    engine = make_engine()
    assert engine.settings == engine.start().settings
    assert engine.settings["dtype"] == "float32"
    assert engine.settings["device"] == "cpu"
    assert engine.settings["max_model_len"] == 128
    assert engine.settings["quantization"] is None


def test_a_longer_answer_than_the_context_is_refused_before_loading(folder, vllm):
    engine = VllmEngine(str(folder), max_new_tokens=128)
    with pytest.raises(ConfigError, match="at most 127 are allowed"):
        engine.start()
    with pytest.raises(ConfigError, match="at most 59 are allowed"):
        VllmEngine(str(folder), max_new_tokens=60, max_model_len=60).start()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; a whole number of at least 1"),
        ({"top_logprobs": 1}, "top_logprobs is 1; a whole number of at least 2"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0; a whole number of at least 1"),
        ({"max_model_len": 1}, "max_model_len is 1; a whole number of at least 2"),
        ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization is 0.0; a share above 0 and up to 1"),
        ({"dtype": "float8"}, "dtype is 'float8'; allowed are auto, bfloat16, float16, float32"),
        ({"prompt_template": "no place"}, "must hold it exactly once"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        VllmEngine("demo", **settings)


def make_llm(folder, **changes):
    config = {"model": str(folder), "logprobs_mode": "raw_logprobs", "max_logprobs": 20} | changes
    return SimpleNamespace(model_config=SimpleNamespace(**config))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "demo"}, "holds the model demo, not"),
        ({"logprobs_mode": "processed_logprobs"}, "logprobs_mode must be raw_logprobs"),
        ({"max_logprobs": 5}, "make it with max_logprobs=20"),
    ],
)
def test_a_vllm_that_does_not_suit_is_refused(folder, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        VllmEngine(str(folder), llm=make_llm(folder, **changes))


@pytest.mark.skipif(vllm_stand_in.HAS_VLLM, reason="vLLM is installed")
def test_without_vllm_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r'environment of its own.*pip install "tasksel\[vllm\]"'):
        VllmEngine("demo").start()


# Reading what vLLM gives


@pytest.fixture
def completion():
    """Give two tokens, the second of which ends the answer."""
    flat = vllm_stand_in.FlatLogprobs()
    for token_ids, logprobs in (([5, 5, 7], [-0.1, -0.1, -3.0]), ([2, 2, 9], [-0.5, -0.5, -1.5])):
        flat.append_fast(token_ids, logprobs, [1, 1, 2], [None] * 3)
    return SimpleNamespace(token_ids=[5, 2], logprobs=flat, finish_reason="stop")


def test_a_completion_is_read(completion, causal_model):
    generation = read_completion(completion, causal_model, 2)
    np.testing.assert_allclose(generation.token_logprobs, [-0.1, -0.5])
    np.testing.assert_allclose(
        generation.token_margin, np.exp([-0.1, -0.5]) - np.exp([-3.0, -1.5]), rtol=1e-6
    )
    assert generation.finish_reason == "stop"
    assert generation.entropy_top_k == 2
    assert generation.text == causal_model.tokenizer.decode([5])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda it: setattr(it, "finish_reason", "abort"), "for the reason 'abort'"),
        (lambda it: setattr(it, "token_ids", [5, 2, 2]), "gave 3 tokens and logprobs of 2"),
        (lambda it: setattr(it, "token_ids", [5, 3]), "not those of the tokens that it emitted"),
        (lambda it: it.logprobs.logprobs.__setitem__(0, float("nan")), "not finite"),
        (lambda it: it.logprobs.logprobs.__setitem__(2, 0.0), "not its most likely one"),
    ],
)
def test_a_completion_that_cannot_be_trusted_is_refused(completion, causal_model, damage, sentence):
    damage(completion)
    with pytest.raises(TaskselError, match=sentence):
        read_completion(completion, causal_model, 2)


def test_impossible_tokens_and_an_emitted_token_beyond_the_list_are_measured():
    logprobs = np.log([[0.25, 0.25, 0.25], [1.0, 1.0, 1.0]])
    logprobs[1, 2] = -np.inf
    entropy, margin = measure_top_logprobs(np.array([[4, 1, 2], [4, 4, 2]]), logprobs)
    np.testing.assert_allclose(entropy, [np.log(4.0), 0.0], atol=1e-6)
    np.testing.assert_allclose(margin, [0.0, 1.0])


def test_the_engine_openai_makes_the_same_numbers_of_the_same_logprobs():
    generator = np.random.default_rng(5)
    logits = generator.normal(0.0, 2.0, size=(50, 200))
    logprobs = -np.sort(-(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))), axis=1)[:, :20]
    ids = np.tile(np.arange(20), (50, 1))
    entropy, margin = measure_top_logprobs(
        np.column_stack([ids[:, 0], ids]), np.column_stack([logprobs[:, 0], logprobs])
    )
    listed = [{f"token_id:{place}": value for place, value in enumerate(row)} for row in logprobs.tolist()]
    columns = {
        "tokens": ["token_id:0"] * 50,
        "token_logprobs": logprobs[:, 0].tolist(),
        "top_logprobs": listed,
    }
    body = json.dumps({"choices": [{"text": "", "finish_reason": "length", "logprobs": columns}]})
    other = openai_replies.read_completion(body, top_k=20).generation
    np.testing.assert_allclose(entropy, other.token_entropy, atol=1e-6)
    np.testing.assert_allclose(margin, other.token_margin, atol=1e-6)


# Loading, which takes a real vLLM minutes


def make_loading(folder, **settings):
    """Give an engine that makes its own vLLM."""
    return VllmEngine(str(folder), max_new_tokens=NEW_TOKENS, gpu_memory_utilization=MEMORY_SHARE, **settings)


@pytest.mark.parametrize(("chosen", "inside"), [(None, "ERROR"), ("DEBUG", "DEBUG")])
def test_vllm_is_quiet_unless_a_level_was_chosen(monkeypatch, chosen, inside):
    if chosen is None:
        monkeypatch.delenv("VLLM_LOGGING_LEVEL", raising=False)
    else:
        monkeypatch.setenv("VLLM_LOGGING_LEVEL", chosen)
    with vllm_loading._quiet_vllm():
        assert os.environ["VLLM_LOGGING_LEVEL"] == inside
    assert os.environ.get("VLLM_LOGGING_LEVEL") == chosen


def test_a_model_is_loaded_and_let_go(folder, vllm, causal_model):
    engine = make_loading(folder, max_model_len=96)
    start = engine.start()
    assert start.settings["dtype"] == "bfloat16"  # vLLM's choice for float32 weights
    assert start.settings["max_model_len"] == 96
    assert start.settings["enable_prefix_caching"] is True
    assert start.versions["vllm"] == vllm.__version__
    answers = answer(engine)
    assert max(given.prompt_tokens for given in answers) == 96 - NEW_TOKENS
    engine.close()
    engine.close()


def test_what_vllm_cannot_load_is_a_sentence(folder, vllm):
    with pytest.raises(ConfigError, match="vLLM cannot load the model"):
        make_loading(folder, max_model_len=4096).start()


def test_a_vllm_that_has_died_is_a_sentence(folder, vllm):
    if vllm_stand_in.HAS_VLLM:
        pytest.skip("vLLM's processes are left alone")
    engine = make_loading(folder)
    engine.start()
    engine._loaded.llm.llm_engine.engine_core.shutdown()
    with pytest.raises(TaskselError, match="vLLM stopped answering: EngineCore encountered an issue"):
        answer(engine)


def test_an_adapter_answers_as_if_it_were_merged(folder, vllm, causal_model, tmp_path):
    adapter = vllm_stand_in.save_lora(tmp_path / "adapter")
    engine = make_loading(folder, adapter=str(adapter), dtype="float32")
    plain = make_loading(folder, dtype="float32")
    assert engine.identify_model()["adapter"] == str(adapter)
    assert engine.identify_model()["sha256"] != plain.identify_model()["sha256"]
    encoded = encode(causal_model)
    token_ids = [prompt.token_ids for prompt in encoded]
    with vllm_stand_in.merged(causal_model.model, SimpleNamespace(lora_path=str(adapter))):
        expected = generate(causal_model, token_ids, max_new_tokens=NEW_TOKENS)
    try:
        assert_equal_answers(answer(engine), encoded, expected, atol=1e-3)
    finally:
        engine.close()


def test_an_adapter_of_too_high_a_rank_is_refused(folder, vllm, tmp_path):
    adapter = vllm_stand_in.save_lora(tmp_path / "adapter", rank=513)
    with pytest.raises(ConfigError, match="has rank 513; vLLM takes ranks up to 512"):
        make_loading(folder, adapter=str(adapter)).start()


def test_the_module_imports_no_vllm():
    program = (
        "import sys, tasksel.engines.vllm; assert not {'vllm', 'torch', 'transformers'} & set(sys.modules)"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "python"), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": paths})
