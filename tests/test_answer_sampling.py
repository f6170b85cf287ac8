from __future__ import annotations

import itertools

import numpy as np
import pytest

from tasksel.answer_sampling import disagreement, sample_answers
from tasksel.causal_model import load_model
from tasksel.generation import generate
from tasksel.prompt_encoding import PromptEncoder
from tasksel_core.errors import ConfigError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")

PROMPTS = ["Add the numbers two and three.", "", "x " * 40, "Add the numbers two and three."]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(str(tiny_model_folder), device="cpu")


def test_a_seed_gives_the_same_answers_and_leaves_the_generator_alone(tiny):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = sample_answers(tiny, PROMPTS, n_samples=3, max_new_tokens=6, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == sample_answers(tiny, PROMPTS, n_samples=3, max_new_tokens=6, seed=1)
    assert first != sample_answers(tiny, PROMPTS, n_samples=3, max_new_tokens=6, seed=2)
    assert [len(answers) for answers in first] == [3] * len(PROMPTS)


def test_a_cold_model_gives_its_likeliest_answer_in_any_batch(tiny):
    encoder = PromptEncoder(tiny, prompt_template=None, max_new_tokens=6)
    for batch_tokens in (1, 8192):
        drawn = sample_answers(
            tiny, PROMPTS, n_samples=2, max_new_tokens=6, temperature=1e-4, batch_tokens=batch_tokens
        )
        for prompt, answers in zip(encoder.encode(PROMPTS), drawn, strict=True):
            (greedy,) = generate(tiny, [prompt.token_ids], max_new_tokens=6)
            assert answers == [greedy.text.strip()] * 2


def test_answers_follow_the_models_distribution(tiny):
    (token_ids,) = (
        each.token_ids
        for each in PromptEncoder(tiny, prompt_template=None, max_new_tokens=1).encode(PROMPTS[:1])
    )
    with torch.inference_mode():
        logits = tiny.model(torch.from_numpy(np.asarray(token_ids, dtype=np.int64))[None]).logits[0, -1]
    (answers,) = sample_answers(tiny, PROMPTS[:1], n_samples=4000, max_new_tokens=1, batch_tokens=1 << 20)
    expected = torch.softmax(logits.float(), -1)
    texts = [tiny.tokenizer.decode([each], skip_special_tokens=True).strip() for each in range(len(expected))]
    likely = max(
        set(texts), key=lambda text: sum(expected[i] for i, each in enumerate(texts) if each == text)
    )
    share = float(sum(expected[i] for i, each in enumerate(texts) if each == likely))
    assert abs(answers.count(likely) / 4000 - share) < 5 * np.sqrt(share * (1 - share) / 4000)


def test_no_prompts_give_no_answers(tiny):
    assert sample_answers(tiny, [], n_samples=2, max_new_tokens=4) == []


@pytest.mark.parametrize(
    "wrong", [{"n_samples": 0}, {"max_new_tokens": 0}, {"temperature": 0.0}, {"temperature": float("nan")}]
)
def test_numbers_out_of_range_are_refused(tiny, wrong):
    with pytest.raises(ConfigError, match="are wanted"):
        sample_answers(tiny, PROMPTS, **{"n_samples": 2, "max_new_tokens": 4} | wrong)


def test_disagreement_is_the_share_of_pairs_that_differ():
    rng = np.random.default_rng(0)
    for size in (2, 3, 7):
        answers = [str(each) for each in rng.integers(0, 3, size)]
        pairs = list(itertools.combinations(answers, 2))
        assert disagreement(answers) == pytest.approx(sum(a != b for a, b in pairs) / len(pairs))
    assert np.isnan(disagreement(["one"]))
    assert np.isnan(disagreement([]))
