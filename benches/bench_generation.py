"""What measuring every token costs: `generate` with the recorder against `generate` alone.

CPU time on one thread, the variants interleaved so that a noisy machine hits all of them alike, ratios per
round. The tokens of all variants must be equal. Rerun and see the table with

    python benches/bench_generation.py

The goal is at most 1.3 times the CPU time of plain generation.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

from tasksel.generation import TokenRecorder  # noqa: E402 - after the extras are known to be there

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


def build_model(workload: Workload):
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
        self.model = build_model(workload)
        self.workload = workload
        generator = torch.Generator().manual_seed(1)
        shape = (workload.batch_rows, workload.prompt_tokens)
        self.input_ids = torch.randint(3, workload.vocab_size, shape, generator=generator)
        self.attention_mask = torch.ones_like(self.input_ids)
        self.attention_mask[::2, :5] = 0  # a padded batch, as real ones are

    def _generate(self, *, logits_processor=None, **outputs):
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


def measure_ratios(variants: Variants, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """CPU time of each variant by that of plain generation, one ratio a round."""
    calls = {"plain": variants.plain, "recorder": variants.recorder, "output_scores": variants.output_scores}
    expected = variants.plain()
    ratios: dict[str, list[float]] = {"recorder": [], "output_scores": []}
    for call in calls.values():
        assert torch.equal(call(), expected)
    for number in range(rounds):
        names = list(calls) if number % 2 == 0 else list(reversed(calls))
        cpu_s = {}
        for name in names:
            started_s = time.process_time()
            calls[name]()
            cpu_s[name] = time.process_time() - started_s
        for name, found in ratios.items():
            found.append(cpu_s[name] / cpu_s["plain"])
    return ratios


@pytest.fixture(params=WORKLOADS)
def variants(request):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Variants(WORKLOADS[request.param])
    torch.set_num_threads(threads)


@pytest.mark.parametrize("variant", ["plain", "recorder", "output_scores"])
def test_generation(benchmark, variants, variant):
    tokens = benchmark.pedantic(getattr(variants, variant), rounds=5, warmup_rounds=1)
    assert torch.equal(tokens, variants.plain())


def test_ratio_to_plain_generation(benchmark, variants):
    ratios = benchmark.pedantic(measure_ratios, args=(variants,), rounds=1)
    for name, found in ratios.items():
        benchmark.extra_info[name] = (min(found), statistics.median(found), max(found))


def main() -> None:
    torch.set_num_threads(1)
    print(f"CPU time by that of plain generate, one thread, {ROUNDS} interleaved rounds: min / median / max")
    for label, workload in WORKLOADS.items():
        for name, found in measure_ratios(Variants(workload)).items():
            row = f"{min(found):5.2f} / {statistics.median(found):5.2f} / {max(found):5.2f}"
            print(f"{label:10} {name:14} {row}")


if __name__ == "__main__":
    main()
