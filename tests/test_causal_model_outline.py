from __future__ import annotations

import json

import pytest

from tasksel.causal_model import load_model
from tasksel.causal_model_outline import read_outline
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError

pytest.importorskip("torch", reason="the extra hf is not installed")
pytest.importorskip("transformers", reason="the extra hf is not installed")

PROMPTS = ["add two and three", "", "it quotes </s> and <|user|>", "long " * 200]


def assert_reads_as_loaded(model, **settings):
    outline, loaded = read_outline(model), load_model(model, device="cpu")
    assert outline.model is None
    for name in ("context_tokens", "eos_ids", "bos_id", "n_embeddings", "dtype"):
        assert getattr(outline, name) == getattr(loaded, name), name
    encoded, expected = (
        PromptEncoder(each, prompt_template=None, max_new_tokens=24).encode(PROMPTS)
        for each in (outline, loaded)
    )
    for one, other in zip(encoded, expected, strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
        assert one.truncated_tokens == other.truncated_tokens


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("adds_bos", [False, True])
def test_prompts_are_read_as_with_the_weights(save_tiny_model, tmp_path, chat, adds_bos):
    assert_reads_as_loaded(str(save_tiny_model(tmp_path, chat=chat, adds_bos=adds_bos)))


def test_the_demo_model_is_read():
    assert_reads_as_loaded("demo")


def test_end_tokens_are_those_of_the_generation_config(save_tiny_model, tmp_path):
    folder = save_tiny_model(tmp_path)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [2, 7]}))
    assert read_outline(str(folder)).eos_ids == (2, 7)
    assert_reads_as_loaded(str(folder))


def test_without_a_generation_config_they_are_those_of_the_model(save_tiny_model, tmp_path):
    folder = save_tiny_model(tmp_path)
    (folder / "generation_config.json").unlink()
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": 7}))
    assert read_outline(str(folder)).eos_ids == (7,)
    assert_reads_as_loaded(str(folder))


def test_no_weights_are_needed(save_tiny_model, tmp_path):
    folder = save_tiny_model(tmp_path)
    (folder / "model.safetensors").unlink()
    assert read_outline(str(folder)).context_tokens == 128


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no model"):
        read_outline(str(tmp_path))
