"""Train the model of the text world, and its tokenizer, on real text that the world does not hold.

    python scripts/train_text_model.py --data ../shared/data --out ../models/text-0

A Llama of about two million parameters reads six of the seven million tokens of Dolly (instructions,
contexts, responses) and a sample of T0's training mixture once: a small base model that has met questions and
answers, but neither the tasks of Natural Instructions nor the way they are asked. Nothing of Natural
Instructions is trained on, and documents that share a run of 13 words with any of it
(`tasksel.check_contamination`) are left out, so that the model does not depend on which of its examples a
world takes. The licences of T0's underlying sets are mixed: the model is for measuring, not for shipping.

About 20 minutes of one CPU core. The tokenizer is the same for every seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from small_models import save_model, train_byte_bpe, train_steps
from tasksel.contamination import check_contamination
from tasksel.run_folder import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator


DOLLY_FILE = "dolly_raw.jsonl"
T0_FILE = "t0_sample.parquet"
WORLD_FILES = ("ni_skewed.parquet", "ni_sample.parquet")
"""What worlds are made of; read only to leave out what overlaps with it."""

T0_END = "<|endoftext|>"
"""Stands as text at the end of T0's published responses."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that the model depends on besides the data and the versions of the libraries."""

    seed: int = 0
    """Decides the weights at the start and the order of the documents."""

    vocabulary_size: int = 4096
    """With 2,048 tokens the same text is 15 % longer, which costs every later run as much."""

    context_tokens: int = 1024
    """`max_position_embeddings`; only the first `row_tokens` positions are trained."""

    hidden_size: int = 160
    n_layers: int = 4
    n_heads: int = 5
    intermediate_size: int = 480

    document_tokens: int = 512
    """Longer documents lose their beginning: the response stands at the end."""

    row_tokens: int = 512
    """Documents are laid end to end and cut into rows of this length, so that nothing is padding."""

    batch_rows: int = 4
    """After a million tokens the held-out loss was 5.08 nats with 4 rows, 5.24 with 8 and 5.49 with 16."""

    steps: int = 2900

    matrix_learning_rate: float = 0.02
    """For Muon, which trains the matrices of the layers."""

    embedding_learning_rate: float = 4e-3
    """For AdamW, which trains embeddings and norms."""

    adam_betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    """Share of the steps with rising learning rates; a cosine falls to zero after it."""

    max_gradient_norm: float = 1.0

    dtype: str = "bfloat16"
    """Of the matrix products (autocast); weights stay float32. On a CPU with AMX 7,000 tokens a second
    instead of 4,700 with float32."""

    held_out_every: int = 64
    """One document of so many is not trained on; which ones follows from their text."""

    max_new_tokens: int = 32
    """The default of the saved generation settings."""


@dataclasses.dataclass(frozen=True)
class Documents:
    """The text of the training: what is trained on, what is held out, and how much was left out."""

    trained: pl.DataFrame
    """Columns ``task`` (the source) and ``prompt`` (the text)."""
    held_out: pl.DataFrame
    overlapping: int
    """Documents that share a run of words with the world's files."""


def read_documents(data: Path) -> pl.DataFrame:
    """Read the text of both sources as a pool: id, task (the source) and prompt (the whole text).

    A response stands behind its prompt and a line break, as in the prompts of the text world.
    """
    dolly = pl.read_ndjson(data / DOLLY_FILE).select(
        task=pl.lit("dolly"),
        head=pl.when(pl.col("context") == "")
        .then("instruction")
        .otherwise(pl.concat_str("instruction", "context", separator="\n\n")),
        response="response",
    )
    t0 = pl.read_parquet(data / T0_FILE).select(
        task=pl.lit("t0"), head="prompt", response=pl.col("response").str.replace(T0_END, "", literal=True)
    )
    documents = pl.concat([dolly, t0]).with_columns(pl.col("head", "response").str.strip_chars())
    return (
        documents.filter((pl.col("head") != "") & (pl.col("response") != ""))
        .select("task", prompt=pl.concat_str("head", "response", separator="\n"))
        .unique("prompt", maintain_order=True)
        .with_row_index("id")
        .with_columns(pl.col("id").cast(pl.String))
    )


def divide_documents(documents: pl.DataFrame, data: Path, held_out_every: int) -> Documents:
    """Leave out what overlaps with the world's files, and hold out a part of the rest."""
    found = check_contamination(documents, [data / name for name in WORLD_FILES])
    kept = documents.filter(~pl.col("id").is_in(found.hits["pool_id"].unique().to_list()))
    is_held_out = pl.Series([is_held_out_text(text, held_out_every) for text in kept["prompt"]])
    return Documents(kept.filter(~is_held_out), kept.filter(is_held_out), len(documents) - len(kept))


def is_held_out_text(text: str, every: int) -> bool:
    """Whether a document is held out: one of `every`, by its hash."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % every == 0


def encode_documents(
    texts: list[str], tokenizer: PreTrainedTokenizerFast, document_tokens: int
) -> list[np.ndarray]:
    """Token ids of each document (int64), its last ones if it is too long, the end token among them."""
    encoded = tokenizer(texts, split_special_tokens=True, verbose=False)["input_ids"]
    return [np.array([*ids, tokenizer.eos_token_id][-document_tokens:], dtype=np.int64) for ids in encoded]


def pack_rows(documents: list[np.ndarray], row_tokens: int) -> np.ndarray:
    """Lay documents end to end and cut them into rows of `row_tokens` + 1: inputs, and their successors.

    The last token of a row is the first of the next one; what does not fill a row is dropped.
    """
    stream = np.concatenate([np.empty(0, dtype=np.int64), *documents])
    n_rows = max(0, (len(stream) - 1) // row_tokens)
    starts = np.arange(n_rows) * row_tokens
    return stream[starts[:, None] + np.arange(row_tokens + 1)]


def draw_batches(documents: list[np.ndarray], config: TrainingConfig) -> Iterator[torch.Tensor]:
    """Yield rows of token ids (int64, rows × tokens), the documents in another order at each pass."""
    rng = np.random.default_rng(config.seed)
    while True:
        order = rng.permutation(len(documents))
        rows = torch.from_numpy(pack_rows([documents[place] for place in order], config.row_tokens))
        if len(rows) < config.batch_rows:
            raise SystemExit(f"The text fills {len(rows)} rows; one step takes {config.batch_rows}.")
        yield from rows[: len(rows) // config.batch_rows * config.batch_rows].split(config.batch_rows)


def text_loss(model: LlamaForCausalLM, rows: torch.Tensor, dtype: str) -> torch.Tensor:
    """Mean cross-entropy of all tokens of the rows but the first, in nats."""
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        hidden = model.model(input_ids=rows[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


def train_model(model: LlamaForCausalLM, documents: list[np.ndarray], config: TrainingConfig) -> float:
    """Train in place and return the mean loss of the last tenth of the steps, in nats a token."""
    losses = (text_loss(model, batch, config.dtype) for batch in draw_batches(documents, config))
    return train_steps(
        model,
        losses,
        steps=config.steps,
        matrix_learning_rate=config.matrix_learning_rate,
        embedding_learning_rate=config.embedding_learning_rate,
        adam_betas=config.adam_betas,
        weight_decay=config.weight_decay,
        warmup_share=config.warmup_share,
        max_gradient_norm=config.max_gradient_norm,
        report_every=50,
    )


@torch.inference_mode()
def held_out_loss(
    model: LlamaForCausalLM,
    held_out: pl.DataFrame,
    tokenizer: PreTrainedTokenizerFast,
    config: TrainingConfig,
) -> dict[str, float | None]:
    """Loss on the held-out documents of each source, in nats a token; None where they fill no row."""
    model.eval()
    losses: dict[str, float | None] = {}
    for source in sorted(held_out["task"].unique()):
        texts = held_out.filter(pl.col("task") == source)["prompt"].to_list()
        rows = pack_rows(encode_documents(texts, tokenizer, config.document_tokens), config.row_tokens)
        found = [text_loss(model, row[None], "float32").item() for row in torch.from_numpy(rows)]
        losses[source] = round(math.fsum(found) / len(found), 4) if found else None
    return losses


def describe_documents(documents: Documents, data: Path) -> dict[str, object]:
    """Collect what was trained on, for ``training.json``."""
    names = (DOLLY_FILE, T0_FILE, *WORLD_FILES)
    return {
        "sha256": {name: file_sha256(data / name) for name in names},
        "trained_documents": dict(documents.trained["task"].value_counts().sort("task").iter_rows()),
        "held_out_documents": dict(documents.held_out["task"].value_counts().sort("task").iter_rows()),
        "overlapping_documents": documents.overlapping,
    }


def build_llama(
    tokenizer: PreTrainedTokenizerFast,
    *,
    hidden_size: int,
    intermediate_size: int,
    n_layers: int,
    n_heads: int,
    context_tokens: int,
    seed: int,
) -> LlamaForCausalLM:
    """Build a Llama with random weights, one matrix for embedding and head."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            num_key_value_heads=n_heads,
            max_position_embeddings=context_tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


def main(arguments: list[str] | None = None) -> None:
    """Train, measure on held-out text, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help=f"folder with {DOLLY_FILE}, {T0_FILE}, {', '.join(WORLD_FILES)}",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--steps", type=int, default=TrainingConfig.steps, help="training steps (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=TrainingConfig.seed, help="another seed is another model (%(default)s)"
    )
    parser.add_argument(
        "--dtype",
        choices=["bfloat16", "float32"],
        default=TrainingConfig.dtype,
        help="of the matrix products; bfloat16 is slow on a CPU without AMX (%(default)s)",
    )
    options = parser.parse_args(arguments)
    config = TrainingConfig(seed=options.seed, steps=options.steps, dtype=options.dtype)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    documents = divide_documents(read_documents(options.data), options.data, config.held_out_every)
    texts = documents.trained["prompt"].to_list()
    tokenizer = train_byte_bpe(
        texts, vocabulary_size=config.vocabulary_size, context_tokens=config.context_tokens
    )
    encoded = encode_documents(texts, tokenizer, config.document_tokens)
    model = build_llama(
        tokenizer,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        context_tokens=config.context_tokens,
        seed=config.seed,
    )
    n_tokens = sum(map(len, encoded))
    print(f"{model.num_parameters():,} parameters, {n_tokens:,} tokens of text", file=sys.stderr)
    start = time.process_time()
    final_loss = train_model(model, encoded, config)
    training = {
        "script": "scripts/train_text_model.py",
        "settings": dataclasses.asdict(config),
        "data": describe_documents(documents, options.data),
        "text_tokens": n_tokens,
        "trained_tokens": config.steps * config.batch_rows * config.row_tokens,
        "device": "cpu, one thread",
        "cpu_seconds": round(time.process_time() - start),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
        "n_parameters": model.num_parameters(),
        "final_loss": round(final_loss, 4),
        "held_out_loss": held_out_loss(model, documents.held_out, tokenizer, config),
    }
    save_model(options.out, model, tokenizer, max_new_tokens=config.max_new_tokens)
    (options.out / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(training["held_out_loss"]))


if __name__ == "__main__":
    main()
