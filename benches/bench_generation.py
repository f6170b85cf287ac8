"""What measuring every token costs, and how fast the engine answers a pool.

``python benches/bench_generation.py`` prints the ratios, in CPU time on one thread, with ``--json`` one JSON
object. The tokens of all variants must be equal.

The cases of *generation* have `generate` with the recorder against `generate` alone: at most 1.3 times its
CPU time is wanted, a ratio of at least 0.77. Those of *engine* have a pool of prompts of different lengths
with answers of different lengths: batched as scoring does it and measured, against `generate` for one prompt
at a time, which measures nothing; the same batches with ``output_scores``; and `generate_batch`, the
continuous batching of transformers, whose cache is given the size that the pool needs.

``python benches/bench_generation.py --device cuda --model-size 1b --max-new-tokens 128`` prints the tokens a
second, the memory and the use of one device instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from contest import Alternative, Case, Goal, main, measure
from generation_throughput import print_throughput
from generation_workloads import MODEL_SIZES, PoolAnswers, build_model, make_prompts
from tasksel.generation import TokenRecorder

ROUNDS = 9


@dataclass(frozen=True)
class Workload:
    """A Llama with random weights and the batch that it answers."""

    vocab_size: int
    hidden_size: int
    n_layers: int
    batch_rows: int
    prompt_tokens: int
    new_tokens: int


WORKLOADS = {
    "demo-like": Workload(1024, 96, 3, batch_rows=32, prompt_tokens=48, new_tokens=48),
    "small": Workload(32_000, 256, 4, batch_rows=16, prompt_tokens=64, new_tokens=32),
}


def build_network(workload: Workload):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=workload.vocab_size,
        hidden_size=workload.hidden_size,
        intermediate_size=workload.hidden_size * 8 // 3,
        num_hidden_layers=workload.n_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.generation_config = transformers.GenerationConfig()
    return model


class Variants:
    """The same greedy generation, bare, with the recorder, and with the scores of the whole vocabulary."""

    def __init__(self, workload: Workload) -> None:
        import torch

        torch.set_num_threads(1)
        self.model = build_network(workload)
        self.workload = workload
        generator = torch.Generator().manual_seed(1)
        shape = (workload.batch_rows, workload.prompt_tokens)
        self.input_ids = torch.randint(3, workload.vocab_size, shape, generator=generator)
        self.attention_mask = torch.ones_like(self.input_ids)
        self.attention_mask[::2, :5] = 0  # a padded batch, as real ones are

    def _generate(self, *, logits_processor=None, **outputs):
        import torch
        import transformers

        config = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=self.workload.new_tokens, pad_token_id=0, **outputs
        )
        with torch.inference_mode():
            return self.model.generate(
                input_ids=self.input_ids,
                attention_mask=self.attention_mask,
                generation_config=config,
                logits_processor=logits_processor,
            )

    def plain(self):
        """Generate and measure nothing."""
        return self._generate()[:, self.workload.prompt_tokens :]

    def recorder(self):
        """Generate and measure every token on the way, as tasksel does."""
        import transformers

        recorder = TokenRecorder()
        sequences = self._generate(logits_processor=transformers.LogitsProcessorList([recorder]))
        new_token_ids = sequences[:, self.workload.prompt_tokens :]
        recorder.finish(new_token_ids).numpy()
        return new_token_ids

    def output_scores(self):
        """Keep the scores of every step and measure the tokens from them."""
        output = self._generate(return_dict_in_generate=True, output_scores=True)
        new_token_ids = output.sequences[:, self.workload.prompt_tokens :]
        # What a user of output_scores does next: logprob, entropy and margin of every step.
        for step, scores in enumerate(output.scores):
            logprobs = scores.log_softmax(-1)
            logprobs.gather(-1, new_token_ids[:, step : step + 1])
            probabilities = logprobs.exp()
            -(probabilities * logprobs).sum(-1)
            probabilities.topk(2, dim=-1)
        return new_token_ids


def made(workload: Workload, _: float) -> Variants:
    """Build the model; there is no smaller one."""
    return Variants(workload)


def same_tokens(_: Variants, ours: Any, theirs: Any) -> str:
    """Raise unless the tokens are the same."""
    assert ours.equal(theirs)
    return "same tokens"


@dataclass(frozen=True)
class PoolWorkload:
    """A model and the prompts that it answers."""

    model_size: str
    n_prompts: int
    longest: int
    shared: int
    new_tokens: int


POOLS = {
    "demo-sized model": PoolWorkload("demo", 96, longest=60, shared=0, new_tokens=64),
    "20M parameters": PoolWorkload("20m", 24, longest=80, shared=0, new_tokens=64),
    "20M parameters, shared instruction": PoolWorkload("20m", 24, longest=60, shared=160, new_tokens=32),
}


def made_pool(workload: PoolWorkload, _: float) -> PoolAnswers:
    """Build the model and draw the prompts; there is no smaller one."""
    import torch

    torch.set_num_threads(1)
    size = MODEL_SIZES[workload.model_size]
    prompts = make_prompts(workload.n_prompts, workload.longest, size.vocab_size, shared=workload.shared)
    return PoolAnswers(build_model(size, mean_tokens=40), prompts, workload.new_tokens)


def batched_continuously(pool: PoolAnswers) -> Any:
    """Answer by `generate_batch` with a page for every prompt and its answer."""
    page_size = 128
    n_pages = sum(-(-(len(prompt) + pool.max_new_tokens) // page_size) for prompt in pool.prompts)
    return pool.continuous(page_size=page_size, num_blocks=n_pages + 2, max_batch_tokens=256)


def same_answers(_: PoolAnswers, ours: Any, theirs: Any) -> str:
    """Raise unless the tokens of every answer are the same."""
    found = [generation.token_ids.tolist() for generation in ours]
    others = [getattr(answer, "token_ids", answer) for answer in theirs]
    assert found == [answer if isinstance(answer, list) else answer.tolist() for answer in others]
    lengths = sorted(map(len, found))
    return f"same {sum(lengths)} tokens, answers of {lengths[0]} to {lengths[-1]}"


MODULES = ("torch", "transformers")
CASES = [
    Case(
        "generation",
        f"{name} model",
        partial(made, workload),
        Variants.recorder,
        (
            Alternative("without recorder", Variants.plain, goal=Goal(1 / 1.3, 1.0)),
            Alternative("output_scores", Variants.output_scores),
        ),
        same_tokens,
        is_quick=name == "demo-like",
        modules=MODULES,
        note="recording may take 1.3 times the time of generation without it, a ratio of 0.77",
    )
    for name, workload in WORKLOADS.items()
]
CASES += [
    Case(
        "engine",
        name,
        partial(made_pool, workload),
        PoolAnswers.engine,
        (
            Alternative("one prompt at a time", PoolAnswers.one_by_one, goal=Goal(2.0, 4.0)),
            Alternative("output_scores", PoolAnswers.output_scores, goal=Goal(1.0, 1.3)),
            Alternative("generate_batch", batched_continuously, goal=Goal(1.0, 2.0)),
            *(
                [Alternative("engine without sharing", partial(PoolAnswers.engine, shares_prefix=False))]
                if workload.shared
                else []
            ),
        ),
        same_answers,
        modules=MODULES,
        note="tasksel measures every token; of the others output_scores measures as much",
    )
    for name, workload in POOLS.items()
]


@pytest.fixture(params=WORKLOADS)
def variants(request):
    torch = pytest.importorskip("torch", reason="the extra hf is not installed")
    threads = torch.get_num_threads()
    yield Variants(WORKLOADS[request.param])
    torch.set_num_threads(threads)


@pytest.mark.parametrize("variant", ["plain", "recorder", "output_scores"])
def bench_variant(benchmark, variants, variant):
    tokens = benchmark.pedantic(getattr(variants, variant), rounds=5, warmup_rounds=1)
    assert tokens.equal(variants.plain())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def bench_generation(case, benchmark, contests):
    if case.obstacle:
        pytest.skip(case.obstacle)
    record = benchmark.pedantic(measure, args=(case, ROUNDS), rounds=1)
    contests.append((case, record))


if __name__ == "__main__":
    if "--device" in sys.argv:
        print_throughput(__doc__)
    else:
        main(__file__, __doc__, CASES)
