"""Train the demo model and its tokenizer on the text of the toy world.

    python scripts/train_demo_model.py --out python/tasksel/assets/demo_model

A Llama of about half a million parameters learns to answer the toy world's tasks, but not all equally:
each task has one of four levels of coverage (`Coverage`), so that what the base model can do, and how sure
it is of its answers, differs widely from task to task. That is the situation that tasksel is made for.
About four minutes of one CPU core. The same settings give the same model on the same kind of CPU and version
of torch. No polars is needed, and of tasksel only ``tasksel.toy_world``.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tasksel.toy_world import (
    TOY_TASKS,
    ToyTask,
    draw_toy_examples,
    exact_match,
    is_held_out,
    toy_prompt,
    toy_stream,
)
from tasksel.toy_world.task import draw_distinct, draw_one

if TYPE_CHECKING:
    from collections.abc import Iterator

END_TOKEN = "<|end|>"
PAD_TOKEN = "<|pad|>"

# Words, single digits, runs of signs, white space; one leading space belongs to what follows it.
SPLIT_PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Coverage(enum.Enum):
    """What the base model has seen of a task."""

    FAMILIAR = "familiar"  # the skill, mostly under the instruction that the pool uses
    RARE_INSTRUCTION = "rare instruction"  # the skill, but seldom under the pool's instruction
    RENAMED = "renamed"  # the skill, never under the pool's instruction
    ABSENT = "absent"  # neither


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that the model depends on besides the toy world and the versions of the libraries."""

    seed: int = 0
    """Decides coverage, text, weights at the start and the holdout."""

    vocabulary_size: int = 1280
    """Tokens: 256 bytes, two special ones, the rest merges."""

    tokenizer_texts_per_task: int = 300
    """Inputs and answers a task that the merges are learned from; absent tasks included."""

    tokenizer_texts_per_instruction: int = 10

    context_tokens: int = 1024
    """`max_position_embeddings`; rotary positions cost no parameters."""

    hidden_size: int = 128
    n_layers: int = 2
    n_heads: int = 4
    intermediate_size: int = 256

    coverage_cycle: tuple[Coverage, ...] = (
        Coverage.FAMILIAR,
        Coverage.RENAMED,
        Coverage.FAMILIAR,
        Coverage.ABSENT,
        Coverage.RARE_INSTRUCTION,
        Coverage.FAMILIAR,
        Coverage.RENAMED,
        Coverage.ABSENT,
        Coverage.FAMILIAR,
        Coverage.RARE_INSTRUCTION,
    )
    """Dealt over the shuffled tasks of one family after the other, so that every family has its share."""

    familiar_share: float = 0.8
    """Examples of a familiar task under the pool's instruction; the others use the other wording."""

    rare_share: float = 0.03
    """Likewise for a task whose instruction is rare."""

    steps: int = 1000
    batch_examples: int = 64
    bucket_batches: int = 8
    """Batches drawn together and sorted by length, so that little is padding."""

    matrix_learning_rate: float = 0.02
    """For Muon, which trains the matrices of the layers. After 800 steps the loss was 0.32 nats with it and
    1.20 with AdamW alone, for a quarter more CPU time."""

    embedding_learning_rate: float = 4e-3
    """For AdamW, which trains embeddings and norms."""

    adam_betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    """Share of the steps with rising learning rates; a cosine falls to zero after it."""

    max_gradient_norm: float = 1.0

    holdout_per_task: int = 40
    max_new_tokens: int = 16


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """How the model does on the holdout of one task."""

    task: str
    coverage: Coverage
    exact_match: float
    """Share of answers that are right."""
    confidence: float
    """Mean over answers of the probability of all their tokens, the end token included."""


def assign_coverage(config: TrainingConfig) -> dict[str, Coverage]:
    """Level of coverage of each task, a random choice within its family."""
    rng = toy_stream("coverage", config.seed)
    families = list(dict.fromkeys(task.family for task in TOY_TASKS))
    shuffled: list[str] = []
    for family in families:
        names = [task.name for task in TOY_TASKS if task.family == family]
        shuffled.extend(draw_distinct(rng, names, len(names)))
    cycle = config.coverage_cycle
    return {name: cycle[place % len(cycle)] for place, name in enumerate(shuffled)}


def train_tokenizer(config: TrainingConfig) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: no text is unknown to it, and all comes back as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        special_tokens=[END_TOKEN, PAD_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_texts(config), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        padding_side="left",
        # A Llama refuses the token types that tokenizers return by default.
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=config.context_tokens,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_texts(config: TrainingConfig) -> Iterator[str]:
    """Texts that make whole words of inputs, answers and instructions alike.

    Drawn prompts as they are would spend the merges on the instructions, which are the same in each.
    """
    for task in TOY_TASKS:
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
    tasks = [task for task in TOY_TASKS if coverage[task.name] is not Coverage.ABSENT]
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


def build_model(tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> LlamaForCausalLM:
    """Build the model with random weights."""
    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_heads,
            max_position_embeddings=config.context_tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


def answer_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the labelled tokens in nats.

    The vocabulary's logits are computed for these alone, a fifth of all: it saves a quarter of the time.
    """
    # No attention mask: padding stands on the right, where a causal model cannot see it.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learned]), targets[learned])


def build_optimizers(model: LlamaForCausalLM, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Build Muon for the matrices of the layers and AdamW for the rest."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if all(weight is not matrix for matrix in matrices)]
    muon = torch.optim.Muon(matrices, config.matrix_learning_rate, config.weight_decay)
    adamw = torch.optim.AdamW(
        others, config.embedding_learning_rate, config.adam_betas, weight_decay=config.weight_decay
    )
    return [muon, adamw]


def train_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> float:
    """Train in place and return the mean loss of the last tenth of the steps, in nats an answer's token."""
    optimizers = build_optimizers(model, config)
    warmup = max(1, round(config.steps * config.warmup_share))
    schedulers = [
        transformers.get_cosine_schedule_with_warmup(optimizer, warmup, config.steps)
        for optimizer in optimizers
    ]
    losses: list[float] = []
    batches = draw_batches(tokenizer, config)
    start = time.process_time()
    model.train()
    for step in range(1, config.steps + 1):
        loss = answer_loss(model, *next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm)
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0:
            seconds = time.process_time() - start
            print(f"step {step:5d}  loss {np.mean(losses[-100:]):.3f}  {seconds:.0f} CPU s", file=sys.stderr)
    return float(np.mean(losses[-max(1, config.steps // 10) :]))


@torch.inference_mode()
def answer_prompts(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str], max_new_tokens: int
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
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig
) -> list[TaskResult]:
    """Answer the holdout of every task, asked with the pool's instruction."""
    coverage = assign_coverage(config)
    results = []
    for task in TOY_TASKS:
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


def describe_settings(config: TrainingConfig) -> dict[str, object]:
    """Write the settings so that JSON can hold them."""
    settings = dataclasses.asdict(config)
    return {**settings, "coverage_cycle": [level.value for level in config.coverage_cycle]}


def describe_training(
    config: TrainingConfig, model: LlamaForCausalLM, final_loss: float, results: list[TaskResult]
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


def save_demo_model(
    out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, max_new_tokens: int
) -> None:
    """Write model, tokenizer and generation settings as transformers reads them."""
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main(arguments: list[str] | None = None) -> None:
    """Train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--steps", type=int, default=TrainingConfig.steps, help="training steps (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=TrainingConfig.seed, help="another seed is another world (%(default)s)"
    )
    parser.add_argument(
        "--holdout-per-task",
        type=int,
        default=TrainingConfig.holdout_per_task,
        help="prompts a task that the model is evaluated on (%(default)s)",
    )
    options = parser.parse_args(arguments)
    config = TrainingConfig(seed=options.seed, steps=options.steps, holdout_per_task=options.holdout_per_task)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = train_tokenizer(config)
    model = build_model(tokenizer, config)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", file=sys.stderr)
    final_loss = train_model(model, tokenizer, config)
    # Before the evaluation, which leaves its padding behind in the tokenizer's file.
    save_demo_model(options.out, model, tokenizer, config.max_new_tokens)
    results = evaluate_model(model, tokenizer, config)
    print_results(results)
    training = describe_training(config, model, final_loss, results)
    (options.out / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
