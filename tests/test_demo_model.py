from __future__ import annotations

import json
import warnings
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasksel.assets import embedded_model_path
from tasksel.toy_world import TOY_TASKS, exact_match, make_toy_holdout, make_toy_pool

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

MAX_BYTES = 8 * 2**20
MAX_ANSWER_TOKENS = 8


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(embedded_model_path(), local_files_only=True)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(embedded_model_path(), local_files_only=True)
    return loaded.eval()


@pytest.fixture(scope="module")
def results(model, tokenizer):
    """Per task: matches and confidences over four held-out prompts."""
    holdout = make_toy_holdout(11, n_per_task=4)
    found = defaultdict(list)
    for part in holdout.iter_slices(114):
        encoded = tokenizer(part["prompt"].to_list(), padding=True, return_tensors="pt")
        with torch.inference_mode():
            generated = model.generate(**encoded, output_logits=True, return_dict_in_generate=True)
        ids = generated.sequences[:, encoded["input_ids"].shape[1] :]
        logprobs = torch.stack(generated.logits, dim=1).log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        confidences = logprobs.masked_fill(ids == tokenizer.pad_token_id, 0.0).sum(1).exp()
        answers = tokenizer.batch_decode(ids, skip_special_tokens=True)
        for task, answer, response, confidence in zip(
            part["task"], answers, part["response"], confidences.tolist(), strict=True
        ):
            found[task].append((exact_match(answer, response), confidence))
    return {task: np.mean(pairs, axis=0) for task, pairs in found.items()}


def test_everything_shipped_is_small():
    assert sum(path.stat().st_size for path in embedded_model_path().iterdir()) < MAX_BYTES
    assert not list(embedded_model_path().glob("*.bin"))


def test_model_and_tokenizer_load_offline_without_a_word(monkeypatch, capfd):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = transformers.AutoModelForCausalLM.from_pretrained(
            embedded_model_path(), local_files_only=True, output_loading_info=True
        )
        transformers.AutoTokenizer.from_pretrained(embedded_model_path(), local_files_only=True)
    assert not any(info.values())
    assert "warn" not in capfd.readouterr().err.lower()


def test_model_and_tokenizer_agree(model, tokenizer):
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.model_max_length == model.config.max_position_embeddings >= 512
    for settings in (model.config, model.generation_config):
        assert settings.eos_token_id == tokenizer.eos_token_id
        assert settings.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.chat_template is None
    assert model.dtype == torch.float32


def test_special_tokens_are_not_added_to_text(tokenizer):
    assert tokenizer("")["input_ids"] == []
    assert tokenizer.convert_ids_to_tokens(tokenizer("dog")["input_ids"]) == ["dog"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("".join(map(chr, range(0x80))))
@example("\r\n\r \t\x00\x0b\x0c\x1c\x85\u2028\u2029\ufeff")
@example("e\u0301 \u1e9b\u0323 ﬁ 한글 👩\u200d👩\u200d👧 \U0010ffff")
@example(" leading, trailing , and   many    spaces  . n't 's")
def test_any_text_comes_back_as_it_was(tokenizer, text):
    encoded = tokenizer(text)["input_ids"]
    assert tokenizer.decode(encoded) == text
    assert all(0 <= token < len(tokenizer) for token in encoded)


def test_a_very_long_text_comes_back_as_it_was(tokenizer):
    text = "".join(chr(code) for code in range(0x20, 0xD7FF, 2))[:26_000]
    assert len(text) == 26_000
    assert tokenizer.decode(tokenizer(text, verbose=False)["input_ids"]) == text


def test_all_bytes_have_a_token(tokenizer):
    for code in range(256):
        text = chr(code)
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_prompt_and_answer_have_the_same_tokens_together_and_apart(tokenizer):
    for prompt, response in make_toy_pool(0).select("prompt", "response").iter_rows():
        apart = tokenizer(prompt)["input_ids"] + tokenizer(response)["input_ids"]
        assert tokenizer(prompt + response)["input_ids"] == apart


def test_answers_have_one_to_eight_tokens(tokenizer):
    pool = make_toy_pool(5, largest=100, smallest=60)
    lengths = [len(ids) for ids in tokenizer(pool["response"].to_list())["input_ids"]]
    assert min(lengths) == 1
    assert max(lengths) <= MAX_ANSWER_TOKENS


def test_the_model_answers_some_tasks_and_not_others(results):
    matches = np.array([match for match, _ in results.values()])
    assert len(matches) == len(TOY_TASKS)
    assert matches.mean() >= 0.25
    assert (matches > 0.8).sum() >= 5
    assert (matches < 0.2).sum() >= 5


def test_confidence_differs_between_tasks_and_says_something(results):
    matches, confidences = np.array(list(results.values())).T
    assert confidences.max() > 0.9
    assert confidences.min() < 0.3
    assert np.corrcoef(matches, confidences)[0, 1] > 0.4


def test_answers_end(model, tokenizer):
    prompts = make_toy_holdout(3, n_per_task=1)["prompt"].to_list()
    encoded = tokenizer(prompts, padding=True, return_tensors="pt")
    generated = model.generate(**encoded)
    assert (generated == tokenizer.eos_token_id).any(dim=1).float().mean() > 0.95


@pytest.mark.parametrize("prompt", ["?", "Why is the sky blue?\n" * 40, "\x00\ud7ff🙂", "x" * 3000])
def test_a_prompt_of_any_kind_gets_finite_logits(model, tokenizer, prompt):
    encoded = tokenizer(prompt, return_tensors="pt", truncation=True)
    with torch.inference_mode():
        assert torch.isfinite(model(**encoded).logits).all()


def test_the_record_of_the_training_belongs_to_the_model(model):
    training = json.loads((embedded_model_path() / "training.json").read_text(encoding="utf-8"))
    assert training["n_parameters"] == model.num_parameters()
    assert set(training["tasks"]) == {task.name for task in TOY_TASKS}
    assert set(training["exact_match"]) == {"all", "familiar", "rare instruction", "renamed", "absent"}


def test_the_coverage_of_a_task_does_not_show_in_a_pool():
    pool = make_toy_pool(0)
    text = pool.write_ndjson().lower()
    for level in ("familiar", "rare instruction", "renamed", "absent", "coverage"):
        assert level not in text
