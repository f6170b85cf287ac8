from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tasksel.causal_model import load_model
from tasksel.hidden_states import embed_hidden_states
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

PROMPTS = ["2 + 3 =", "", "a longer prompt of many words, " * 8, "</s>", "2 + 3 =", "café 東京\n", "x"]
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
CONFIGS = {
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}),
    "opt": ("OPTConfig", {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 16, "max_position_embeddings": 256}),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "qwen3": (
        "Qwen3Config",
        {**SMALL, "intermediate_size": 64, "num_key_value_heads": 1, "head_dim": 16},
    ),
}


@pytest.fixture(scope="module")
def demo():
    return load_model("demo", device="cpu")


def naive_embeddings(causal_model, prompts, prompt_template=None):
    """Read each prompt alone, with logits and all layers, and average in float64."""
    encoder = PromptEncoder(causal_model, prompt_template=prompt_template, max_new_tokens=0)
    means = []
    for prompt in encoder.encode(prompts):
        ids = torch.from_numpy(prompt.token_ids.astype(np.int64))[None]
        with torch.no_grad():
            states = causal_model.model(ids, output_hidden_states=True).hidden_states[-1]
        means.append(states[0].double().mean(dim=0).numpy())
    return np.array(means)


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
@pytest.mark.parametrize("prompt_template", [None, "Q: {prompt}\nA:"])
def test_embeddings_are_those_of_reading_each_prompt_alone(demo, batch_tokens, prompt_template):
    found = embed_hidden_states(demo, PROMPTS, prompt_template=prompt_template, batch_tokens=batch_tokens)
    assert (found.shape, found.dtype) == ((len(PROMPTS), 128), np.float32)
    np.testing.assert_allclose(found, naive_embeddings(demo, PROMPTS, prompt_template), atol=1e-5)


def test_rows_follow_their_prompts(demo):
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    found = embed_hidden_states(demo, [PROMPTS[row] for row in order], batch_tokens=64)
    np.testing.assert_allclose(found, embed_hidden_states(demo, PROMPTS, batch_tokens=64)[order], atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_other_decoders_are_embedded_too(demo, kind):
    name, settings = CONFIGS[kind]
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = getattr(transformers, name)(vocab_size=demo.n_embeddings, **settings, **special)
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    other = dataclasses.replace(demo, model=network, context_tokens=256)
    found = embed_hidden_states(other, PROMPTS)
    assert np.ptp(found, axis=0).min() > 0
    if kind == "opt":  # its hidden states are projected before the head reads them
        expected = np.concatenate([embed_hidden_states(other, [prompt]) for prompt in PROMPTS])
    else:
        expected = naive_embeddings(other, PROMPTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_without_a_base_model_of_its_own_is_called_whole(demo, monkeypatch):
    expected = embed_hidden_states(demo, PROMPTS)
    monkeypatch.setattr(type(demo.model), "base_model", property(lambda model: model))
    np.testing.assert_allclose(embed_hidden_states(demo, PROMPTS), expected, atol=1e-6)


def test_no_prompts_give_no_rows(demo):
    assert embed_hidden_states(demo, []).shape == (0, 128)


def test_prompts_that_do_not_fit_lose_tokens_on_the_left(tiny_model_folder):
    causal_model = load_model(str(tiny_model_folder), device="cpu")
    long = embed_hidden_states(causal_model, ["early " * 400 + "late " * 400])
    np.testing.assert_allclose(long, embed_hidden_states(causal_model, ["late " * 400]), atol=1e-5)


def test_a_batch_holds_something(demo):
    with pytest.raises(ConfigError, match="batch_tokens is 0"):
        embed_hidden_states(demo, PROMPTS, batch_tokens=0)
