from __future__ import annotations

import dataclasses
import inspect
import json

import numpy as np
import pytest

from tasksel.generation import BatchGenerator, TokenRecorder, generate, load_model
from tasksel.generation_cache import _roomy_layer
from tasksel.generation_loop import GreedyLoop, shared_prefix_tokens
from tasksel.generation_states import PromptStates
from tasksel.hidden_states import embed_hidden_states
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError, TaskselError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

NEW_TOKENS = 24
PROMPTS = [f"prompt {number} " + "word " * (number % 9) for number in range(40)]
BOS, EOS, USER = 1, 2, 3


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(str(tiny_model_folder))


def encode(causal_model, prompts):
    return PromptEncoder(causal_model, prompt_template=None, max_new_tokens=NEW_TOKENS).encode(prompts)


def answer(causal_model, prompts, **settings):
    token_ids = [encoded.token_ids for encoded in encode(causal_model, prompts)]
    return generate(causal_model, token_ids, **({"max_new_tokens": NEW_TOKENS} | settings))


def recompute(causal_model, prompt_ids, token_ids):
    """Teacher-forced forward pass of one row without padding or cache, the rest in float64 numpy."""
    both = torch.tensor([[*prompt_ids.tolist(), *token_ids.tolist()]])
    with torch.inference_mode():
        logits = (
            causal_model.model(both, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].double().numpy()
        )
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ordered = np.sort(probabilities, axis=1)
    return {
        "argmax": probabilities.argmax(axis=1),
        "logprobs": np.log(probabilities[np.arange(len(token_ids)), token_ids]),
        "entropy": -(probabilities * np.log(probabilities)).sum(axis=1),
        "margin": ordered[:, -1] - ordered[:, -2],
    }


def test_numbers_are_those_of_a_teacher_forced_pass_without_padding(tiny):
    encoded = encode(tiny, PROMPTS)
    generations = generate(tiny, [prompt.token_ids for prompt in encoded], max_new_tokens=NEW_TOKENS)
    assert {generation.finish_reason for generation in generations} == {"stop", "length"}
    for prompt, generation in zip(encoded, generations, strict=True):
        naive = recompute(tiny, prompt.token_ids, generation.token_ids)
        np.testing.assert_array_equal(generation.token_ids, naive["argmax"])
        np.testing.assert_allclose(generation.token_logprobs, naive["logprobs"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(generation.token_entropy, naive["entropy"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(generation.token_margin, naive["margin"], atol=1e-4, rtol=0)


def test_a_row_alone_gives_the_numbers_of_the_row_in_a_batch(tiny):
    together = answer(tiny, PROMPTS)
    for prompt, batched in zip(PROMPTS, together, strict=True):
        (alone,) = answer(tiny, [prompt])
        np.testing.assert_array_equal(alone.token_ids, batched.token_ids)
        assert alone.text == batched.text
        for name in ("token_logprobs", "token_entropy", "token_margin"):
            np.testing.assert_allclose(getattr(alone, name), getattr(batched, name), atol=3e-5, rtol=0)


def test_an_answer_ends_with_its_first_end_token_and_that_token_counts(tiny):
    for generation in answer(tiny, PROMPTS):
        ends = np.flatnonzero(generation.token_ids == EOS)
        if generation.finish_reason == "stop":
            assert ends.tolist() == [len(generation.token_ids) - 1]
        else:
            assert ends.tolist() == []
            assert len(generation.token_ids) == NEW_TOKENS
        assert len(generation.token_logprobs) == len(generation.token_entropy) == len(generation.token_ids)
        assert len(generation.token_margin) == len(generation.token_ids)
        assert "</s>" not in generation.text


def test_an_answer_of_nothing_but_the_end_token_has_one_token(save_tiny_model, tmp_path):
    always_ends = load_model(str(save_tiny_model(tmp_path)))
    with torch.no_grad():  # the output depends on nothing but a bias on the end token
        head = always_ends.model.lm_head.weight
        head.fill_(0.0)
        always_ends.model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(head)))
        always_ends.model.lm_head.bias[EOS] = 3.0
    (generation,) = answer(always_ends, ["anything"])
    assert generation.token_ids.tolist() == [EOS]
    assert generation.text == ""
    assert generation.finish_reason == "stop"
    expected = 3.0 - np.log(np.exp(3.0) + len(head) - 1)
    np.testing.assert_allclose(generation.token_logprobs, [expected], atol=1e-6)


def test_a_certain_token_keeps_the_digits_of_its_logprob():
    logits = torch.full((1, 50), -30.0)
    logits[0, 7] = 0.0
    recorder = TokenRecorder()
    recorder(torch.tensor([[0]]), logits)
    logprob, entropy, margin, second = recorder.finish(torch.tensor([[7]]))[0, :, 0].tolist()
    np.testing.assert_allclose(logprob, -49 * np.exp(-30.0), rtol=1e-5)  # float32 log(1 - p) would be 0
    np.testing.assert_allclose(entropy, 49 * np.exp(-30.0) * 31, rtol=1e-5)
    assert margin == pytest.approx(1.0)
    assert second == -30.0


def test_masked_logits_and_ties_are_measured():
    logits = torch.tensor([[2.0, 2.0, float("-inf"), 2.0]])
    recorder = TokenRecorder()
    recorder(torch.tensor([[0]]), logits)
    logprob, entropy, margin, second = recorder.finish(torch.tensor([[1]]))[0, :, 0].tolist()
    assert logprob == pytest.approx(-np.log(3))
    assert entropy == pytest.approx(np.log(3))
    assert margin == 0.0
    assert second == 0.0


def test_the_recorder_keeps_four_numbers_a_token_whatever_the_vocabulary():
    recorder = TokenRecorder()
    for step in range(5):
        recorder(
            torch.full((3, step + 1), 1), torch.randn(3, 1000, generator=torch.Generator().manual_seed(step))
        )
    assert [tuple(step.shape) for step in recorder.steps] == [(4, 3)] * 4
    assert all(step.untyped_storage().nbytes() == 4 * 3 * 4 for step in recorder.steps)


def test_one_step_more_than_was_returned_is_dropped():
    recorder = TokenRecorder()
    for step in range(3):
        recorder(
            torch.full((2, step + 1), 1), torch.randn(2, 10, generator=torch.Generator().manual_seed(step))
        )
    assert recorder.finish(torch.ones(2, 2, dtype=torch.int64)).shape == (2, 4, 2)


def test_sampling_defaults_of_the_model_do_not_touch_the_scores(save_tiny_model, tmp_path, tiny):
    folder = save_tiny_model(tmp_path)
    path = folder / "generation_config.json"
    shipped = json.loads(path.read_text())
    distorting = {
        "do_sample": True,
        "temperature": 2.0,
        "top_k": 5,
        "repetition_penalty": 1.7,
        "no_repeat_ngram_size": 2,
        "min_new_tokens": 20,
        "suppress_tokens": [5, 28, 117],
        "max_length": 30,
    }
    path.write_text(json.dumps(shipped | distorting))
    for plain, shipped_config in zip(
        answer(tiny, PROMPTS), answer(load_model(str(folder)), PROMPTS), strict=True
    ):
        np.testing.assert_array_equal(plain.token_ids, shipped_config.token_ids)
        np.testing.assert_array_equal(plain.token_logprobs, shipped_config.token_logprobs)


def test_every_end_token_of_the_generation_config_ends_an_answer(save_tiny_model, tmp_path, tiny):
    folder = save_tiny_model(tmp_path)
    second_end = int(answer(tiny, ["prompt 0 "])[0].token_ids[3])
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [EOS, second_end]}))
    causal_model = load_model(str(folder))
    assert causal_model.eos_ids == (EOS, second_end)
    (generation,) = answer(causal_model, ["prompt 0 "])
    assert generation.finish_reason == "stop"
    assert generation.token_ids[-1] == second_end


def test_a_replaced_generation_loop_is_noticed(tiny):
    class Contrary(TokenRecorder):
        def finish(self, new_token_ids):
            return super().finish((new_token_ids + 1) % 300)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasksel.generation.TokenRecorder", Contrary)
        with pytest.raises(TaskselError, match="not its most likely one"):
            answer(tiny, PROMPTS[:2], max_new_tokens=1)


def test_logits_that_are_not_finite_are_refused(save_tiny_model, tmp_path):
    broken = load_model(str(save_tiny_model(tmp_path)))
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(TaskselError, match=r"float32 are not finite.*bfloat16"):
        answer(broken, PROMPTS[:1])


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")],
    ids=["cuda", "cpu"],
)
def test_a_batch_beyond_the_memory_is_halved_and_the_order_kept(tiny, error):
    token_ids = [encoded.token_ids for encoded in encode(tiny, PROMPTS[:7])]
    generator = BatchGenerator(tiny, max_new_tokens=4)
    whole = generator.generate(token_ids)
    assert generator.split_batches == 0
    tried = []
    real = tiny.model.forward

    def run_out_of_memory(input_ids, **rest):  # a device of 2 rows: lack of memory cannot be had on a CPU
        tried.append(len(input_ids))
        if len(input_ids) > 2:
            raise error
        return real(input_ids=input_ids, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny.model, "forward", run_out_of_memory)
        halved = generator.generate(token_ids)
        assert [generation.text for generation in halved] == [generation.text for generation in whole]
        assert generator.split_batches == 3
        tried.clear()
        generator.generate(token_ids)
        assert max(tried) <= 2, "a batch as large as one that failed is not tried again"


def test_hidden_means_of_halves_are_those_of_the_whole(tiny):
    token_ids = [encoded.token_ids for encoded in encode(tiny, PROMPTS[:5])]
    generator = BatchGenerator(tiny, max_new_tokens=2, records_hidden=True)
    whole = generator.answer(token_ids).hidden_means
    real = tiny.model.forward

    def run_out_of_memory(input_ids, **rest):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("no room")
        return real(input_ids=input_ids, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny.model, "forward", run_out_of_memory)
        halves = generator.answer(token_ids).hidden_means
    assert generator.split_batches > 0
    np.testing.assert_allclose(halves, whole, rtol=0, atol=1e-5)


def test_one_prompt_beyond_the_memory_is_one_sentence(tiny):
    def run_out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("out of memory")

    generator = BatchGenerator(tiny, max_new_tokens=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator.loop, "answer", run_out_of_memory)
        with pytest.raises(ConfigError, match=r"prompt of 3 tokens and 4 new ones.*lower max_new_tokens"):
            generator.generate([np.array([1, 5, 6], dtype=np.int32)])


def test_another_error_of_the_model_is_not_taken_for_a_lack_of_memory(tiny):
    def fail(*_, **__):
        raise RuntimeError("shapes do not fit")

    generator = BatchGenerator(tiny, max_new_tokens=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator.loop, "answer", fail)
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            generator.generate([np.array([1, 5, 6], dtype=np.int32)] * 2)


def test_bfloat16_is_measured_in_float32(tiny_model_folder):
    causal_model = load_model(str(tiny_model_folder), device="cpu", dtype="bfloat16")
    assert causal_model.dtype == "bfloat16"
    generations = answer(causal_model, PROMPTS)
    assert all(generation.token_logprobs.dtype == np.float32 for generation in generations)
    assert all((generation.token_logprobs <= 0).all() for generation in generations)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GATED = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}
MODELS = {
    "qwen3": ("Qwen3Config", GATED, True),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}, None),
    "opt": ("OPTConfig", {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 16}, None),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
    "sliding windows": ("MistralConfig", {**GATED, "sliding_window": 8}, False),
    "windows in some layers": ("Gemma3TextConfig", {**GATED, "sliding_window": 8}, False),
    "no attention": ("MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, False),
}
"""Configuration of a small model, and whether the loop of our own must or must not take it."""


@pytest.mark.parametrize("kind", MODELS)
def test_other_models_give_what_generate_gives_by_whichever_loop(tiny, kind):
    name, settings, takes_loop = MODELS[kind]
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    config = getattr(transformers, name)(
        vocab_size=tiny.n_embeddings, initializer_range=0.3, **settings, **special
    )
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    network.generation_config = transformers.GenerationConfig()
    # Many end tokens, so that answers of random weights have different lengths.
    other = dataclasses.replace(tiny, model=network, eos_ids=tuple(range(2, 320, 16)), context_tokens=128)
    prompts = [
        encoded.token_ids for encoded in encode(other, ["a shared beginning of all " + p for p in PROMPTS])
    ]
    generator = BatchGenerator(other, max_new_tokens=NEW_TOKENS)
    if takes_loop is not None:
        assert (generator.loop is not None) == takes_loop
    assert_close(generator.generate(prompts), generate(other, prompts, max_new_tokens=NEW_TOKENS))


def assert_close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)
        assert (ours.text, ours.finish_reason) == (theirs.text, theirs.finish_reason)
        for name in ("token_logprobs", "token_entropy", "token_margin"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=2e-5, rtol=0)


@pytest.mark.parametrize("shares_prefix", [False, True])
@pytest.mark.parametrize("drops_ended", [False, True])
@pytest.mark.parametrize("max_new_tokens", [1, 24])
def test_the_loop_gives_what_generate_gives(tiny, shares_prefix, drops_ended, max_new_tokens):
    prompts = ["The quick brown fox jumps over the lazy dog; " + prompt for prompt in PROMPTS]
    prompts = [encoded.token_ids for encoded in encode(tiny, prompts)]
    loop = GreedyLoop(tiny, shares_prefix=shares_prefix, drops_ended=drops_ended)
    states = PromptStates(tiny.model, is_wanted=False)
    new_token_ids, measured = loop.answer(prompts, max_new_tokens=max_new_tokens, states=states)
    for row, expected in enumerate(generate(tiny, prompts, max_new_tokens=max_new_tokens)):
        stop = len(expected.token_ids)
        np.testing.assert_array_equal(new_token_ids[row, :stop], expected.token_ids)
        np.testing.assert_allclose(measured[:stop, 0, row], expected.token_logprobs, atol=2e-5, rtol=0)
        np.testing.assert_allclose(measured[:stop, 2, row], expected.token_margin, atol=2e-5, rtol=0)


def test_ended_rows_leave_the_batch(tiny):
    rows = []
    prompts = [encoded.token_ids for encoded in encode(tiny, PROMPTS)]
    hook = tiny.model.register_forward_pre_hook(
        lambda _module, _given, named: rows.append(len(named["input_ids"])), with_kwargs=True
    )
    BatchGenerator(tiny, max_new_tokens=NEW_TOKENS).generate(prompts)
    hook.remove()
    assert rows[-1] < rows[-NEW_TOKENS]


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_loop_is_used_whatever_a_model_calls_its_cache(tiny, monkeypatch, name):
    forward = tiny.model.forward
    (theirs,) = {"cache", "past_key_values"} & inspect.signature(forward).parameters.keys()
    parameters = ["input_ids", "attention_mask", "position_ids", "logits_to_keep", name]
    kinds = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None) for each in parameters]

    def renamed(**given):
        return forward(**{theirs if each == name else each: value for each, value in given.items()})

    renamed.__signature__ = inspect.Signature(kinds)
    loop = GreedyLoop(tiny)
    prompts = [encoded.token_ids for encoded in encode(tiny, PROMPTS)]
    expected = loop.answer(prompts, max_new_tokens=3, states=PromptStates(tiny.model, is_wanted=False))
    monkeypatch.setattr(tiny.model, "forward", renamed)
    assert GreedyLoop.fits(tiny)
    answered = GreedyLoop(tiny).answer(
        prompts, max_new_tokens=3, states=PromptStates(tiny.model, is_wanted=False)
    )
    np.testing.assert_array_equal(answered[0], expected[0])


def test_rows_that_are_asked_for_ends_every_few_steps_lose_nothing(tiny):
    prompts = [encoded.token_ids for encoded in encode(tiny, PROMPTS)]
    generator = BatchGenerator(tiny, max_new_tokens=NEW_TOKENS)
    generator.loop._steps_per_check = 8  # as on an accelerator
    assert_close(generator.generate(prompts), generate(tiny, prompts, max_new_tokens=NEW_TOKENS))


def test_prompts_without_padding_need_no_mask(tiny):
    prompts = [np.array([1, 5, 6 + row], dtype=np.int32) for row in range(9)]
    generator = BatchGenerator(tiny, max_new_tokens=NEW_TOKENS)
    assert_close(generator.generate(prompts), generate(tiny, prompts, max_new_tokens=NEW_TOKENS))


def test_equal_prompts_share_all_but_their_last_token(tiny):
    prompts = [np.arange(1, 40, dtype=np.int32)] * 6
    assert shared_prefix_tokens(prompts) == 38
    generator = BatchGenerator(tiny, max_new_tokens=NEW_TOKENS)
    assert_close(generator.generate(prompts), generate(tiny, prompts, max_new_tokens=NEW_TOKENS))


def test_a_layer_without_states_of_its_own_stays_without():
    layer = _roomy_layer()()
    layer.select(torch.tensor([0, 0]), first_column=0)
    assert not layer.is_initialized
    keys = torch.arange(4.0).reshape(2, 1, 2, 1)
    layer.update(keys, keys)
    layer.select(torch.tensor([1, 0, 1]), first_column=1)
    assert layer.keys[:, 0, :, 0].tolist() == [[3.0], [1.0], [3.0]]


def test_a_loop_that_does_not_agree_is_not_used(tiny):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GreedyLoop, "answer", lambda *_, **__: (np.zeros((3, 3), int), np.zeros((3, 4, 3))))
        assert BatchGenerator(tiny, max_new_tokens=4).loop is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GreedyLoop, "answer", lambda *_, **__: {}["no such layer"])
        assert BatchGenerator(tiny, max_new_tokens=4).loop is None
    small = dataclasses.replace(tiny, context_tokens=8)
    assert BatchGenerator(small, max_new_tokens=4).loop is None


@pytest.mark.parametrize("has_base", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_hidden_means_come_from_the_pass_that_answers(tiny_model_folder, monkeypatch, has_base, dtype):
    causal_model = load_model(str(tiny_model_folder), device="cpu", dtype=dtype)
    prompts = [encoded.token_ids for encoded in encode(causal_model, PROMPTS)]
    expected = embed_hidden_states(causal_model, PROMPTS)
    if not has_base:
        monkeypatch.setattr(type(causal_model.model), "base_model", property(lambda model: model))
    generator = BatchGenerator(causal_model, max_new_tokens=NEW_TOKENS, records_hidden=True)
    found = generator.answer(prompts)
    tolerance = (1e-5 if dtype == "float32" else 2e-2) * np.abs(expected).max()
    np.testing.assert_allclose(found.hidden_means, expected, rtol=0, atol=tolerance)
    assert len(found.generations) == len(PROMPTS)
    assert BatchGenerator(causal_model, max_new_tokens=1).answer(prompts).hidden_means is None
