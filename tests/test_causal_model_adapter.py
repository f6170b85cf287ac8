from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from tasksel.causal_model import find_adapter_folder, find_model_folder, load_model, model_sha256
from tasksel.causal_model_adapter import quiet_peft
from tasksel.scoring import score
from tasksel_core.errors import ConfigError, ResumeError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
peft = pytest.importorskip("peft", reason="the extra hf is not installed")

INPUT_IDS = torch.tensor([[1, 5, 9, 40, 77]])


def save_adapter(model_folder, folder, *, seed=0, rank=4, target_modules="all-linear"):
    """Save a LoRA adapter with random weights, and give the model that it belongs to."""
    network = load_model(str(model_folder), device="cpu").model
    with quiet_peft():
        config = peft.LoraConfig(r=rank, target_modules=target_modules, task_type="CAUSAL_LM")
        adapted = peft.get_peft_model(network, config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.normal_(0.0, 0.2, generator=generator)
        adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted.eval()


@pytest.fixture(scope="module")
def adapted(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    return save_adapter(tiny_model_folder, folder), folder


def test_a_model_with_an_adapter_answers_as_the_two_together(tiny_model_folder, adapted):
    model, folder = adapted
    loaded = load_model(str(tiny_model_folder), adapter=str(folder), device="cpu")
    with torch.inference_mode():
        expected, found = model(INPUT_IDS).logits, loaded.model(INPUT_IDS).logits
        base = load_model(str(tiny_model_folder), device="cpu").model(INPUT_IDS).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - base).abs().max() > 0.1
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert loaded.eos_ids == load_model(str(tiny_model_folder)).eos_ids


@pytest.mark.parametrize("targets", [["lm_head"], ["lm_head", "q_proj"], ["q_proj"]])
def test_an_adapter_of_the_output_layer_leaves_tied_embeddings_as_they_are(targets, tmp_path):
    expected_model = save_adapter("demo", tmp_path, target_modules=targets)
    loaded = load_model("demo", adapter=str(tmp_path), device="cpu").model
    with torch.inference_mode():
        expected, found = expected_model(INPUT_IDS).logits, loaded(INPUT_IDS).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    base = load_model("demo", device="cpu").model
    assert torch.equal(loaded.get_input_embeddings().weight, base.get_input_embeddings().weight)
    assert loaded.config.tie_word_embeddings == ("lm_head" not in targets)
    loaded.save_pretrained(tmp_path / "merged")
    again = type(loaded).from_pretrained(tmp_path / "merged").eval()
    with torch.inference_mode():
        torch.testing.assert_close(again(INPUT_IDS).logits, found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("inside", ["", "adapter", "training/adapter"])
def test_an_adapter_is_found_in_its_folder_or_that_of_its_training(adapted, tmp_path, inside):
    shutil.copytree(adapted[1], tmp_path / "run" / inside)
    assert find_adapter_folder(str(tmp_path / "run")) == tmp_path / "run" / inside


def test_the_base_that_an_adapter_names_may_have_moved(save_tiny_model, adapted, tmp_path):
    moved = save_tiny_model(tmp_path / "moved")
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[1], folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/nowhere/at/all"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    load_model(str(moved), adapter=str(folder))
    with pytest.raises(ConfigError, match=r"pass it as the adapter, and its base \(/nowhere/at/all\) as the"):
        find_model_folder(str(folder))


def test_what_is_no_adapter_is_one_sentence(tiny_model_folder, adapted, tmp_path):
    model = str(tiny_model_folder)
    with pytest.raises(ConfigError, match="no adapter folder ~nobody-of-that-name/x"):
        find_adapter_folder("~nobody-of-that-name/x")
    with pytest.raises(ConfigError, match=r"no adapter folder \./nowhere"):
        load_model(model, adapter="./nowhere")
    with pytest.raises(ConfigError, match=r"holds no adapter: it has no adapter_config\.json"):
        load_model(model, adapter=model)
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[1], folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ConfigError, match=r"has no adapter_model\.safetensors; other formats"):
        load_model(model, adapter=str(folder))
    (folder / "adapter_model.bin").rename(folder / "adapter_model.safetensors")
    for content, sentence in (("{", "cannot be read as JSON"), ("[]", r"holds no JSON object\.")):
        (folder / "adapter_config.json").write_text(content)
        with pytest.raises(ConfigError, match=rf"adapter_config\.json {sentence}"):
            load_model(model, adapter=str(folder))


def test_adapters_that_do_not_fit_are_one_sentence(adapted, tiny_model_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(ConfigError, match="does not fit the model"):
        load_model("demo", adapter=str(adapted[1]))
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[1], folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="Found missing adapter keys"):
        load_model(str(tiny_model_folder), adapter=str(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="does not fit the model, or cannot be merged"):
        load_model(str(tiny_model_folder), adapter=str(folder))


def test_the_hash_of_a_model_covers_its_adapter(tiny_model_folder, adapted, tmp_path):
    other = tmp_path / "other"
    save_adapter(tiny_model_folder, other, seed=1)
    hashes = [model_sha256(tiny_model_folder, folder) for folder in (None, adapted[1], other)]
    assert len(set(hashes)) == 3
    assert hashes[0] == model_sha256(tiny_model_folder)


def test_scores_of_a_second_round_are_those_of_the_adapted_model(tiny_model_folder, adapted, tmp_path):
    pool = pl.DataFrame({"prompt": ["one", "two and three"]})
    settings = {"model": str(tiny_model_folder), "max_new_tokens": 6, "device": "cpu"}
    score(pool, out=tmp_path / "first", **settings)
    score(pool, out=tmp_path / "second", adapter=str(adapted[1]), **settings)
    logprobs = [
        pl.read_parquet(tmp_path / name / "scores" / "part-*.parquet").sort("id")["token_logprobs"][0]
        for name in ("first", "second")
    ]
    assert not np.allclose(logprobs[0][:1], logprobs[1][:1])
    manifest = json.loads((tmp_path / "second" / "scores" / "manifest.json").read_text())
    assert manifest["model"]["adapter"] == str(adapted[1])
    with pytest.raises(ResumeError, match=r"model .* → .* with the adapter .* \(sha256"):
        score(pool, out=tmp_path / "first", adapter=str(adapted[1]), **settings)
