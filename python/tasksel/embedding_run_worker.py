"""A model makes the rows of embedding shards: batches of like length, the next shard tokenised meanwhile.

The rows of a shard are dealt into batches before the first of them is read, so that a resumed run has the
batches of an uninterrupted one, and the same bytes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from tasksel.device_memory import BatchHalving
from tasksel.embedding_run_shards import build_frame, embeddings_schema
from tasksel.prefetching import prefetched
from tasksel.prompt_encoding import plan_batches
from tasksel.shard_work import ShardPiece, WorkerStart
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from tasksel.prompt_encoding import EncodedPrompt
    from tasksel.shard_work import ShardTask

__all__ = ["EmbedderStart", "EmbeddingWorker", "PromptEmbedder"]

_CPU_BATCH_TOKENS: Final = 4096
"""Larger ones were slower on one thread: ``benches/bench_embedding.py`` has the figures."""
_GPU_BATCH_TOKENS: Final = 16_384


class EmbedderStart(NamedTuple):
    """What is known of an embedder once its model is loaded.

    Attributes
    ----------
    settings : mapping
        With ``auto`` replaced by what it meant; JSON-compatible.
    versions : mapping of str to str
        Of the libraries behind it.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]


class PromptEmbedder(Protocol):
    """A model that turns prompts into vectors in two steps: tokens, made ahead in a thread, and states."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for and what vectors depend on, ``auto`` as it stands; JSON-compatible."""

    def identify_model(self) -> Mapping[str, Any]:
        """Return ``name`` and ``sha256`` of the model without loading it."""

    def start(self) -> EmbedderStart:
        """Load the model."""

    def running(self) -> AbstractContextManager[None]:
        """Hold what the model needs while it works, such as a number of threads."""

    def encode(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Return the tokens of each prompt, at least one; called from one other thread."""

    def embed(self, batch: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Return the vectors of a batch, shape (n_prompts, n_dimensions)."""

    def close(self) -> None:
        """Let go of the model; may be called twice."""


@dataclass
class EmbeddingWorker:
    """Makes embedding shards with a model.

    Parameters
    ----------
    embedder : PromptEmbedder
        Closed with the worker.
    batch_tokens : int, optional
        Largest batch, in tokens with padding. One prompt that is longer goes alone. By default what suits the
        device.
    """

    embedder: PromptEmbedder
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        self._halving = BatchHalving(_join, _refuse)

    def start(self) -> WorkerStart:
        """Load the model, and read a prompt with it, which alone tells the width of every kind of model."""
        start = self.embedder.start()
        (empty,) = self.embedder.encode([""])
        n_dimensions = self.embedder.embed([empty.token_ids]).shape[1]
        if self.batch_tokens is None:
            is_processor = start.settings["device"] == "cpu"
            self.batch_tokens = _CPU_BATCH_TOKENS if is_processor else _GPU_BATCH_TOKENS
        return WorkerStart(
            {**start.settings, "batch_tokens": self.batch_tokens, "n_dimensions": n_dimensions},
            start.versions,
            embeddings_schema(n_dimensions, has_tokens=True),
        )

    def work(self, tasks: Iterable[ShardTask], stopped: threading.Event) -> Generator[ShardPiece, None, None]:
        """Embed every prompt that is not done; see `ShardWorker`."""
        with (
            contextlib.closing(prefetched(tasks, self._encode, stopped)) as shards,
            self.embedder.running(),
        ):
            for task, encoded in shards:
                yield from self._embed_shard(task, encoded, stopped)

    def close(self) -> None:
        """Let go of the model."""
        self.embedder.close()

    def _encode(self, task: ShardTask) -> list[EncodedPrompt]:
        return self.embedder.encode(task.rows["prompt"].fill_null("").to_list())

    def _embed_shard(
        self, task: ShardTask, encoded: Sequence[EncodedPrompt], stopped: threading.Event
    ) -> Iterator[ShardPiece]:
        """Embed the batches of a shard.

        One of which some rows are done is read whole, since a vector depends in its last digits on what
        stands beside it, and only the missing rows are given.
        """
        assert self.batch_tokens is not None  # noqa: S101 -- `start` was called
        batches = plan_batches(
            [len(prompt.token_ids) for prompt in encoded],
            max_new_tokens=0,
            batch_tokens=self.batch_tokens,
            max_batch_rows=len(encoded),
        )
        for batch in batches:
            if stopped.is_set():
                return
            if task.done.issuperset(batch):
                continue
            n_splits = self._halving.n_splits
            vectors = self._halving.run(self._embed, [encoded[position].token_ids for position in batch])
            places = [place for place, position in enumerate(batch) if position not in task.done]
            positions = [batch[place] for place in places]
            made = [encoded[position] for position in positions]
            frame = build_frame(task.rows["id"].gather(positions), vectors[places], made)
            n_tokens = sum(len(prompt.token_ids) for prompt in made)
            yield ShardPiece(task.number, positions, frame, n_tokens, self._halving.n_splits - n_splits)

    def _embed(self, batch: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        vectors = self.embedder.embed(batch)
        if not np.isfinite(vectors).all():
            raise TaskselError(
                "The model's states are not finite; try another dtype (float32 or bfloat16) or model."
            )
        return vectors


def _join(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([first, second])


def _refuse(n_tokens: int) -> str:
    return (
        f"A prompt of {n_tokens} tokens does not fit into the device's memory; lower max_tokens, or use a "
        "smaller dtype or model."
    )
