"""vLLM in this process as an engine of scoring, through its documented offline interface.

vLLM batches continuously, so what stands beside a prompt follows from timing: its logprobs differ in their
last digits from run to run, and a resumed run is not byte for byte that of an uninterrupted one. Prompts are
tokenized here, by the rules of the engine ``hf``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.causal_model import DTYPES, find_adapter_folder, identify_model
from tasksel.causal_model_outline import read_outline
from tasksel.engines.engine import Answer, AnsweredBatch, EngineStart
from tasksel.engines.vllm_loading import (
    check_llm,
    engine_errors,
    import_vllm,
    load_llm,
    read_settings,
    shut_down,
)
from tasksel.engines.vllm_outputs import read_completion
from tasksel.prompt_encoding import PromptEncoder, check_prompt_template
from tasksel.run_folder_identity import find_versions
from tasksel.whole_numbers import check_whole_numbers
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tasksel.causal_model import CausalModel
    from tasksel.engines.engine import ShardPrompts
    from tasksel.generation import Generation
    from tasksel.prompt_encoding import EncodedPrompt

__all__ = ["VllmEngine"]

_LIBRARIES: Final = ("torch", "transformers", "tokenizers")


class _Loaded(NamedTuple):
    llm: Any
    outline: CausalModel
    encoder: PromptEncoder


class VllmEngine:
    """Answers prompts with a model inside vLLM on this machine's accelerators.

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
    top_logprobs : int
        How many of the likeliest tokens vLLM reports at each step, at least 2. The entropy takes all others
        as one outcome.
    dtype : str
        ``auto`` (as stored, but vLLM makes its preferred 16-bit type of float32 weights), ``float32``,
        ``bfloat16`` or ``float16``.
    tensor_parallel_size : int
        Accelerators that share the model.
    gpu_memory_utilization : float
        Share of an accelerator's memory that vLLM may take, above 0 and up to 1.
    max_model_len : int, optional
        Longest prompt and answer together; by default as the model states.
    enable_prefix_caching : bool
        Whether equal beginnings of prompts are computed once.
    llm : vllm.LLM, optional
        One that exists already, with options of its own: what concerns loading is then read from it.

    Raises
    ------
    ConfigError
        A number is out of range, the template or dtype is wrong, or the vLLM that was given does not suit.
    """

    name = "vllm"

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        max_new_tokens: int = 256,
        prompt_template: str | None = None,
        top_logprobs: int = 20,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
        enable_prefix_caching: bool = True,
        llm: Any = None,
    ) -> None:
        check_whole_numbers({"max_new_tokens": max_new_tokens, "tensor_parallel_size": tensor_parallel_size})
        check_whole_numbers({"top_logprobs": top_logprobs}, at_least=2)
        if max_model_len is not None:
            check_whole_numbers({"max_model_len": max_model_len}, at_least=2)
        if not 0.0 < gpu_memory_utilization <= 1.0:
            raise ConfigError(
                f"gpu_memory_utilization is {gpu_memory_utilization}; a share above 0 and up to 1 is wanted."
            )
        if dtype not in DTYPES:
            raise ConfigError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}.")
        check_prompt_template(prompt_template)
        self.model = model
        self.adapter = adapter
        self.gpu_memory_utilization = gpu_memory_utilization
        settings = {
            "max_new_tokens": max_new_tokens,
            "prompt_template": prompt_template,
            "top_logprobs": top_logprobs,
            "device": "auto",
            "dtype": dtype,
            "quantization": "auto",
            "tensor_parallel_size": tensor_parallel_size,
            "max_model_len": "auto" if max_model_len is None else max_model_len,
            "enable_prefix_caching": enable_prefix_caching,
        }
        if llm is not None:
            check_llm(llm, model, top_logprobs)
            settings |= read_settings(llm)
        self.settings: Mapping[str, Any] = settings
        self._given_llm = llm
        self._loaded: _Loaded | None = None

    def identify_model(self) -> dict[str, Any]:
        """Return name and hash of the model, and its adapter, without loading it.

        Raises
        ------
        ConfigError
            There is no such model or adapter.
        """
        return identify_model(self.model, self.adapter)

    def start(self) -> EngineStart:
        """Load the model into vLLM.

        Raises
        ------
        ConfigError
            There is no such model, a setting does not fit it, or vLLM cannot load it.
        MissingExtraError
            vLLM is not installed.
        """
        vllm = import_vllm()
        self._loaded = self._load()
        found = read_settings(self._loaded.llm)
        resolved = {name: found[name] for name, setting in self.settings.items() if setting == "auto"}
        versions = {"vllm": str(vllm.__version__), **find_versions(_LIBRARIES)}
        return EngineStart(settings={**self.settings, **resolved}, versions=versions)

    def answer(self, shards: Iterable[ShardPrompts], stopped: threading.Event) -> Iterator[AnsweredBatch]:
        """Answer every prompt that has no answer yet, a shard at a time; see `Engine.answer`.

        vLLM batches the prompts of a shard as it sees fit. At the end of a shard it waits for the longest
        answers with an ever emptier batch, so that large shards are faster.

        Raises
        ------
        TaskselError
            vLLM failed or refused the adapter, or its numbers are not those of a greedy answer.
        """
        if self._loaded is None:
            self._loaded = self._load()
        for shard in shards:
            if stopped.is_set():
                return
            places = [place for place in range(len(shard.prompts)) if place not in shard.answered]
            if places:
                yield self._answer_shard(self._loaded, shard, places)

    def close(self) -> None:
        """Let go of vLLM and its processes, unless it was given; may be called twice."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None and loaded.llm is not self._given_llm:
            shut_down(loaded.llm)

    def _load(self) -> _Loaded:
        outline = _limit_context(read_outline(self.model), self.settings["max_model_len"])
        self._make_encoder(outline)  # what does not fit is told before the weights are loaded
        llm = self._given_llm
        if llm is None:
            llm = load_llm(self.model, adapter=self.adapter, options=self._find_options())
            check_llm(llm, self.model, self.settings["top_logprobs"])
        outline = _limit_context(outline, read_settings(llm)["max_model_len"])
        return _Loaded(llm, outline, self._make_encoder(outline))

    def _find_options(self) -> dict[str, Any]:
        max_model_len = self.settings["max_model_len"]
        return {
            **{
                name: self.settings[name]
                for name in ("dtype", "tensor_parallel_size", "enable_prefix_caching")
            },
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "max_model_len": None if max_model_len == "auto" else max_model_len,
            "max_logprobs": self.settings["top_logprobs"],
        }

    def _make_encoder(self, outline: CausalModel) -> PromptEncoder:
        return PromptEncoder(
            outline,
            prompt_template=self.settings["prompt_template"],
            max_new_tokens=self.settings["max_new_tokens"],
        )

    def _answer_shard(self, loaded: _Loaded, shard: ShardPrompts, places: Sequence[int]) -> AnsweredBatch:
        encoded = loaded.encoder.encode([shard.prompts[place] for place in places])
        answers = [
            Answer(generation, len(prompt.token_ids), prompt.truncated_tokens)
            for prompt, generation in zip(encoded, self._generate(loaded, encoded), strict=True)
        ]
        return AnsweredBatch(shard.number, places, answers)

    def _generate(self, loaded: _Loaded, encoded: Sequence[EncodedPrompt]) -> list[Generation]:
        prompts = [{"prompt_token_ids": prompt.token_ids.tolist()} for prompt in encoded]
        sampling = self._make_sampling(loaded.outline.eos_ids)
        try:
            outputs = loaded.llm.generate(
                prompts, sampling, use_tqdm=False, lora_request=self._make_lora_request()
            )
        except engine_errors() as error:
            raise TaskselError(f"vLLM stopped answering: {first_line(error)}") from error
        top_logprobs = self.settings["top_logprobs"]
        return [read_completion(output.outputs[0], loaded.outline, top_logprobs) for output in outputs]

    def _make_sampling(self, eos_ids: Sequence[int]) -> Any:
        """Return sampling parameters that are greedy and end at the same tokens as the engine ``hf``.

        Left to itself, vLLM ends answers also at the tokenizer's end token where the model states another.
        Sampling defaults that come with a model are not applied where parameters are given.
        """
        from vllm import SamplingParams

        return SamplingParams(
            temperature=0.0,
            max_tokens=self.settings["max_new_tokens"],
            logprobs=self.settings["top_logprobs"],
            flat_logprobs=True,  # a few lists an answer instead of an object for every listed token
            ignore_eos=True,
            stop_token_ids=list(eos_ids),
            detokenize=False,
        )

    def _make_lora_request(self) -> Any:
        if self.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", 1, str(find_adapter_folder(self.adapter)))


def _limit_context(outline: CausalModel, max_model_len: int | str) -> CausalModel:
    limits = [limit for limit in (outline.context_tokens, max_model_len) if isinstance(limit, int)]
    return dataclasses.replace(outline, context_tokens=min(limits, default=None))
