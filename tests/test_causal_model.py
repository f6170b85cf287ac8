from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tasksel.causal_model import find_model_folder, load_model, model_sha256
from tasksel.generation import generate
from tasksel_core.errors import ConfigError

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")


@pytest.mark.parametrize(
    "model", ["./nowhere", "/nowhere/at/all", "~/nowhere-model", "~nobody-of-that-name/x", "a/b/c"]
)
def test_a_missing_folder_is_named(model):
    with pytest.raises(ConfigError, match=f"no model folder {model}"):
        load_model(model)


def test_a_name_that_the_hub_does_not_give_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="'nobody/no-such-model' is no folder here"):
        find_model_folder("nobody/no-such-model")


def test_a_name_that_cannot_be_a_hub_name_is_one_sentence():
    with pytest.raises(ConfigError, match="neither a folder nor a name on the Hugging Face hub"):
        find_model_folder("no such model!")


def test_folders_that_hold_no_model_are_one_sentence(tmp_path, save_tiny_model):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no model: it has no config\.json"):
        load_model(str(tmp_path / "empty"))
    file = tmp_path / "file.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file"):
        load_model(str(file))


def test_a_model_without_tokenizer_is_one_sentence(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ConfigError, match="has no tokenizer that can be read"):
        load_model(str(folder))


def test_a_tokenizer_of_special_tokens_alone_is_none(tmp_path, save_tiny_model):
    from tokenizers import Tokenizer, models

    folder = save_tiny_model(tmp_path)
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    made_up = Tokenizer(models.WordLevel(dict(zip(special.values(), range(3), strict=True)), "<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=made_up, **special).save_pretrained(folder)
    with pytest.raises(ConfigError, match="has no tokenizer that can be read: no file holds its tokens"):
        load_model(str(folder))


def test_a_model_that_is_no_causal_language_model_is_named(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"architectures": ["LlamaForSequenceClassification"]})
    )
    with pytest.raises(ConfigError, match=r"is LlamaForSequenceClassification, not a causal language model"):
        load_model(str(folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_model(str(folder))


def test_missing_and_damaged_weights_are_named(tmp_path, save_tiny_model):
    from safetensors.torch import load_file, save_file

    folder = save_tiny_model(tmp_path)
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    tensors.pop("lm_head.weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 of its weights \(the first is lm_head\.weight\)"):
        load_model(str(folder))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(str(folder))
    weights.unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(str(folder))


def test_a_model_that_names_no_end_token_answers_until_the_limit(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        no_token = {key: None for key in content if key.startswith(("eos_token", "pad_token"))}
        (folder / name).write_text(json.dumps(content | no_token))
    causal_model = load_model(str(folder), device="cpu")
    assert (causal_model.eos_ids, causal_model.pad_id) == ((), 0)
    short, long = np.array([5], dtype=np.int32), np.array([5, 6, 7], dtype=np.int32)
    both = generate(causal_model, [short, long], max_new_tokens=40)
    assert [(len(each.token_ids), each.finish_reason) for each in both] == [(40, "length")] * 2
    (alone,) = generate(causal_model, [short], max_new_tokens=40)
    np.testing.assert_array_equal(alone.token_ids, both[0].token_ids)


def test_unknown_devices_and_dtypes_list_what_is_allowed(tiny_model_folder):
    with pytest.raises(ConfigError, match="auto, bfloat16, float16, float32"):
        load_model(str(tiny_model_folder), dtype="int8")
    with pytest.raises(ConfigError, match="allowed are auto, cpu, cuda, cuda:N and mps"):
        load_model(str(tiny_model_folder), device="toaster")
    with pytest.raises(ConfigError, match="'cuda:99' cannot be used here"):
        load_model(str(tiny_model_folder), device="cuda:99")


@pytest.mark.parametrize("whole_bytes", [2**26, 0], ids=["hashed-whole", "sampled"])
def test_the_hash_of_a_model_follows_its_content(tmp_path, save_tiny_model, monkeypatch, whole_bytes):
    monkeypatch.setattr("tasksel.causal_model_folder._HASHED_WHOLE_BYTES", whole_bytes)
    first = save_tiny_model(tmp_path / "first")
    same = save_tiny_model(tmp_path / "same")
    (same / "README.md").write_text("not part of the model")
    other = save_tiny_model(tmp_path / "other", seed=1)
    assert model_sha256(first) == model_sha256(same) != model_sha256(other)
    tokenizer = same / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert model_sha256(first) != model_sha256(same)


def test_a_large_file_that_is_no_safetensors_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tasksel.causal_model_folder._HASHED_WHOLE_BYTES", 0)
    (tmp_path / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not json")
    with pytest.raises(ConfigError, match=r"model\.safetensors is not a safetensors file"):
        model_sha256(tmp_path)


def test_loading_prints_nothing_and_leaves_the_verbosity_alone(tiny_model_folder, capfd):
    before = transformers.logging.get_verbosity()
    generate(load_model(str(tiny_model_folder)), [np.array([1, 5], dtype=np.int32)], max_new_tokens=2)
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.get_verbosity() == before


def test_importing_the_modules_imports_no_torch():
    code = (
        "import sys, tasksel.generation, tasksel.scoring; print({'torch', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
