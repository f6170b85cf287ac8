"""What scoring asks of whatever answers prompts: a model in this process, a server, vLLM.

An engine gets shards of prompts one after the other and gives answers batch by batch. It may look ahead: a
server is kept busy across the seam of two shards, and tokenising goes on while a batch is generated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from tasksel.generation import Generation

__all__ = ["Answer", "AnsweredBatch", "Engine", "EngineStart", "ShardPrompts"]


class ShardPrompts(NamedTuple):
    """Prompts of one shard.

    Attributes
    ----------
    number : int
        Of the shard, from 0.
    prompts : sequence of str
        All prompts of the shard, longest first by their bytes in UTF-8.
    answered : frozenset of int
        Positions in `prompts` whose answers exist already. They are given all the same, since the batches of
        a shard follow from all its prompts; whole batches of them are left out.
    """

    number: int
    prompts: Sequence[str]
    answered: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Answer:
    """What became of one prompt.

    Attributes
    ----------
    generation : Generation or None
        None where the engine refused this prompt for good, as a server does with one that is longer than
        the context.
    prompt_tokens, truncated_tokens : int or None
        Tokens that the model read, and those that were cut off; None where the engine does not say.
    refusal : str or None
        Why there is no generation.
    hidden_mean : ndarray of float32, shape (n_dimensions,), optional
        Mean last hidden state over the prompt's tokens, where it was asked for.
    """

    generation: Generation | None
    prompt_tokens: int | None
    truncated_tokens: int | None
    refusal: str | None = None
    hidden_mean: npt.NDArray[np.float32] | None = None


class AnsweredBatch(NamedTuple):
    """Some answers of one shard; `positions` are those of the prompts in `ShardPrompts.prompts`."""

    number: int
    positions: Sequence[int]
    answers: Sequence[Answer]


class EngineStart(NamedTuple):
    """What is known of an engine once it is ready.

    Attributes
    ----------
    settings : mapping
        Settings that answers depend on, with ``auto`` replaced by what it meant. JSON-compatible.
    versions : mapping of str to str
        Of the libraries or the server behind it; a change is noted and not refused.
    hidden_dimensions : int or None
        Length of `Answer.hidden_mean`, where it is recorded.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    hidden_dimensions: int | None = None


class Engine(Protocol):
    """Answers prompts greedily and measures every token that it generates.

    An engine may have an attribute ``split_batches``: how many batches were halved for want of memory so far.
    """

    @property
    def name(self) -> str:
        """``hf``, ``openai`` or ``vllm``, or that of an engine of the caller's own."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for and what answers depend on, ``auto`` as it stands, ``max_new_tokens`` among it.

        JSON-compatible, without keys or other secrets.
        """

    def identify_model(self) -> Mapping[str, Any]:
        """Return ``name`` and ``sha256`` of the model without loading it.

        A server does not show its weights: its hash is that of the model's name there.
        """

    def start(self) -> EngineStart:
        """Load the model, or ask the server whether it has it.

        Raises
        ------
        ConfigError
            There is no such model, or a setting does not fit it.
        ProviderError
            A server does not answer, or not as it would have to.
        """

    def answer(self, shards: Iterable[ShardPrompts], stopped: threading.Event) -> Iterator[AnsweredBatch]:
        """Answer every prompt that has no answer yet.

        Parameters
        ----------
        shards : iterable of ShardPrompts
            Taken when there is room for the next.
        stopped : threading.Event
            Once set, what is under way is finished and given, and nothing new is begun.

        Yields
        ------
        AnsweredBatch
            Batches of one shard in any order, of several shards interleaved; each position once.
        """

    def close(self) -> None:
        """Let go of threads, connections and memory; may be called twice."""
