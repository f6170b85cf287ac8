"""What `tasksel.engines.vllm` touches of vLLM, in the shapes of vLLM 0.32, over a model of transformers.

The numbers are true: one prompt at a time, float32 log-softmax. Where vLLM itself is installed, the tests use
it instead.
"""

from __future__ import annotations

import importlib.machinery
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

HAS_VLLM = find_spec("vllm") is not None


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class FlatLogprobs(Sequence):
    """Of each position the emitted token first, then the likeliest ones, that one among them again."""

    start_indices: list[int] = field(default_factory=list)
    end_indices: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ranks: list[int | None] = field(default_factory=list)
    decoded_tokens: list[str | None] = field(default_factory=list)

    def append_fast(self, token_ids, logprobs, ranks, decoded_tokens):
        self.start_indices.append(len(self.logprobs))
        for token_id, logprob, rank, decoded in zip(token_ids, logprobs, ranks, decoded_tokens, strict=False):
            self.token_ids.append(token_id)
            self.logprobs.append(logprob)
            self.ranks.append(rank)
            self.decoded_tokens.append(decoded)
        self.end_indices.append(len(self.logprobs))

    def __len__(self):
        return len(self.start_indices)

    def __getitem__(self, position):
        return {
            self.token_ids[place]: Logprob(
                self.logprobs[place], self.ranks[place], self.decoded_tokens[place]
            )
            for place in range(self.start_indices[position], self.end_indices[position])
        }


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None
    logprobs: FlatLogprobs | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: None
    outputs: list[CompletionOutput]
    finished: bool


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int | None = 16
    logprobs: int | None = None
    flat_logprobs: bool = False
    ignore_eos: bool = False
    stop_token_ids: list[int] | None = None
    detokenize: bool = True


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class EngineDeadError(Exception):
    pass


class EngineGenerateError(Exception):
    pass


class LLM:
    """As `vllm.LLM`, with a shut-down that can be asked for (`is_open`)."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.92,
        max_model_len: int | None = None,
        enable_prefix_caching: bool | None = None,
        max_logprobs: int = 20,
        enable_lora: bool = False,
        max_lora_rank: int = 16,
        **kwargs: Any,
    ) -> None:
        from tasksel.causal_model import load_model

        # vLLM makes its first 16-bit type of float32 weights.
        self.causal_model = load_model(model, device="cpu", dtype="bfloat16" if dtype == "auto" else dtype)
        longest = self.causal_model.context_tokens
        if max_model_len is not None and max_model_len > longest:
            raise ValueError(
                f"1 validation error for ModelConfig\n  Value error, User-specified max_model_len "
                f"({max_model_len}) is greater than the derived max_model_len ({longest})."
            )
        self.max_lora_rank = max_lora_rank if enable_lora else None
        self.is_open = True
        self.model_config = SimpleNamespace(
            model=model,
            dtype=self.causal_model.model.dtype,
            quantization=None,
            max_model_len=max_model_len or longest,
            max_logprobs=max_logprobs,
            logprobs_mode="raw_logprobs",
        )
        self.llm_engine = SimpleNamespace(
            vllm_config=SimpleNamespace(
                parallel_config=SimpleNamespace(tensor_parallel_size=tensor_parallel_size),
                cache_config=SimpleNamespace(enable_prefix_caching=enable_prefix_caching is not False),
            ),
            engine_core=SimpleNamespace(shutdown=lambda: setattr(self, "is_open", False)),
        )
        self._numbers = itertools.count()

    def generate(self, prompts, sampling_params, *, use_tqdm=True, lora_request=None):
        if not self.is_open:
            raise EngineDeadError(
                "EngineCore encountered an issue. See stack trace (above) for the root cause."
            )
        if sampling_params.logprobs > self.model_config.max_logprobs:
            raise ValueError(
                f"Requested sample logprobs of {sampling_params.logprobs}, which is greater than max"
            )
        if lora_request is not None and self.max_lora_rank is None:
            raise ValueError(f"Got lora_request {lora_request} but LoRA is not enabled!")
        with merged(self.causal_model.model, lora_request):
            return [self._answer(prompt["prompt_token_ids"], sampling_params) for prompt in prompts]

    def _answer(self, prompt_ids, sampling):
        assert sampling.temperature == 0.0
        assert sampling.flat_logprobs
        assert sampling.ignore_eos
        assert not sampling.detokenize
        if len(prompt_ids) >= self.model_config.max_model_len:
            raise ValueError(
                f"The prompt (length {len(prompt_ids)}) is longer than the maximum model length."
            )
        token_ids, flat, finish, stop = [], FlatLogprobs(), "length", None
        for best in self._continue(prompt_ids, sampling):
            token_ids.append(int(best.indices[0]))
            flat.append_fast(
                [token_ids[-1], *best.indices.tolist()],
                [float(best.values[0]), *best.values.tolist()],
                itertools.chain((1,), range(1, sampling.logprobs + 1)),
                itertools.repeat(None),
            )
            if token_ids[-1] in sampling.stop_token_ids:
                finish, stop = "stop", token_ids[-1]
                break
        completion = CompletionOutput(0, "", token_ids, 0.0, flat, finish, stop)
        return RequestOutput(str(next(self._numbers)), None, prompt_ids, None, [completion], finished=True)

    def _continue(self, prompt_ids, sampling):
        """Yield the likeliest tokens of each step."""
        import torch

        cache, inputs = None, torch.tensor([prompt_ids])
        room = min(sampling.max_tokens, self.model_config.max_model_len - len(prompt_ids))
        for _ in range(room):
            with torch.inference_mode():
                out = self.causal_model.model(input_ids=inputs, past_key_values=cache, use_cache=True)
                best = out.logits[0, -1].float().log_softmax(-1).topk(sampling.logprobs)
            cache, inputs = out.past_key_values, best.indices[:1][None]
            yield best


class merged:  # noqa: N801 - reads as a statement
    """The model with a LoRA adapter in its weights for the length of a block."""

    def __init__(self, network, lora_request):
        self.changes = {} if lora_request is None else read_lora_changes(Path(lora_request.lora_path))
        self.weights = dict(network.named_parameters()) if self.changes else {}

    def __enter__(self):
        self._add(1.0)

    def __exit__(self, *exc_info):
        self._add(-1.0)

    def _add(self, sign):
        import torch

        with torch.no_grad():
            for name, change in self.changes.items():
                self.weights[name].add_(sign * change)


def read_lora_changes(folder):
    """Give what an adapter adds to each weight, by the weight's name."""
    import json

    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    return {
        name.removeprefix("base_model.model.").replace("lora_A.", ""): scale
        * tensors[name.replace("lora_A", "lora_B")]
        @ tensors[name]
        for name in tensors
        if "lora_A" in name
    }


def install(monkeypatch):
    """Put the stand-in where `import vllm` finds it, unless there is a real one."""
    if HAS_VLLM:
        return
    parts = {
        "vllm": {"LLM": LLM, "SamplingParams": SamplingParams, "__version__": "0.32.0"},
        "vllm.platforms": {"current_platform": SimpleNamespace(device_type="cpu")},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.exceptions": {
            "EngineDeadError": EngineDeadError,
            "EngineGenerateError": EngineGenerateError,
        },
    }
    for name, contents in parts.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


def save_model(folder, save_tiny_model, *, chat=False):
    """Save a tiny model whose heads have 32 dimensions, since vLLM on a CPU takes none of 8."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    save_tiny_model(folder, chat=chat)
    config = LlamaConfig.from_pretrained(folder)
    config.head_dim = 32
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.3, generator=generator)
        model.lm_head.weight[config.eos_token_id] *= 1.6
    # As newer models do, it names several end tokens, of which its tokenizer knows one.
    model.generation_config = GenerationConfig(eos_token_id=[config.eos_token_id, 65], bos_token_id=1)
    model.save_pretrained(folder)
    return folder


def save_lora(folder, *, rank=3):
    """Save a LoRA adapter of two layers' queries and values with random numbers."""
    import json

    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for layer, (module, n_out) in itertools.product(range(2), (("q_proj", 128), ("v_proj", 64))):
        stem = f"base_model.model.model.layers.{layer}.self_attn.{module}"
        tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, 32, generator=generator) * 0.3
        tensors[f"{stem}.lora_B.weight"] = torch.randn(n_out, rank, generator=generator) * 0.3
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
