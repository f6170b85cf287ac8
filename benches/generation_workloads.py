"""Models with random weights and the prompts that they answer, for what measures generation.

Some tokens out of the vocabulary end an answer, so that answers have the spread of lengths that real ones
have; all sides are told the same ones. What answers say does not matter to their cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasksel.causal_model import CausalModel
from tasksel.generation import BatchGenerator, Generation
from tasksel.prompt_encoding import plan_batches

LONGEST_SPREAD = 0.5
"""The shortest prompt of a pool, as a share of the longest."""


@dataclass(frozen=True)
class ModelSize:
    """Shape of a Llama."""

    vocab_size: int
    hidden_size: int
    n_layers: int
    intermediate_size: int
    n_heads: int
    n_key_value_heads: int
    # Of random weights: small ones of a small model answer the same token for ever.
    weight_scale: float = 0.05


MODEL_SIZES = {
    "demo": ModelSize(1280, 128, 2, 256, 4, 4, weight_scale=0.3),
    "20m": ModelSize(16_000, 384, 8, 1024, 8, 4),
    "60m": ModelSize(32_000, 512, 12, 1536, 8, 4),
    "1b": ModelSize(128_256, 2048, 16, 8192, 32, 8, weight_scale=0.02),
    "3b": ModelSize(128_256, 3072, 28, 8192, 24, 8, weight_scale=0.02),
    "8b": ModelSize(128_256, 4096, 32, 14_336, 32, 8, weight_scale=0.02),
}


class NoTokenizer:
    """Answers of random weights are not read."""

    def batch_decode(self, token_ids: list[list[int]], **_: Any) -> list[str]:
        """Give one empty text an answer."""
        return [""] * len(token_ids)


def build_model(
    size: ModelSize, *, mean_tokens: int, device: str = "cpu", dtype: str = "float32"
) -> CausalModel:
    """Build a model whose answers end after about so many tokens."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=size.vocab_size,
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_key_value_heads,
        max_position_embeddings=8192,
        initializer_range=size.weight_scale,
        tie_word_embeddings=True,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device(device):
        network = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()
    network.generation_config = transformers.GenerationConfig()
    ends = np.random.default_rng(0).permutation(np.arange(4, size.vocab_size))
    return CausalModel(
        model=network,
        tokenizer=NoTokenizer(),
        device=str(network.device),
        dtype=dtype,
        context_tokens=8192,
        eos_ids=tuple(ends[: max(1, size.vocab_size // mean_tokens)].tolist()),
        pad_id=0,
        bos_id=None,
        n_embeddings=size.vocab_size,
    )


def make_prompts(
    n_prompts: int, longest: int, vocab_size: int, *, shared: int = 0
) -> list[npt.NDArray[np.int32]]:
    """Draw prompts of different lengths, the first `shared` tokens of which are the same."""
    rng = np.random.default_rng(1)
    beginning = rng.integers(4, vocab_size, shared)
    lengths = rng.integers(int(longest * LONGEST_SPREAD), longest + 1, n_prompts)
    return [
        np.concatenate([beginning, rng.integers(4, vocab_size, length)]).astype(np.int32)
        for length in lengths
    ]


@dataclass
class PoolAnswers:
    """One way after the other to answer the same prompts; each gives the new tokens of every prompt."""

    causal_model: CausalModel
    prompts: list[npt.NDArray[np.int32]]
    max_new_tokens: int
    batch_tokens: int = 8192

    def batches(self) -> list[list[int]]:
        """Deal the prompts as the engine does."""
        lengths = [len(prompt) for prompt in self.prompts]
        return plan_batches(
            lengths, max_new_tokens=self.max_new_tokens, batch_tokens=self.batch_tokens, max_batch_rows=128
        )

    def engine(self, **options: Any) -> list[Generation]:
        """Answer and measure as the engine does."""
        generator = BatchGenerator(self.causal_model, max_new_tokens=self.max_new_tokens, **options)
        answers: dict[int, Generation] = {}
        for rows in self.batches():
            generations = generator.generate([self.prompts[row] for row in rows])
            answers.update(zip(rows, generations, strict=True))
        return [answers[row] for row in range(len(self.prompts))]

    def one_by_one(self, n_prompts: int | None = None) -> list[list[int]]:
        """Generate for one prompt at a time, as a loop over a pool does, and measure nothing."""
        return [self._generate([prompt])[0][0] for prompt in self.prompts[:n_prompts]]

    def output_scores(self) -> list[list[int]]:
        """Generate in batches, keep the scores of every step and measure the tokens from them."""
        answers: dict[int, list[int]] = {}
        for rows in self.batches():
            token_ids, output = self._generate(
                [self.prompts[row] for row in rows], return_dict_in_generate=True, output_scores=True
            )
            emitted = output.sequences[:, -len(output.scores) :]
            # What a user of output_scores does next: logprob, entropy and margin of every step.
            for step, scores in enumerate(output.scores):
                logprobs = scores.log_softmax(-1)
                logprobs.gather(-1, emitted[:, step : step + 1])
                probabilities = logprobs.exp()
                -(probabilities * logprobs).sum(-1)
                probabilities.topk(2, dim=-1)
            answers.update(zip(rows, token_ids, strict=True))
        return [answers[row] for row in range(len(self.prompts))]

    def continuous(self, **settings: Any) -> list[list[int]]:
        """Let transformers batch continuously, with the logprobs that it can give."""
        import transformers

        outputs = self.causal_model.model.generate_batch(
            inputs=[prompt.tolist() for prompt in self.prompts],
            generation_config=self._config(),
            continuous_batching_config=transformers.ContinuousBatchingConfig(
                return_logprobs=True, **settings
            ),
        )
        # Requests are numbered in their order, and given in that of their ends.
        found = sorted(outputs.values(), key=lambda output: int(output.request_id.rpartition("_")[2]))
        return [output.generated_tokens for output in found]

    def _config(self, **outputs: Any) -> Any:
        import transformers

        return transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(self.causal_model.eos_ids),
            pad_token_id=0,
            **outputs,
        )

    def _generate(self, prompts: list[npt.NDArray[np.int32]], **outputs: Any) -> tuple[list[list[int]], Any]:
        import torch

        from tasksel.prompt_encoding import pad_left

        padded, seen = pad_left(prompts, self.causal_model.pad_id)
        with torch.inference_mode():
            output = self.causal_model.model.generate(
                input_ids=torch.from_numpy(padded).to(self.causal_model.device),
                attention_mask=torch.from_numpy(seen).to(self.causal_model.device),
                generation_config=self._config(**outputs),
            )
        sequences = output.sequences if outputs else output
        new_token_ids = sequences[:, padded.shape[1] :].cpu().numpy()
        return [self._cut(row) for row in new_token_ids], output

    def _cut(self, token_ids: npt.NDArray[np.int64]) -> list[int]:
        ends = np.flatnonzero(np.isin(token_ids, self.causal_model.eos_ids))
        return token_ids[: ends[0] + 1 if len(ends) else None].tolist()
