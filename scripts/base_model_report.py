"""What a base model can do: its holdout answered, a table for people, a record for ``training.json``."""

from __future__ import annotations

import dataclasses
import platform
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers

from base_model_settings import Coverage, TrainingConfig, assign_coverage, describe_settings
from tasksel.toy_world import draw_toy_examples, exact_match, toy_prompt, toy_stream

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """How the model does on the holdout of one task."""

    task: str
    coverage: Coverage
    exact_match: float
    """Share of answers that are right."""
    confidence: float
    """Mean over answers of the probability of all their tokens, the end token included."""


@torch.inference_mode()
def answer_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[str], max_new_tokens: int
) -> tuple[list[str], np.ndarray]:
    """Greedy answers, and the probability of all the tokens of each (float64), the end token included."""
    model.eval()
    encoded = tokenizer(prompts, padding=True, return_tensors="pt")
    generated = model.generate(
        **encoded,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        output_logits=True,
        return_dict_in_generate=True,
    )
    ids = generated.sequences[:, encoded["input_ids"].shape[1] :]
    logprobs = torch.stack(generated.logits, dim=1).double().log_softmax(-1)
    chosen = logprobs.gather(-1, ids[..., None])[..., 0]
    # The first end token belongs to the answer, what comes after it does not.
    ended_before = (ids == tokenizer.eos_token_id).cumsum(1) - (ids == tokenizer.eos_token_id).long() > 0
    confidences = chosen.masked_fill(ended_before, 0.0).sum(1).exp().numpy()
    return tokenizer.batch_decode(ids, skip_special_tokens=True), confidences


def evaluate_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig
) -> list[TaskResult]:
    """Answer the holdout of every task, asked with the pool's instruction."""
    coverage = assign_coverage(config)
    results = []
    for task in config.tasks:
        rng = toy_stream("training holdout", config.seed, task.name)
        examples = draw_toy_examples(task, config.holdout_per_task, rng, held_out=True)
        prompts = [toy_prompt(task.instruction, example.input) for example in examples]
        answers, confidences = answer_prompts(model, tokenizer, prompts, config.max_new_tokens)
        matches = [
            exact_match(answer, example.answer) for answer, example in zip(answers, examples, strict=True)
        ]
        results.append(
            TaskResult(task.name, coverage[task.name], float(np.mean(matches)), float(np.mean(confidences)))
        )
    return results


def mean_by_level(results: list[TaskResult], field: str) -> dict[str, float]:
    """Macro mean of a field of the results for each level of coverage, and over all tasks."""
    values = defaultdict(list)
    for result in results:
        values[result.coverage.value].append(getattr(result, field))
        values["all"].append(getattr(result, field))
    return {level: round(float(np.mean(found)), 4) for level, found in values.items()}


def print_results(results: list[TaskResult]) -> None:
    """Print a table, the surest tasks first, and the means by level."""
    print(f"{'task':30s} {'coverage':18s} {'exact match':>11s} {'confidence':>10s}")
    for result in sorted(results, key=lambda result: -result.confidence):
        level = result.coverage.value
        print(f"{result.task:30s} {level:18s} {result.exact_match:11.2f} {result.confidence:10.3f}")
    confidences = mean_by_level(results, "confidence")
    for level, mean in mean_by_level(results, "exact_match").items():
        print(f"{'mean':30s} {level:18s} {mean:11.3f} {confidences[level]:10.3f}")


def describe_training(
    config: TrainingConfig, model: PreTrainedModel, final_loss: float, results: list[TaskResult]
) -> dict[str, object]:
    """Collect settings, surroundings and outcome for ``training.json``."""
    return {
        "script": "scripts/train_demo_model.py",
        "settings": describe_settings(config),
        "device": "cpu, one thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
        "n_parameters": model.num_parameters(),
        "final_loss": round(final_loss, 4),
        "exact_match": mean_by_level(results, "exact_match"),
        "confidence": mean_by_level(results, "confidence"),
        "tasks": {
            result.task: {
                "coverage": result.coverage.value,
                "exact_match": round(result.exact_match, 4),
                "confidence": round(result.confidence, 4),
            }
            for result in results
        },
    }
