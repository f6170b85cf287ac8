"""A Hugging Face causal language model in this process as an engine of scoring.

The rows of a shard are dealt into batches of similar length before the first token is generated, so that a
resumed run has the batches of an uninterrupted one. While a shard is generated, the next one is tokenized.
"""

from __future__ import annotations

import contextlib
import dataclasses
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from tasksel.causal_model import identify_model, load_model, suitable_threads
from tasksel.engines.engine import Answer, AnsweredBatch, EngineStart
from tasksel.generation import BatchGenerator
from tasksel.hidden_states import embed_hidden_states
from tasksel.prefetching import prefetched
from tasksel.prompt_encoding import PromptEncoder, check_prompt_template, plan_batches
from tasksel.run_folder_identity import find_versions
from tasksel.whole_numbers import check_whole_numbers
from tasksel.word_cache import without_word_cache

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tasksel.causal_model import CausalModel
    from tasksel.engines.engine import ShardPrompts
    from tasksel.prompt_encoding import EncodedPrompt

__all__ = ["HfEngine"]

_LIBRARIES = ("torch", "transformers", "tokenizers")


class _Loaded(NamedTuple):
    """What there is between start and close."""

    causal_model: CausalModel
    encoder: PromptEncoder
    generator: BatchGenerator


class HfEngine:
    """Answers prompts with a model of transformers on this machine's processor or accelerator.

    Parameters
    ----------
    model : str
        A folder, a name on the Hugging Face hub, or ``demo``.
    adapter : str, optional
        Folder of a LoRA adapter of `model`, or of the training that made it.
    max_new_tokens : int
        Longest answer in tokens, the end token included.
    prompt_template : str, optional
        Text with ``{prompt}`` once; goes before the chat template of the tokenizer.
    batch_tokens : int
        Largest batch, in tokens with padding and answers. One prompt that is longer goes alone.
    max_batch_rows : int
        Most prompts in a batch.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    dtype : str
        ``auto`` (as stored; float32 on a CPU), ``float32``, ``bfloat16`` or ``float16``.
    records_hidden : bool
        Whether answers hold the mean last hidden state over the prompt, from the same pass.
    shares_prefix : bool
        Whether a beginning that all prompts of a batch share is read once where that pays.
    static_cache : bool
        Whether `generate` of transformers is used with a cache of fixed size, for which it compiles the model
        on CUDA: faster where answers are about equally long, after a while of compiling for each new shape.

    Attributes
    ----------
    split_batches : int
        How often a batch was halved for lack of memory. The logprobs of such a batch can differ in their last
        digits from those of the whole one.

    Raises
    ------
    ConfigError
        A number is below 1, or the template is wrong.
    """

    name = "hf"

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        max_new_tokens: int = 256,
        prompt_template: str | None = None,
        batch_tokens: int = 8192,
        max_batch_rows: int = 128,
        device: str = "auto",
        dtype: str = "auto",
        records_hidden: bool = False,
        shares_prefix: bool = True,
        static_cache: bool = False,
    ) -> None:
        numbers = {
            "max_new_tokens": max_new_tokens,
            "batch_tokens": batch_tokens,
            "max_batch_rows": max_batch_rows,
        }
        check_whole_numbers(numbers)
        check_prompt_template(prompt_template)
        self.model = model
        self.adapter = adapter
        self.records_hidden = records_hidden
        self.settings: Mapping[str, Any] = {
            **numbers,
            "prompt_template": prompt_template,
            "device": device,
            "dtype": dtype,
            "attention": "auto",
            "shares_prefix": shares_prefix,
            "static_cache": static_cache,
        }
        self._split_batches = 0
        self._loaded: _Loaded | None = None

    @property
    def split_batches(self) -> int:
        """How often a batch was halved for lack of memory."""
        return self._split_batches + (self._loaded.generator.split_batches if self._loaded else 0)

    def identify_model(self) -> dict[str, Any]:
        """Return name and hash of the model, and its adapter, without loading it.

        Raises
        ------
        ConfigError
            There is no such model or adapter.
        """
        return identify_model(self.model, self.adapter)

    def start(self) -> EngineStart:
        """Load the model.

        Raises
        ------
        ConfigError
            There is no such model, or a setting does not fit it.
        MissingExtraError
            torch or transformers is not installed.
        """
        causal_model = load_model(
            self.model, adapter=self.adapter, device=self.settings["device"], dtype=self.settings["dtype"]
        )
        self.close()
        self._loaded = _Loaded(
            causal_model=causal_model,
            encoder=self._make_encoder(causal_model),
            generator=BatchGenerator(
                causal_model,
                max_new_tokens=self.settings["max_new_tokens"],
                records_hidden=self.records_hidden,
                shares_prefix=self.settings["shares_prefix"],
                static_cache=self.settings["static_cache"],
            ),
        )
        resolved = {
            "device": causal_model.device.partition(":")[0],
            "dtype": causal_model.dtype,
            "attention": str(causal_model.model.config._attn_implementation),
        }
        # A pass over one token tells the width for every kind of model; settings name it differently.
        width = embed_hidden_states(causal_model, []).shape[1] if self.records_hidden else None
        return EngineStart(
            settings={**self.settings, **resolved},
            versions=find_versions(_LIBRARIES),
            hidden_dimensions=width,
        )

    def answer(self, shards: Iterable[ShardPrompts], stopped: threading.Event) -> Iterator[AnsweredBatch]:
        """Answer every prompt that has no answer yet, batch by batch; see `Engine.answer`.

        A batch of which some prompts are answered is generated whole, since logprobs depend in their last
        digits on what stands beside a row, and only the missing answers are given.

        Raises
        ------
        ConfigError
            A single prompt does not fit into the device's memory.
        TaskselError
            The model's numbers are not finite.
        """
        if self._loaded is None:
            raise RuntimeError("The engine has not been started, or is closed.")
        loaded = self._loaded
        with (
            contextlib.closing(
                prefetched(shards, lambda shard: loaded.encoder.encode(shard.prompts), stopped)
            ) as ahead,
            suitable_threads(loaded.causal_model),
        ):
            for shard, encoded in ahead:
                yield from self._answer_shard(loaded.generator, shard, encoded, stopped)

    def close(self) -> None:
        """Let go of the model; may be called twice."""
        if self._loaded is not None:
            self._split_batches = self.split_batches
        self._loaded = None

    def _make_encoder(self, causal_model: CausalModel) -> PromptEncoder:
        """Return an encoder with a tokenizer of its own, since one cannot be shared by two threads.

        A fast tokenizer is changed by the options of a call, while the answers of a batch are decoded in the
        other thread.
        """
        return PromptEncoder(
            dataclasses.replace(causal_model, tokenizer=without_word_cache(deepcopy(causal_model.tokenizer))),
            prompt_template=self.settings["prompt_template"],
            max_new_tokens=self.settings["max_new_tokens"],
        )

    def _answer_shard(
        self,
        generator: BatchGenerator,
        shard: ShardPrompts,
        encoded: Sequence[EncodedPrompt],
        stopped: threading.Event,
    ) -> Iterator[AnsweredBatch]:
        batches = plan_batches(
            [len(prompt.token_ids) for prompt in encoded],
            max_new_tokens=self.settings["max_new_tokens"],
            batch_tokens=self.settings["batch_tokens"],
            max_batch_rows=self.settings["max_batch_rows"],
        )
        for positions in batches:
            if stopped.is_set():
                return
            if shard.answered.issuperset(positions):
                continue
            batch = generator.answer([encoded[position].token_ids for position in positions])
            kept = [place for place, position in enumerate(positions) if position not in shard.answered]
            answers = [
                Answer(
                    generation=batch.generations[place],
                    prompt_tokens=len(encoded[positions[place]].token_ids),
                    truncated_tokens=encoded[positions[place]].truncated_tokens,
                    hidden_mean=None if batch.hidden_means is None else batch.hidden_means[place],
                )
                for place in kept
            ]
            yield AnsweredBatch(shard.number, [positions[place] for place in kept], answers)
