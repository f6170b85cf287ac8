from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tasksel.causal_model import load_model
from tasksel.evaluation_choices import ChoiceScorer, answer_questions, mmlu_questions
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

LETTERS = [" A", " B", " C", " D"]


def questions_of(n_rows, subject="us_history"):
    return pl.DataFrame(
        {
            "id": [f"{subject}-{row}" for row in range(n_rows)],
            "task": subject,
            "prompt": [f" Question {row}? " for row in range(n_rows)],
            "choices": [[f"{row}", "two", "three", "four"] for row in range(n_rows)],
            "answer": pl.Series([row % 4 for row in range(n_rows)], dtype=pl.Int8),
        }
    )


def test_prompts_are_those_of_lm_evaluation_harness():
    context = mmlu_questions(questions_of(1), questions_of(2), shots=2)["context"][0]
    assert context == (
        "The following are multiple choice questions (with answers) about us history.\n\n"
        "Question 0?\nA. 0\nB. two\nC. three\nD. four\nAnswer: A\n\n"
        "Question 1?\nA. 1\nB. two\nC. three\nD. four\nAnswer: B\n\n"
        "Question 0?\nA. 0\nB. two\nC. three\nD. four\nAnswer:"
    )


def test_bad_questions_are_refused():
    good = questions_of(3)
    with pytest.raises(SchemaError, match="lack choices"):
        mmlu_questions(good.drop("choices"), good)
    with pytest.raises(SchemaError, match="1 test questions"):
        mmlu_questions(good.with_columns(answer=pl.Series([0, 4, 1])), good)
    with pytest.raises(SchemaError, match="1 dev questions"):
        mmlu_questions(good, good.with_columns(answer=pl.Series([None, 2, 1])))
    with pytest.raises(SchemaError, match="have 3 of 'us_history'; 5 shots"):
        mmlu_questions(good, good)


@pytest.fixture(scope="module")
def causal_model(tiny_model_folder):
    return load_model(str(tiny_model_folder), device="cpu")


def naive_logprob(causal_model, context, continuation):
    """Read the whole text once, without batches, padding or sharing."""
    import torch

    whole = causal_model.tokenizer(context + continuation)["input_ids"]
    before = causal_model.tokenizer(context)["input_ids"]
    wanted = whole[len(before) :]
    ids = whole[-(causal_model.context_tokens + 1) :]
    with torch.inference_mode():
        logprobs = causal_model.model(torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
    return sum(
        float(logprobs[len(ids) - 1 - len(wanted) + offset, token]) for offset, token in enumerate(wanted)
    )


@pytest.mark.parametrize("batch_tokens", [1, 70, 10_000])
@pytest.mark.parametrize("continuations", [LETTERS, [" A", " a longer one", " another choice, with more"]])
def test_likelihoods_are_those_of_reading_each_text_alone(causal_model, batch_tokens, continuations):
    contexts = ["Answer:", "The quick brown fox jumps.", "Answer:", "x" * 40, "long" + " long" * 200]
    scorer = ChoiceScorer(causal_model, batch_tokens=batch_tokens)
    found = scorer.score(contexts, continuations)
    expected = [
        [naive_logprob(causal_model, context, text) for text in continuations] for context in contexts
    ]
    assert found.shape == (5, len(continuations))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert scorer.cut_contexts == 1


def test_a_model_that_computes_all_logits_gives_the_same(causal_model, monkeypatch):
    contexts = ["Answer:", "The quick brown fox jumps."]
    expected = ChoiceScorer(causal_model).score(contexts, LETTERS)
    forward = causal_model.model.forward

    def without_a_choice(input_ids, attention_mask, use_cache):
        return forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    monkeypatch.setattr(causal_model.model, "forward", without_a_choice)
    np.testing.assert_allclose(ChoiceScorer(causal_model).score(contexts, LETTERS), expected, atol=1e-5)


def test_white_space_at_the_end_of_a_context_belongs_to_the_continuation(causal_model):
    scorer = ChoiceScorer(causal_model)
    np.testing.assert_allclose(scorer.score(["Answer: "], ["A"]), scorer.score(["Answer:"], [" A"]))


def test_no_contexts_give_no_rows(causal_model):
    assert ChoiceScorer(causal_model).score([], LETTERS).shape == (0, 4)


@pytest.mark.parametrize(("contexts", "continuations"), [([" "], ["A"]), (["x"], [""])])
def test_empty_texts_are_refused(causal_model, contexts, continuations):
    with pytest.raises(ConfigError, match="empty"):
        ChoiceScorer(causal_model).score(contexts, continuations)


def test_parts_are_answered_once_and_never_mixed(causal_model, tmp_path, monkeypatch):
    monkeypatch.setattr("tasksel.evaluation_choices._PART_ROWS", 3)
    questions = mmlu_questions(questions_of(8), questions_of(8), shots=1)
    loaded = []

    def load():
        loaded.append(1)
        return ChoiceScorer(causal_model)

    first, _ = answer_questions(questions, load, folder=tmp_path, run_sha256="one")
    assert len(list(tmp_path.glob("part-*"))) == 3
    (tmp_path / "part-00001.parquet").unlink()
    again, _ = answer_questions(questions, load, folder=tmp_path, run_sha256="one")
    assert again.equals(first)
    assert len(loaded) == 2
    answer_questions(questions, load, folder=tmp_path, run_sha256="one")
    assert len(loaded) == 2
    with pytest.raises(ResumeError, match="another model"):
        answer_questions(questions, load, folder=tmp_path, run_sha256="two")
    (tmp_path / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResumeError, match="cannot be read"):
        answer_questions(questions, load, folder=tmp_path, run_sha256="one")
