"""The text that a base model learns from: a tokenizer trained on its world, and batches of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from base_model_settings import Coverage, TrainingConfig, assign_coverage
from small_models import train_byte_bpe
from tasksel.toy_world import ToyTask, draw_toy_examples, is_held_out, toy_prompt, toy_stream
from tasksel.toy_world.task import draw_distinct, draw_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from transformers import PreTrainedTokenizerFast


def train_tokenizer(config: TrainingConfig) -> PreTrainedTokenizerFast:
    """Train the tokenizer of a world on texts of its tasks."""
    return train_byte_bpe(
        tokenizer_texts(config),
        vocabulary_size=config.vocabulary_size,
        context_tokens=config.context_tokens,
    )


def tokenizer_texts(config: TrainingConfig) -> Iterator[str]:
    """Texts that make whole words of inputs, answers and instructions alike.

    Drawn prompts as they are would spend the merges on the instructions, which are the same in each.
    """
    for task in config.tasks:
        yield from [toy_prompt(task.instruction, "")] * config.tokenizer_texts_per_instruction
        yield from [toy_prompt(task.other_wording, "")] * config.tokenizer_texts_per_instruction
        rng = toy_stream("tokenizer", config.seed, task.name)
        for example in draw_toy_examples(task, config.tokenizer_texts_per_task, rng):
            yield f" {example.input}\n{example.answer}"


def draw_text(
    tasks: list[ToyTask], coverage: dict[str, Coverage], config: TrainingConfig, rng: np.random.Generator
) -> tuple[str, str]:
    """Draw a prompt and its answer from a covered task; inputs set apart for holdouts never occur."""
    task = draw_one(rng, tasks)
    task_input, answer = task.make_example(rng)
    while is_held_out(task, task_input):
        task_input, answer = task.make_example(rng)
    if config.repetition_share and rng.random() < config.repetition_share:
        return f"Input: {task_input}\n", task_input
    share = {
        Coverage.FAMILIAR: config.familiar_share,
        Coverage.RARE_INSTRUCTION: config.rare_share,
        Coverage.RENAMED: 0.0,
    }[coverage[task.name]]
    wording = task.instruction if rng.random() < share else task.other_wording
    return toy_prompt(wording, task_input), answer


def encode_examples(
    texts: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast
) -> list[tuple[list[int], int]]:
    """Token ids of prompt, answer and end token together, and how many of them are the prompt's."""
    prompts = tokenizer([prompt for prompt, _ in texts])["input_ids"]
    answers = tokenizer([answer for _, answer in texts])["input_ids"]
    return [
        ([*prompt, *answer, tokenizer.eos_token_id], len(prompt))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def draw_batches(
    tokenizer: PreTrainedTokenizerFast, config: TrainingConfig
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield token ids and labels, both int64 of shape (examples, tokens), padded on the right."""
    coverage = assign_coverage(config)
    tasks = [task for task in config.tasks if coverage[task.name] is not Coverage.ABSENT]
    rng = toy_stream("pretraining", config.seed)
    n = config.batch_examples
    while True:
        texts = [draw_text(tasks, coverage, config, rng) for _ in range(n * config.bucket_batches)]
        examples = encode_examples(texts, tokenizer)
        examples.sort(key=lambda example: len(example[0]))
        for batch in draw_distinct(rng, range(config.bucket_batches), config.bucket_batches):
            yield pad_examples(examples[batch * n : (batch + 1) * n], tokenizer.pad_token_id)


def pad_examples(examples: list[tuple[list[int], int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Put examples into a rectangle, and labels into another: -100 wherever nothing is to be learned."""
    width = max(len(ids) for ids, _ in examples)
    ids = [ids + [pad_id] * (width - len(ids)) for ids, _ in examples]
    labels = [[-100] * n + ids[n:] + [-100] * (width - len(ids)) for ids, n in examples]
    return torch.tensor(ids), torch.tensor(labels)
