"""Tokenizer and optimizers of the scripts that train small models from scratch."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

END_TOKEN = "<|end|>"
PAD_TOKEN = "<|pad|>"

# Words, single digits, runs of signs, white space; one leading space belongs to what follows it.
SPLIT_PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_byte_bpe(
    texts: Iterable[str], *, vocabulary_size: int, context_tokens: int
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: no text is unknown to it, and all comes back as it was.

    Of its tokens 256 are the bytes, two special ones, the rest merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_TOKEN, PAD_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        padding_side="left",
        # A Llama refuses the token types that tokenizers return by default.
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )


def build_optimizers(
    model: PreTrainedModel,
    *,
    matrix_learning_rate: float,
    embedding_learning_rate: float,
    adam_betas: tuple[float, float],
    weight_decay: float,
) -> list[torch.optim.Optimizer]:
    """Build Muon for the matrices of the layers and AdamW for the rest."""
    head = model.get_output_embeddings()
    matrices = [
        module.weight
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
    others = [weight for weight in model.parameters() if all(weight is not matrix for matrix in matrices)]
    muon = torch.optim.Muon(matrices, matrix_learning_rate, weight_decay)
    adamw = torch.optim.AdamW(others, embedding_learning_rate, adam_betas, weight_decay=weight_decay)
    return [muon, adamw]


def build_schedulers(
    optimizers: list[torch.optim.Optimizer], *, steps: int, warmup_share: float
) -> list[torch.optim.lr_scheduler.LRScheduler]:
    """Build for each optimizer a rise over the first steps and a cosine that falls to zero after it."""
    warmup = max(1, round(steps * warmup_share))
    return [
        transformers.get_cosine_schedule_with_warmup(optimizer, warmup, steps) for optimizer in optimizers
    ]


def train_steps(
    model: PreTrainedModel,
    losses: Iterator[torch.Tensor],
    *,
    steps: int,
    matrix_learning_rate: float,
    embedding_learning_rate: float,
    adam_betas: tuple[float, float],
    weight_decay: float,
    warmup_share: float,
    max_gradient_norm: float,
    report_every: int,
) -> float:
    """Train in place and return the mean loss of the last tenth of the steps.

    `losses` is asked for the loss of one batch a step, when the model is ready for it.
    """
    optimizers = build_optimizers(
        model,
        matrix_learning_rate=matrix_learning_rate,
        embedding_learning_rate=embedding_learning_rate,
        adam_betas=adam_betas,
        weight_decay=weight_decay,
    )
    schedulers = build_schedulers(optimizers, steps=steps, warmup_share=warmup_share)
    found: list[float] = []
    start = time.process_time()
    model.train()
    for step in range(1, steps + 1):
        loss = next(losses)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        found.append(loss.item())
        if step % report_every == 0:
            seconds = time.process_time() - start
            mean = np.mean(found[-report_every:])
            print(f"step {step:5d}  loss {mean:.3f}  {seconds:.0f} CPU s", file=sys.stderr)
    return float(np.mean(found[-max(1, steps // 10) :]))


def save_model(
    out: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, max_new_tokens: int
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
